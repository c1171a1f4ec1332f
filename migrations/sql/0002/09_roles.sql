-- Who may do what, as roles without a login, to be granted to logins. The last file, because it speaks of all others.
--
-- Roles belong to the whole server. So one that is there already, of another of our databases, is taken as it is; and
-- where the owner may not make roles, as with some hosters, the migration goes on without: whoever may makes them, and
-- the owner calls make_roles() again. It is also what brings the privileges back after a restore without them.
create function neuronetz.make_roles() returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text;
    missing text[] := '{}';
begin
    foreach role in array array['neuronetz_gateway', 'neuronetz_console', 'neuronetz_reader', 'neuronetz_retention'] loop
        if to_regrole(role) is null then
            begin
                execute format('create role %I nologin', role);
            exception
                when duplicate_object or unique_violation then null;  -- another database's migration, this very moment
                when insufficient_privilege then
                    missing := missing || role;
                    raise notice 'The role % could not be made. Let an administrator run `create role % nologin`, then '
                        'run `select neuronetz.make_roles()` as the owner.', role, role;
            end;
        end if;
    end loop;
    perform neuronetz.close_to_public();
    if not 'neuronetz_gateway' = any (missing) then perform neuronetz.grant_gateway(); end if;
    if not 'neuronetz_console' = any (missing) then perform neuronetz.grant_console(); end if;
    if not 'neuronetz_reader' = any (missing) then perform neuronetz.grant_reader(); end if;
    if not 'neuronetz_retention' = any (missing) then perform neuronetz.grant_retention(); end if;
    return missing;
end
$$;
comment on function neuronetz.make_roles is
    'Makes the roles that are missing and grants what each may do; returns those that could not be made. Only the owner can.';

-- What runs in the owner's name is for those who are named below, and for nobody else. Triggers, too: who may execute
-- one may put it on a table of his own, and write what it writes. Those on our tables ask for no privilege to run.
create function neuronetz.close_to_public() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    definer regprocedure;
begin
    for definer in
        select p.oid from pg_proc p
        where p.pronamespace = 'neuronetz'::regnamespace and p.prosecdef
    loop
        execute format('revoke execute on function %s from public', definer);
    end loop;
end
$$;

-- What serving needs. The audit is added to and read, never changed; of tenants and keys only what the gateway itself
-- keeps there is written.
create function neuronetz.grant_gateway() returns void
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

create function neuronetz.grant_reader() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_reader;
    grant select on neuronetz.console_tenants, neuronetz.console_keys, neuronetz.console_budgets,
        neuronetz.console_usage_daily, neuronetz.console_calls to neuronetz_reader;
    grant execute on function neuronetz.console_usage(timestamptz, timestamptz, uuid) to neuronetz_reader;
$$;

-- A console writes what an operator decides, and nothing that the gateways reckon with. It may give a new key a hash
-- and never read one.
create function neuronetz.grant_console() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_console;
    grant select on neuronetz.console_tenants, neuronetz.console_keys, neuronetz.console_budgets,
        neuronetz.console_usage_daily, neuronetz.console_calls, neuronetz.tenants, neuronetz.budget_windows,
        neuronetz.holds, neuronetz.audit, neuronetz.processes to neuronetz_console;
    grant execute on function neuronetz.console_usage(timestamptz, timestamptz, uuid),
        neuronetz.record_note(uuid, jsonb) to neuronetz_console;
    grant insert (name, state, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models),
        update (name, state, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models)
        on neuronetz.tenants to neuronetz_console;
    grant select (tenant_id, id, prefix, name, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models,
            budget_id, expires_at, revoked_at, generation, created_at, changed_at, prompt_log_ttl_s),
        insert (tenant_id, prefix, name, secret_hash, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens,
            models, expires_at),
        update (name, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens, models, expires_at, revoked_at)
        on neuronetz.api_keys to neuronetz_console;
$$;

create function neuronetz.grant_retention() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_retention;
    grant execute on function neuronetz.drop_audit_before(date) to neuronetz_retention;
$$;

select neuronetz.make_roles();
