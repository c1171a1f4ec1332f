"""A database as it is after months: many tenants, keys and calls, made by a few statements of SQL.

The books balance by construction: windows are summed from the calls, open holds are held, reaped ones are charged.
Works on every released schema, since it writes what the first one had. Some calls are still open, held by a process
that is gone, as after a crash; as many were reaped an hour ago.
"""

from __future__ import annotations

import attrs
import psycopg


@attrs.frozen(kw_only=True)
class Size:
    """How much of everything."""

    tenants: int = 10_000
    keys: int = 20_000
    calls: int = 500_000
    """Ended ones; each is two rows of the audit."""
    open_calls: int = 200
    months: int = 3
    skew: int = 2
    """How much more some keys call than others: 1 is not at all; at 8 a hundredth of them makes half of the calls."""


_SPACE = "set local work_mem = '256MB'"
_PARTITIONS = """
do $$
declare
    this_month constant timestamptz := date_trunc('month', neuronetz.ledger_now(), 'UTC');
    month timestamptz;
begin
    set local timezone = 'UTC';
    for ago in 1..%(months)s loop
        month := this_month - make_interval(months => ago);
        if to_regclass('neuronetz.audit_' || to_char(month, 'YYYY_MM')) is null then
            execute format('create table neuronetz.%%I partition of neuronetz.audit for values from (%%L) to (%%L)',
                'audit_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month');
        end if;
    end loop;
end $$
"""

_PARTIES = """
insert into neuronetz.tenants (id, name, state, rpm, tpm, concurrency, daily_tokens, monthly_tokens, total_tokens,
    models)
select md5('tenant ' || i)::uuid, 'tenant-' || i, case when i %% 50 = 0 then 'suspended' else 'active' end,
    600, case when i %% 3 = 0 then 100000 end, 20, 50000000, case when i %% 4 = 0 then 900000000 end, null,
    case when i %% 5 = 0 then array['registry.ollama.ai/library/llama3.2:latest'] end
from generate_series(1, %(tenants)s) i;

insert into neuronetz.api_keys (tenant_id, id, prefix, name, secret_hash, daily_tokens, budget_id, expires_at,
    revoked_at)
select md5('tenant ' || (i %% %(tenants)s + 1))::uuid, md5('key ' || i)::uuid, 'nz_' || lpad(i::text, 8, '0'),
    'key-' || i, '$argon2id$v=19$m=19456,t=2,p=1$bm9ub25vbm9ub25vbm8$' || md5(i::text),
    case when i %% 2 = 0 then 20000000 end,
    md5('budget ' || i)::uuid, case when i %% 10 = 0 then neuronetz.ledger_now() + interval '90 days' end,
    case when i %% 20 = 0 then neuronetz.ledger_now() - interval '1 day' end
from generate_series(1, %(keys)s) i
"""

_CALLS = """
create temporary table call as
select c.*, k.tenant_id, k.id as key_id, k.prefix, k.budget_id, date_trunc('day', c.at, 'UTC') as day_start,
    date_trunc('month', c.at, 'UTC') as month_start
from (
    select gen_random_uuid() as request_id, 1 + floor(%(keys)s * random() ^ %(skew)s)::int as key_number,
        case when n <= %(calls)s then l.latest - random() * (l.latest - l.earliest)
            else l.latest + interval '1 hour' end as at,
        (20 + 400 * random())::bigint as prompt_tokens, (10 + 300 * random())::bigint as output_tokens,
        (random() * 20000)::bigint as duration_ms,
        case when n <= %(calls)s then 'finished' when n %% 2 = 0 then 'open' else 'reaped' end as state,
        (array['llama3.2:latest', 'qwen3:8b', 'nomic-embed-text:latest'])[1 + floor(3 * random())::int] as model
    from generate_series(1, %(calls)s + 2 * %(open_calls)s) n
    cross join (
        select neuronetz.ledger_now() - interval '2 hours' as latest,
            date_trunc('month', neuronetz.ledger_now(), 'UTC') - make_interval(days => 28 * %(months)s) as earliest
    ) l
) c
join neuronetz.api_keys k on k.id = md5('key ' || c.key_number)::uuid
"""

_AUDIT = """
insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address,
    prompt_tokens, output_tokens, held_tokens)
select at, tenant_id, request_id, 'started', key_id, prefix, '/api/chat', model, '192.0.2.7', prompt_tokens, 1000,
    prompt_tokens + 1000
from call order by at;

insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address, backend,
    outcome, status, prompt_tokens, output_tokens, held_tokens, overshoot_tokens, bytes_out, queued_ms, first_byte_ms,
    duration_ms)
select at + make_interval(secs => duration_ms / 1000.0), tenant_id, request_id, state, key_id, prefix, '/api/chat',
    model, '192.0.2.7', 'gpu-1', case state when 'finished' then 'done' else 'reaped' end, 200, prompt_tokens,
    case state when 'finished' then output_tokens else 1000 end, prompt_tokens + 1000, 0, output_tokens * 130, 3, 80,
    duration_ms
from call where state <> 'open' order by at
"""

_HOLDS = """
insert into neuronetz.processes (id, host, started_at, beat_at)
values (md5('process')::uuid, 'gone', neuronetz.ledger_now() - interval '1 day',
    neuronetz.ledger_now() - interval '1 hour');

insert into neuronetz.holds (tenant_id, request_id, key_id, budget_id, process_id, prompt_tokens, output_tokens,
    output_factor, tokens, day_start, month_start, opened_at, state, charged, reaped_at, key_prefix, route, model,
    address)
select tenant_id, request_id, key_id, budget_id, md5('process')::uuid, prompt_tokens, 1000, 1, prompt_tokens + 1000,
    day_start, month_start, at, state, case state when 'reaped' then prompt_tokens + 1000 end,
    case state when 'reaped' then at + interval '1 minute' end, prefix, '/api/chat', model, '192.0.2.7'
from call where state <> 'finished'
"""

_WINDOWS = """
insert into neuronetz.budget_windows (tenant_id, scope_id, kind, starts_at, used, held, touched_at)
select c.tenant_id, x.scope_id, x.kind, x.starts_at,
    sum(case c.state when 'finished' then c.prompt_tokens + c.output_tokens when 'reaped' then c.prompt_tokens + 1000
        else 0 end),
    sum(case c.state when 'open' then c.prompt_tokens + 1000 else 0 end), max(c.at)
from call c
cross join lateral neuronetz.windows_of(c.tenant_id, c.budget_id, c.day_start, c.month_start) x
group by 1, 2, 3, 4
on conflict (tenant_id, scope_id, kind, starts_at) do update set used = excluded.used, held = excluded.held
"""

_UNBALANCED = """
with charged as (
    select a.tenant_id, a.key_id, sum(a.prompt_tokens + a.output_tokens)::bigint as tokens
    from neuronetz.audit a where a.event in ('finished', 'reaped', 'corrected') group by 1, 2
), held as (
    select h.tenant_id, h.key_id, sum(h.tokens)::bigint as tokens
    from neuronetz.holds h where h.state = 'open' group by 1, 2
), owed as (
    select k.tenant_id, k.budget_id, sum(coalesce(c.tokens, 0)) as used, sum(coalesce(h.tokens, 0)) as held
    from neuronetz.api_keys k
    left join charged c on c.tenant_id = k.tenant_id and c.key_id = k.id
    left join held h on h.tenant_id = k.tenant_id and h.key_id = k.id
    group by 1, 2
), scopes as (
    select tenant_id, budget_id as scope_id, used, held from owed
    union all
    select tenant_id, tenant_id, sum(used), sum(held) from owed group by tenant_id
)
select count(*) from scopes s
left join neuronetz.budget_windows w on w.tenant_id = s.tenant_id and w.scope_id = s.scope_id and w.kind = 2
where (coalesce(w.used, 0), coalesce(w.held, 0)) <> (s.used, s.held)
"""

_SUMS = """
select
    (select count(*) from neuronetz.tenants) as tenants,
    (select count(*) from neuronetz.api_keys) as keys,
    (select count(*) from neuronetz.api_keys where revoked_at is not null) as revoked_keys,
    (select count(*) from neuronetz.audit) as audit_rows,
    (select count(*) from neuronetz.holds where state = 'open') as open_holds,
    (select count(*) from neuronetz.holds where state = 'reaped') as reaped_holds,
    (select coalesce(sum(used), 0)::bigint from neuronetz.budget_windows) as used,
    (select coalesce(sum(held), 0)::bigint from neuronetz.budget_windows) as held
"""


def fill(url: str, size: Size) -> None:
    """Fills an empty database of ours.

    Args:
        url: with the rights of its owner, who must be allowed to leave triggers out.
        size: how much.
    """
    with psycopg.connect(url) as connection:
        connection.execute("set local session_replication_role = replica")  # nobody listens yet, nothing to record
        connection.execute("select setseed(0.5)")
        numbers = attrs.asdict(size)
        for statements in (_SPACE, _PARTITIONS, _PARTIES, _CALLS, _AUDIT, _HOLDS, _WINDOWS):
            for statement in statements.split(";\n\n"):
                psycopg.ClientCursor(connection).execute(statement, numbers)
        connection.execute(
            "insert into neuronetz.budget_windows (tenant_id, scope_id, kind, starts_at)"
            " select id, id, 2, neuronetz.dawn() from neuronetz.tenants on conflict do nothing"
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("analyze")


def sums(connection: psycopg.Connection) -> dict[str, int]:
    """What must be the same in a copy of these books."""
    cursor = connection.execute(_SUMS)
    row = cursor.fetchone()
    if row is None or cursor.description is None:
        raise AssertionError("a select without a table has one row")
    return {column.name: int(value) for column, value in zip(cursor.description, row, strict=True)}


def unbalanced(connection: psycopg.Connection) -> int:
    """How many total windows of tenants and keys do not agree with audit and holds."""
    row = connection.execute(_UNBALANCED).fetchone()
    return -1 if row is None else int(row[0])
