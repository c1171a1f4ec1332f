-- Tenants and keys. Open to the console and to operators with psql: the triggers in 05 make a change by plain SQL
-- bind like one of ours. Null in a limit, a budget or a model list means that none is set.
create table neuronetz.tenants (
    id             uuid primary key default gen_random_uuid(),
    name           text not null unique check (name <> ''),
    state          text not null default 'active' check (state in ('active', 'suspended')),
    rpm            bigint check (rpm > 0),
    tpm            bigint check (tpm > 0),
    concurrency    bigint check (concurrency > 0),
    daily_tokens   bigint check (daily_tokens > 0),
    monthly_tokens bigint check (monthly_tokens > 0),
    total_tokens   bigint check (total_tokens > 0),
    models         text[],
    generation     bigint not null default 1,
    limits_epoch   bigint not null default 0,
    created_at     timestamptz not null default neuronetz.ledger_now(),
    changed_at     timestamptz not null default neuronetz.ledger_now()
);
create index tenants_by_change on neuronetz.tenants (changed_at);

create table neuronetz.api_keys (
    tenant_id      uuid not null references neuronetz.tenants (id),
    id             uuid not null default gen_random_uuid() unique,
    prefix         text not null unique check (prefix ~ '^nz_[0-9A-Za-z]{8}$'),
    name           text not null check (name <> ''),
    secret_hash    text not null,
    rpm            bigint check (rpm > 0),
    tpm            bigint check (tpm > 0),
    concurrency    bigint check (concurrency > 0),
    daily_tokens   bigint check (daily_tokens > 0),
    monthly_tokens bigint check (monthly_tokens > 0),
    total_tokens   bigint check (total_tokens > 0),
    models         text[],
    budget_id      uuid not null default gen_random_uuid(),
    expires_at     timestamptz,
    revoked_at     timestamptz,
    generation     bigint not null default 1,
    created_at     timestamptz not null default neuronetz.ledger_now(),
    changed_at     timestamptz not null default neuronetz.ledger_now(),
    primary key (tenant_id, id)
);
create unique index api_keys_by_live_name on neuronetz.api_keys (tenant_id, name) where revoked_at is null;
create index api_keys_by_change on neuronetz.api_keys (changed_at);
comment on column neuronetz.api_keys.budget_id is
    'The scope of its budget windows. A key that replaces another shares it, so rotation neither resets a budget nor moves tokens.';
comment on column neuronetz.tenants.limits_epoch is
    'Which filling of the limit store is valid. Raised by neuronetz.tenant_facts() only.';
