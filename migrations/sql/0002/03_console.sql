-- What others read: the views of the contract in docs/CONSOLE.md. Columns are added at the end and never change their
-- meaning. Views show with their owner's rights, so that a role may be given the views without the tables below them;
-- no view has a hash, a pepper or a prompt in it.
create view neuronetz.console_tenants as
select t.id as tenant_id, t.name as tenant, t.state, t.rpm, t.tpm, t.concurrency, t.daily_tokens, t.monthly_tokens,
    t.total_tokens, t.models,
    (select count(*) from neuronetz.api_keys k where k.tenant_id = t.id and k.revoked_at is null) as live_keys,
    t.created_at, t.changed_at
from neuronetz.tenants t;
comment on view neuronetz.console_tenants is 'One row per tenant. Null in a limit, a budget or a model list: none is set.';

create view neuronetz.console_keys as
select k.id as key_id, k.prefix as key_prefix, k.name as key_name, k.tenant_id, t.name as tenant,
    case when k.revoked_at is not null then 'revoked'
        when k.expires_at <= neuronetz.ledger_now() then 'expired'
        else 'active' end as state,
    k.rpm, k.tpm, k.concurrency, k.daily_tokens, k.monthly_tokens, k.total_tokens, k.models,
    k.expires_at, k.revoked_at, least(w.touched_at, k.revoked_at) as last_used_at, k.created_at, k.changed_at,
    k.prompt_log_ttl_s
from neuronetz.api_keys k
join neuronetz.tenants t on t.id = k.tenant_id
left join neuronetz.budget_windows w
    on w.tenant_id = k.tenant_id and w.scope_id = k.budget_id and w.kind = 2 and w.starts_at = neuronetz.dawn();
comment on view neuronetz.console_keys is 'One row per key, without its hash. The state is the key''s own; a tenant may be suspended besides.';

create view neuronetz.console_budgets as
select o.scope, o.tenant_id, o.tenant, o.key_id, o.key_prefix, x.period, x.limit_tokens,
    coalesce(w.used, 0) as used_tokens, coalesce(w.held, 0) as held_tokens,
    case when x.limit_tokens is not null
        then greatest(x.limit_tokens - coalesce(w.used, 0) - coalesce(w.held, 0), 0) end as left_tokens,
    x.starts_at, x.ends_at
from (
    select 'tenant' as scope, t.id as tenant_id, t.name as tenant, null::uuid as key_id, null::text as key_prefix,
        t.id as scope_id, t.daily_tokens, t.monthly_tokens, t.total_tokens
    from neuronetz.tenants t
    union all
    select 'key', k.tenant_id, t.name, k.id, k.prefix, k.budget_id, k.daily_tokens, k.monthly_tokens, k.total_tokens
    from neuronetz.api_keys k
    join neuronetz.tenants t on t.id = k.tenant_id
    where k.revoked_at is null
) o
cross join lateral (
    values ('daily', 0::smallint, date_trunc('day', neuronetz.ledger_now(), 'UTC'),
            date_trunc('day', neuronetz.ledger_now(), 'UTC') + interval '24 hours', o.daily_tokens),
        ('monthly', 1::smallint, date_trunc('month', neuronetz.ledger_now(), 'UTC'),
            (date_trunc('month', neuronetz.ledger_now() at time zone 'UTC') + interval '1 month') at time zone 'UTC',
            o.monthly_tokens),
        ('total', 2::smallint, neuronetz.dawn(), null, o.total_tokens)
) x (period, kind, starts_at, ends_at, limit_tokens)
left join neuronetz.budget_windows w
    on w.tenant_id = o.tenant_id and w.scope_id = o.scope_id and w.kind = x.kind and w.starts_at = x.starts_at;
comment on view neuronetz.console_budgets is
    'The three current windows of every tenant and of every live key. Of rotated keys, the live one stands for the budget that all share.';

-- From the windows and not from the audit: exact, quick, and still there when the audit of that day is dropped.
create view neuronetz.console_usage_daily as
select (w.starts_at at time zone 'UTC')::date as day, w.tenant_id, t.name as tenant,
    case w.scope_id when w.tenant_id then 'tenant' else 'key' end as scope, k.id as key_id, k.prefix as key_prefix,
    w.used as used_tokens, w.held as held_tokens
from neuronetz.budget_windows w
join neuronetz.tenants t on t.id = w.tenant_id
left join lateral (
    select k.id, k.prefix from neuronetz.api_keys k
    where k.tenant_id = w.tenant_id and k.budget_id = w.scope_id
    order by k.revoked_at is null desc, k.created_at desc
    limit 1
) k on w.scope_id <> w.tenant_id
where w.kind = 0;
comment on view neuronetz.console_usage_daily is
    'Tokens by UTC day, per tenant (scope tenant, the sum) and per key (scope key): do not add both. Ask for one tenant at a time.';

-- A call has one end, and after a reaped one at most one correction. Both are searched in the order of time from the
-- start on and taken where they are first met, so that a page of calls costs a few index entries each.
create view neuronetz.console_calls as
select s.at as started_at, coalesce(c.at, e.at) as ended_at, s.tenant_id, t.name as tenant, s.request_id, s.key_id,
    s.key_prefix, s.route, s.model, s.address, coalesce(c.event, e.event, 'open') as state,
    coalesce(c.outcome, e.outcome) as outcome, coalesce(c.status, e.status) as status, coalesce(c.code, e.code) as code,
    coalesce(c.backend, e.backend) as backend, s.held_tokens,
    e.prompt_tokens + coalesce(c.prompt_tokens, 0) as prompt_tokens,
    e.output_tokens + coalesce(c.output_tokens, 0) as output_tokens,
    coalesce(c.overshoot_tokens, e.overshoot_tokens) as overshoot_tokens,
    coalesce(c.bytes_out, e.bytes_out) as bytes_out, coalesce(c.queued_ms, e.queued_ms) as queued_ms,
    coalesce(c.first_byte_ms, e.first_byte_ms) as first_byte_ms, coalesce(c.duration_ms, e.duration_ms) as duration_ms
from neuronetz.audit s
join neuronetz.tenants t on t.id = s.tenant_id
left join lateral (
    select * from neuronetz.audit a
    where a.tenant_id = s.tenant_id and a.at >= s.at and a.request_id = s.request_id
        and a.event in ('finished', 'reaped')
    order by a.at limit 1
) e on true
left join lateral (
    select * from neuronetz.audit a
    where e.event = 'reaped' and a.tenant_id = s.tenant_id and a.at >= e.at and a.at < e.at + interval '2 days'
        and a.request_id = s.request_id and a.event = 'corrected'
    order by a.at limit 1
) c on true
where s.event = 'started';
comment on view neuronetz.console_calls is
    'One row per call: state is open, finished, reaped or corrected; tokens are what was charged, null while open. Ask with a tenant and a span of started_at.';

-- A function and not a view, because only what is asked for may be read: the audit has millions of rows.
create function neuronetz.console_usage(since timestamptz, until timestamptz, only_tenant uuid default null)
returns table (day date, tenant_id uuid, tenant text, key_id uuid, key_prefix text, model text, calls bigint,
    refused bigint, prompt_tokens bigint, output_tokens bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select (a.at at time zone 'UTC')::date, a.tenant_id, t.name, a.key_id, a.key_prefix, a.model,
        count(*) filter (where a.event = 'started'),
        coalesce(sum(a.count) filter (where a.event = 'refused'), 0)::bigint,
        coalesce(sum(a.prompt_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint,
        coalesce(sum(a.output_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
    from neuronetz.audit a
    join neuronetz.tenants t on t.id = a.tenant_id
    where a.at >= since and a.at < until and a.event not in ('admin', 'read')
        and (only_tenant is null or a.tenant_id = only_tenant)
    group by 1, 2, 3, 4, 5, 6
$$;
comment on function neuronetz.console_usage is
    'Calls, refusals and charged tokens by UTC day, tenant, key and model, from the audit of that span.';
