-- A console sets aliases as it sets model lists. What serves reads tenants whole, and a reader has the view.
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

select neuronetz.make_roles();
