-- Back to 0003. All seals are lost, and with them the proof that what they covered is unchanged: run `audit verify` before.
lock table neuronetz.budget_windows in exclusive mode;

-- Drops the months of the audit before a given one. Dropping waits for, and then stops, whoever writes: not for longer
-- than half a second, then it gives up and can be tried again.
create or replace function neuronetz.drop_audit_before(month date) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '500ms'
as $$
declare
    latest constant date := date_trunc('month', neuronetz.ledger_now())::date - interval '1 month';
    partition text;
    dropped text[] := '{}';
begin
    if month is null or month <> date_trunc('month', month) then
        raise exception 'Name the first day of a month.' using errcode = 'invalid_parameter_value';
    end if;
    if month > latest then
        raise exception 'The current and the previous month are kept: the latest month to name is %.', latest
            using errcode = 'invalid_parameter_value';
    end if;
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'neuronetz.audit'::regclass and c.relname ~ '^audit_\d{4}_\d{2}$'
            and to_date(c.relname, '"audit_"YYYY_MM') < month
        order by c.relname
    loop
        execute format('drop table neuronetz.%I', partition);
        dropped := dropped || partition;
    end loop;
    if cardinality(dropped) > 0 then
        insert into neuronetz.audit (at, event, actor, detail)
        values (neuronetz.ledger_now(), 'admin', neuronetz.sql_actor(), jsonb_build_object('login', session_user,
            'change', 'drop_audit', 'after', jsonb_build_object('before', month, 'dropped', dropped)));
    end if;
    return dropped;
end
$$;

create or replace function neuronetz.grant_gateway() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_gateway;
    grant select on neuronetz.alembic_version, neuronetz.tenants, neuronetz.api_keys to neuronetz_gateway;
    grant update (limits_epoch) on neuronetz.tenants to neuronetz_gateway;
    grant update (secret_hash) on neuronetz.api_keys to neuronetz_gateway;
    grant select, insert, update on neuronetz.budget_windows to neuronetz_gateway;
    grant select, insert, update, delete on neuronetz.holds, neuronetz.processes to neuronetz_gateway;
    grant select, insert on neuronetz.audit to neuronetz_gateway;
    grant execute on function neuronetz.make_audit_partitions(), neuronetz.write_prompts(jsonb),
        neuronetz.purge_prompts(), neuronetz.forget_hour_keys(uuid[]) to neuronetz_gateway;
$$;

create or replace function neuronetz.grant_console() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_console;
    grant select on neuronetz.console_tenants, neuronetz.console_keys, neuronetz.console_budgets,
        neuronetz.console_usage_daily, neuronetz.console_calls, neuronetz.tenants, neuronetz.budget_windows,
        neuronetz.holds, neuronetz.audit, neuronetz.processes to neuronetz_console;
    grant execute on function neuronetz.console_usage(timestamptz, timestamptz, uuid),
        neuronetz.record_note(uuid, jsonb) to neuronetz_console;
    grant insert (name, state, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models, aliases),
        update (name, state, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models, aliases)
        on neuronetz.tenants to neuronetz_console;
    grant select (tenant_id, id, prefix, name, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models,
            budget_id, expires_at, revoked_at, generation, created_at, changed_at, prompt_log_ttl_s),
        insert (tenant_id, prefix, name, secret_hash, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens,
            models, expires_at),
        update (name, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models, expires_at, revoked_at)
        on neuronetz.api_keys to neuronetz_console;
$$;

drop function neuronetz.take_sealing_turn();
drop table neuronetz.seal_rows;
drop table neuronetz.seals;
drop index neuronetz.audit_by_transaction;

select neuronetz.make_roles();
