-- Changes of tenants and keys, whoever makes them: the generation rises and every gateway is told, in the same
-- transaction. Triggers and not our program, because others write these tables too.
--
-- Two columns change without either: limits_epoch belongs to the limit store, and a hash made anew from the same
-- secret leaves every cached identity true.
create function neuronetz.raise_generation() returns trigger
language plpgsql
as $$
declare
    before jsonb := to_jsonb(old) - array['limits_epoch', 'secret_hash', 'generation', 'changed_at'];
    after jsonb := to_jsonb(new) - array['limits_epoch', 'secret_hash', 'generation', 'changed_at'];
begin
    if before->'id' <> after->'id' or before->'tenant_id' <> after->'tenant_id'
        or before->'budget_id' <> after->'budget_id' then
        raise exception 'The identity of a row in % cannot be changed.', tg_table_name
            using errcode = 'integrity_constraint_violation';
    end if;
    new.generation := old.generation;
    new.changed_at := old.changed_at;
    if before <> after then
        new.generation := old.generation + 1;
        new.changed_at := neuronetz.ledger_now();
    end if;
    return new;
end
$$;
create trigger raise_generation before update on neuronetz.tenants
    for each row execute function neuronetz.raise_generation();
create trigger raise_generation before update on neuronetz.api_keys
    for each row execute function neuronetz.raise_generation();

create function neuronetz.announce(tenant uuid, key uuid, generation bigint, what text) returns void
language sql
as $$
    select pg_notify('neuronetz_changes',
        json_build_object('tenant', tenant, 'key', key, 'generation', generation, 'what', what)::text)
$$;

create function neuronetz.tell_tenant_change() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'DELETE' then
        perform neuronetz.announce(old.id, null, old.generation + 1, 'suspended');
    elsif tg_op = 'INSERT' or new.generation <> old.generation then
        perform neuronetz.announce(new.id, null, new.generation,
            case new.state when 'suspended' then 'suspended' else 'changed' end);
    end if;
    return null;
end
$$;
create trigger tell_change after insert or update or delete on neuronetz.tenants
    for each row execute function neuronetz.tell_tenant_change();

create function neuronetz.tell_key_change() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'DELETE' then
        perform neuronetz.announce(old.tenant_id, old.id, old.generation + 1, 'revoked');
    elsif tg_op = 'INSERT' or new.generation <> old.generation then
        perform neuronetz.announce(new.tenant_id, new.id, new.generation,
            case when new.revoked_at is null then 'changed' else 'revoked' end);
    end if;
    return null;
end
$$;
create trigger tell_change after insert or update or delete on neuronetz.api_keys
    for each row execute function neuronetz.tell_key_change();

-- A tenant's total window is the lock of all its windows, so it exists from the first moment on.
create function neuronetz.open_total_window() returns trigger
language plpgsql
as $$
begin
    insert into neuronetz.budget_windows (tenant_id, scope_id, kind, starts_at)
    values (new.id, new.id, 2, neuronetz.dawn()) on conflict do nothing;
    return null;
end
$$;
create trigger open_total_window after insert on neuronetz.tenants
    for each row execute function neuronetz.open_total_window();
