-- A gateway adds seals and changes none; a console may check them against what it was told, without the key.
create or replace function neuronetz.grant_gateway() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_gateway;
    grant select on neuronetz.alembic_version, neuronetz.tenants, neuronetz.api_keys to neuronetz_gateway;
    grant update (limits_epoch) on neuronetz.tenants to neuronetz_gateway;
    grant update (secret_hash) on neuronetz.api_keys to neuronetz_gateway;
    grant select, insert, update on neuronetz.budget_windows to neuronetz_gateway;
    grant select, insert, update, delete on neuronetz.holds, neuronetz.processes to neuronetz_gateway;
    grant select, insert on neuronetz.audit, neuronetz.seals, neuronetz.seal_rows to neuronetz_gateway;
    grant execute on function neuronetz.make_audit_partitions(), neuronetz.write_prompts(jsonb),
        neuronetz.purge_prompts(), neuronetz.forget_hour_keys(uuid[]), neuronetz.take_sealing_turn() to neuronetz_gateway;
$$;

create or replace function neuronetz.grant_console() returns void
language sql
as $$
    grant usage on schema neuronetz to neuronetz_console;
    grant select on neuronetz.console_tenants, neuronetz.console_keys, neuronetz.console_budgets,
        neuronetz.console_usage_daily, neuronetz.console_calls, neuronetz.tenants, neuronetz.budget_windows,
        neuronetz.holds, neuronetz.audit, neuronetz.processes, neuronetz.seals, neuronetz.seal_rows to neuronetz_console;
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

select neuronetz.make_roles();
