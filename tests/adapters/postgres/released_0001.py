"""What programs released with revision 0001 ask of the database, word for word. Never edited.

An upgrade leaves them all working, because during a rolling update they run beside the new ones.
"""

from __future__ import annotations

LEDGER = "select neuronetz.ledger(%(batch)s::jsonb)::text"
FACTS = "select neuronetz.tenant_facts(%(tenant_id)s)::text"
REAP = "select neuronetz.reap(%(stale_after)s)"
FORGET = "select neuronetz.forget_the_dead(%(stale_after)s)"
PARTITIONS = "select neuronetz.make_audit_partitions()"
ADD_TENANT = "insert into neuronetz.tenants (name) values (%(name)s)"
SET_STATE = "update neuronetz.tenants set state = %(state)s where name = %(name)s"
ADD_KEY = (
    "insert into neuronetz.api_keys (tenant_id, name, prefix, secret_hash, expires_at)"
    " values (%(tenant_id)s, %(name)s, %(prefix)s, %(secret_hash)s, %(expires_at)s)"
)
REVOKE = "update neuronetz.api_keys set revoked_at = neuronetz.ledger_now() where prefix = %(prefix)s"
REHASH = "update neuronetz.api_keys set secret_hash = %(secret_hash)s where id = %(key_id)s"

TENANTS = """
    select t.*, (select count(*) from neuronetz.api_keys k where k.tenant_id = t.id and k.revoked_at is null)
        as key_count
    from neuronetz.tenants t
"""

KEYS = """
    select k.*, t.name as tenant_name, least(w.touched_at, k.revoked_at) as last_used_at
    from neuronetz.api_keys k
    join neuronetz.tenants t on t.id = k.tenant_id
    left join neuronetz.budget_windows w
        on w.tenant_id = k.tenant_id and w.scope_id = k.budget_id and w.kind = 2 and w.starts_at = neuronetz.dawn()
"""

KNOWN_KEY = """
    select k.*, t.name as tenant_name, t.state as tenant_state, t.generation as tenant_generation,
        t.rpm as tenant_rpm, t.tpm as tenant_tpm, t.concurrency as tenant_concurrency,
        t.daily_tokens as tenant_daily_tokens, t.monthly_tokens as tenant_monthly_tokens,
        t.total_tokens as tenant_total_tokens, t.models as tenant_models
    from neuronetz.api_keys k
    join neuronetz.tenants t on t.id = k.tenant_id
    where k.prefix = %(prefix)s
"""

WINDOWS = """
    select x.kind, coalesce(w.used, 0) as used, coalesce(w.held, 0) as held, neuronetz.ledger_now() as now
    from (values (0::smallint, date_trunc('day', neuronetz.ledger_now(), 'UTC')),
                 (1::smallint, date_trunc('month', neuronetz.ledger_now(), 'UTC')),
                 (2::smallint, neuronetz.dawn())) x (kind, starts_at)
    left join neuronetz.budget_windows w
        on w.tenant_id = %(tenant_id)s and w.scope_id = %(scope_id)s and w.kind = x.kind and w.starts_at = x.starts_at
    order by x.kind
"""

KEY_USE = """
    select k.prefix, k.name,
        count(*) filter (where a.event = 'started') as requests,
        coalesce(sum(a.prompt_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
            as prompt_tokens,
        coalesce(sum(a.output_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
            as output_tokens,
        coalesce(sum(a.count) filter (where a.event = 'refused'), 0)::bigint as refused
    from neuronetz.audit a
    join neuronetz.api_keys k on k.tenant_id = a.tenant_id and k.id = a.key_id
    where a.tenant_id = %(tenant_id)s and a.at >= %(since)s and a.event <> 'admin'
    group by k.id, k.prefix, k.name, k.created_at
    order by k.created_at, k.prefix
"""

SET_TENANT_POLICY = """
    update neuronetz.tenants
    set rpm = %(rpm)s, tpm = %(tpm)s, concurrency = %(concurrency)s, daily_tokens = %(daily_tokens)s,
        monthly_tokens = %(monthly_tokens)s, total_tokens = %(total_tokens)s, models = %(models)s
    where name = %(name)s
"""

SET_KEY_POLICY = """
    update neuronetz.api_keys
    set rpm = %(rpm)s, tpm = %(tpm)s, concurrency = %(concurrency)s, daily_tokens = %(daily_tokens)s,
        monthly_tokens = %(monthly_tokens)s, total_tokens = %(total_tokens)s, models = %(models)s
    where prefix = %(prefix)s
"""

COPY_KEY = """
    insert into neuronetz.api_keys (prefix, secret_hash, tenant_id, name, expires_at, budget_id, rpm, tpm, concurrency,
        daily_tokens, monthly_tokens, total_tokens, models)
    select %(new_prefix)s, %(secret_hash)s, tenant_id, name, expires_at, budget_id, rpm, tpm, concurrency,
        daily_tokens, monthly_tokens, total_tokens, models
    from neuronetz.api_keys where prefix = %(prefix)s
"""

RECORD = """
    insert into neuronetz.audit (at, tenant_id, event, key_id, key_prefix, actor, detail)
    values (neuronetz.ledger_now(), %(tenant_id)s, 'admin', %(key_id)s, %(key_prefix)s, %(actor)s, %(detail)s)
"""

WRITE_NOTES = """
    insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address, status,
        code, count)
    select neuronetz.ledger_now(), coalesce(n.tenant_id, '00000000-0000-0000-0000-000000000000'), n.request_id,
        n.event, n.key_id, n.key_prefix, n.route, n.model, n.address, n.status, n.code, n.count
    from jsonb_to_recordset(%(notes)s::jsonb) as n (tenant_id uuid, request_id uuid, event text, key_id uuid,
        key_prefix text, route text, model text, address text, status smallint, code text, count int)
    where not exists (
        select from neuronetz.audit a
        where %(again)s::boolean and a.at > neuronetz.ledger_now() - interval '1 hour'
            and a.tenant_id = coalesce(n.tenant_id, '00000000-0000-0000-0000-000000000000')
            and a.request_id = n.request_id and a.event = n.event)
    on conflict do nothing
"""

CHANGED = """
    select t.id as tenant_id, null::uuid as key_id, t.generation,
        case t.state when 'suspended' then 'suspended' else 'changed' end as what
    from neuronetz.tenants t where t.changed_at > %(since)s
    union all
    select k.tenant_id, k.id, k.generation, case when k.revoked_at is null then 'changed' else 'revoked' end
    from neuronetz.api_keys k where k.changed_at > %(since)s
"""
GOODBYE = """
    delete from neuronetz.processes p
    where p.id = %s and not exists (select from neuronetz.holds h where h.process_id = p.id and h.state = 'open')
"""

BEAT = """
    insert into neuronetz.processes (id, host) values (%s, %s)
    on conflict (id) do update set beat_at = neuronetz.ledger_now()
"""
