-- Budget windows and the holds on them. Written by neuronetz.ledger(), reap() and tenant_facts() only.
--
-- One rule makes them safe: whoever changes a window or a hold of a tenant has first locked that tenant's total window
-- (scope_id = tenant_id, kind 2), tenants in ascending order. One row lock per tenant thus guards its six windows and
-- all its holds, and two transactions can never wait for each other in a circle. The lock is not on neuronetz.tenants,
-- because a forgotten transaction of a console on that row would then stop the ledger.
create table neuronetz.budget_windows (
    tenant_id  uuid not null,
    scope_id   uuid not null,
    kind       smallint not null check (kind between 0 and 2),
    starts_at  timestamptz not null,
    used       bigint not null default 0 check (used >= 0),
    held       bigint not null default 0 check (held >= 0),
    touched_at timestamptz,
    primary key (tenant_id, scope_id, kind, starts_at)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
comment on table neuronetz.budget_windows is
    'Tokens by UTC day (kind 0), month (1) and in total (2), per tenant (scope_id = tenant_id) and per key (scope_id = budget_id). All six are kept whether or not a budget is set, so that one set later counts what was used before.';

create table neuronetz.processes (
    id         uuid primary key,
    host       text not null,
    started_at timestamptz not null default neuronetz.ledger_now(),
    beat_at    timestamptz not null default neuronetz.ledger_now()
);
comment on table neuronetz.processes is 'Gateway processes that are alive: the holds of one that stops beating are reaped.';

create table neuronetz.holds (
    tenant_id     uuid not null,
    request_id    uuid not null,
    key_id        uuid not null,
    budget_id     uuid not null,
    process_id    uuid not null,
    prompt_tokens bigint not null check (prompt_tokens >= 0),
    output_tokens bigint not null check (output_tokens >= 0),
    output_factor bigint not null check (output_factor >= 1),
    tokens        bigint not null check (tokens = prompt_tokens + output_factor * output_tokens),
    day_start     timestamptz not null,
    month_start   timestamptz not null,
    opened_at     timestamptz not null,
    state         text not null default 'open' check (state in ('open', 'reaped')),
    charged       bigint check ((charged is null) = (state = 'open')),
    reaped_at     timestamptz check ((reaped_at is null) = (state = 'open')),
    key_prefix    text not null,
    route         text not null,
    model         text not null,
    address       text not null,
    primary key (tenant_id, request_id)
) with (autovacuum_vacuum_scale_factor = 0.05);
comment on table neuronetz.holds is
    'Tokens reserved for calls in flight. A settled hold is deleted; a reaped one stays a day, so that a late settlement can lower its charge, once.';
