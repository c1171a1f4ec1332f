-- Whoever changes a tenant or a key stands in the audit. Our command line writes its own row in the transaction of the
-- change. For everybody else it is written here, when that transaction commits and has none of the kind.
--
-- So nothing has to be agreed on with a program, a former release neither writes twice nor has to know of this, and
-- nobody can leave the row out: only who may write the audit at all can have written it before.
create function neuronetz.what_differs(one jsonb, other jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(e.key, case e.key when 'secret_hash' then '"***"' else e.value end)
    from jsonb_each(one) e
    where e.value is distinct from coalesce(other->e.key, 'null')
        and e.key not in ('generation', 'changed_at', 'limits_epoch')
$$;

create function neuronetz.name_of_change(what text, op text, before jsonb, after jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when op = 'INSERT' then 'add_' || what
        when op = 'DELETE' then 'delete_' || what
        when what = 'key' and before->'revoked_at' = 'null' then 'revoke_key'
        else 'change_' || what
    end
$$;

-- The actor is whom `set local neuronetz.actor = '...'` names, which anybody may do; the login is PostgreSQL's word.
create function neuronetz.sql_actor() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(left(nullif(current_setting('neuronetz.actor', true), ''), 256), 'sql:' || session_user)
$$;

create function neuronetz.record_change() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    before constant jsonb := neuronetz.what_differs(to_jsonb(old), to_jsonb(new));
    after constant jsonb := neuronetz.what_differs(to_jsonb(new), to_jsonb(old));
    row_now constant jsonb := coalesce(to_jsonb(new), to_jsonb(old));
    is_key constant boolean := tg_table_name = 'api_keys';
    tenant constant uuid := row_now->>case when is_key then 'tenant_id' else 'id' end;
    key constant uuid := case when is_key then row_now->>'id' end;
begin
    if exists (
        select from neuronetz.audit a
        where a.tenant_id = tenant and a.at = neuronetz.ledger_now() and a.event = 'admin'
            and a.key_id is not distinct from key and a.xid = pg_current_xact_id() and not a.detail ? 'login'
    ) then
        return null;
    end if;
    insert into neuronetz.audit (at, tenant_id, event, key_id, key_prefix, actor, detail)
    values (neuronetz.ledger_now(), tenant, 'admin', key, row_now->>'prefix', neuronetz.sql_actor(),
        jsonb_build_object('login', session_user, 'before', before, 'after', after, 'change',
            neuronetz.name_of_change(case when is_key then 'key' else 'tenant' end, tg_op, before, after)));
    return null;
end
$$;

-- A generation rises with every change that means something; a hash that is replaced could be a key that is stolen.
create constraint trigger record_new after insert or delete on neuronetz.tenants
    deferrable initially deferred for each row execute function neuronetz.record_change();
create constraint trigger record_change after update on neuronetz.tenants
    deferrable initially deferred for each row when (old.generation <> new.generation)
    execute function neuronetz.record_change();
create constraint trigger record_new after insert or delete on neuronetz.api_keys
    deferrable initially deferred for each row execute function neuronetz.record_change();
create constraint trigger record_change after update on neuronetz.api_keys
    deferrable initially deferred for each row
    when (old.generation <> new.generation or old.secret_hash <> new.secret_hash)
    execute function neuronetz.record_change();

-- What a console wants to have on record beside changes of rows, for instance who exported what.
create function neuronetz.record_note(tenant uuid, note jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(note::text) > 8192 then
        raise exception 'A note may have 8192 bytes.' using errcode = 'string_data_right_truncation';
    end if;
    insert into neuronetz.audit (at, tenant_id, event, actor, detail)
    values (neuronetz.ledger_now(), coalesce(tenant, '00000000-0000-0000-0000-000000000000'), 'admin',
        neuronetz.sql_actor(), jsonb_build_object('login', session_user, 'change', 'note', 'after', note));
end
$$;

-- A revoked key stays revoked, since when it was first; revoking it again changes nothing.
create function neuronetz.stay_revoked() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.revoked_at is null then
        raise exception 'A revoked key stays revoked: make a new one.' using errcode = 'integrity_constraint_violation';
    end if;
    new.revoked_at := old.revoked_at;
    return new;
end
$$;
create trigger already_revoked before update on neuronetz.api_keys
    for each row when (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at)
    execute function neuronetz.stay_revoked();

-- A console may add tenants and may not write windows: the first window is opened in the owner's name.
alter function neuronetz.open_total_window() security definer set search_path = pg_catalog, pg_temp;

-- A console may have a schema of its own, and operators in it: what counts as a change must not depend on them.
alter function neuronetz.raise_generation() set search_path = pg_catalog, pg_temp;
alter function neuronetz.tell_tenant_change() set search_path = pg_catalog, pg_temp;
alter function neuronetz.tell_key_change() set search_path = pg_catalog, pg_temp;
alter function neuronetz.audit_is_final() set search_path = pg_catalog, pg_temp;
