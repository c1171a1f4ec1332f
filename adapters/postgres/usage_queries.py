"""The queries of the usage reader. Sums come from the ledger's windows where those suffice, else from the audit."""

from __future__ import annotations

_SUMS = """
    count(*) filter (where a.event = 'started') as calls,
    coalesce(sum(a.prompt_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
        as prompt_tokens,
    coalesce(sum(a.output_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
        as output_tokens,
    coalesce(sum(a.count) filter (where a.event = 'refused'), 0)::bigint as refused
"""

KEY_OF_TENANT = "select id from neuronetz.api_keys where tenant_id = %(tenant_id)s and prefix = %(prefix)s"

SPANS = """
    select count(*) as spans, min(s) as since,
        coalesce(%(until)s::timestamptz, neuronetz.ledger_now() + interval '1 microsecond') as until
    from generate_series(date_trunc(%(by)s, %(since)s::timestamptz, 'UTC'),
        coalesce(%(until)s::timestamptz, neuronetz.ledger_now()), %(step)s::interval) s
"""

BY_TIME = f"""
    select s as starts, coalesce(u.calls, 0) as calls, coalesce(u.prompt_tokens, 0) as prompt_tokens,
        coalesce(u.output_tokens, 0) as output_tokens, coalesce(u.refused, 0) as refused
    from generate_series(
        %(since)s::timestamptz, %(until)s::timestamptz - interval '1 microsecond', %(step)s::interval) s
    left join (
        select date_trunc(%(by)s, a.at, 'UTC') as starts, {_SUMS}
        from neuronetz.audit a
        where a.tenant_id = %(tenant_id)s and a.at >= %(since)s and a.at < %(until)s
            and (%(key_id)s::uuid is null or a.key_id = %(key_id)s) and a.event <> 'admin'
        group by 1
    ) u on u.starts = s
    order by s
"""  # noqa: S608  put together from constants

BY_TENANT = """
    with busiest as (
        select t.id, t.name, t.state, t.daily_tokens, t.monthly_tokens, coalesce(d.used, 0) as today,
            coalesce(m.used, 0) as this_month
        from neuronetz.tenants t
        left join neuronetz.budget_windows m on m.tenant_id = t.id and m.scope_id = m.tenant_id and m.kind = 1
            and m.starts_at = date_trunc('month', neuronetz.ledger_now(), 'UTC')
        left join neuronetz.budget_windows d on d.tenant_id = t.id and d.scope_id = d.tenant_id and d.kind = 0
            and d.starts_at = date_trunc('day', neuronetz.ledger_now(), 'UTC')
        order by this_month desc, today desc, t.name
        limit %(most)s
    )
    select b.name, b.state, b.daily_tokens, b.monthly_tokens, b.today, b.this_month, coalesce(o.held, 0) as held
    from busiest b
    left join neuronetz.budget_windows o on o.tenant_id = b.id and o.scope_id = b.id and o.kind = 2
        and o.starts_at = neuronetz.dawn()
    order by b.this_month desc, b.today desc, b.name
"""
"""`scope_id = tenant_id` in these words, because the index of tenants' windows has them as its condition."""

STANDING = """
    select neuronetz.ledger_now() as now,
        (select count(*) from neuronetz.processes p
            where p.beat_at > neuronetz.ledger_now() - make_interval(secs => %(alive_within_s)s)) as gateways,
        count(*) as in_flight, extract(epoch from neuronetz.ledger_now() - min(h.opened_at))::float8 as oldest_s
    from neuronetz.holds h where h.state = 'open'
"""

FLOWS = f"""
    select a.backend, a.at > %(now)s::timestamptz - interval '10 seconds' as fresh, {_SUMS}
    from neuronetz.audit a
    where a.at > %(now)s::timestamptz - interval '60 seconds'
    group by 1, 2
"""  # noqa: S608  put together from constants

TENANT_FLOWS = f"""
    with recent as (
        select a.tenant_id, {_SUMS}
        from neuronetz.audit a
        where a.at > %(now)s::timestamptz - interval '60 seconds' and a.event not in ('admin', 'read')
        group by 1
    ), in_flight as (
        select h.tenant_id, count(*) as holds from neuronetz.holds h where h.state = 'open' group by 1
    ), busiest as (
        select tenant_id, coalesce(f.holds, 0) as holds, coalesce(r.calls, 0) as calls,
            coalesce(r.refused, 0) as refused, coalesce(r.prompt_tokens + r.output_tokens, 0) as tokens
        from recent r full join in_flight f using (tenant_id)
        join neuronetz.tenants t on t.id = tenant_id
        order by holds desc, tokens desc, calls desc, refused desc, t.name
        limit %(most)s
    )
    select t.name, t.daily_tokens, b.*, coalesce(w.used + w.held, 0) as today
    from busiest b
    join neuronetz.tenants t on t.id = b.tenant_id
    left join neuronetz.budget_windows w on w.tenant_id = t.id and w.scope_id = t.id and w.kind = 0
        and w.starts_at = date_trunc('day', neuronetz.ledger_now(), 'UTC')
    order by b.holds desc, b.tokens desc, b.calls desc, b.refused desc, t.name
"""  # noqa: S608  put together from constants
