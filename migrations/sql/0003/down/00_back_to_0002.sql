-- Back to 0002. Every alias is lost: write them down first (`neuronetz-gateway list-aliases`).
lock table neuronetz.budget_windows in exclusive mode;
lock table neuronetz.tenants in access exclusive mode;

-- A view cannot lose a column in place. What it was granted goes with it and is granted anew below.
drop view neuronetz.console_tenants;
create view neuronetz.console_tenants as
select t.id as tenant_id, t.name as tenant, t.state, t.rpm, t.tpm, t.concurrency, t.daily_tokens, t.monthly_tokens,
    t.total_tokens, t.models,
    (select count(*) from neuronetz.api_keys k where k.tenant_id = t.id and k.revoked_at is null) as live_keys,
    t.created_at, t.changed_at
from neuronetz.tenants t;
comment on view neuronetz.console_tenants is 'One row per tenant. Null in a limit, a budget or a model list: none is set.';

alter table neuronetz.tenants drop column aliases;
drop function neuronetz.are_aliases(jsonb);
drop function neuronetz.is_model_name(text);

create or replace function neuronetz.grant_console() returns void
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

select neuronetz.make_roles();
