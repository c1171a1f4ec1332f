-- The ledger: one statement per batch of settlements and holds, sent by the lane of one gateway process.
--
--   lock the tenants -> close what is settled -> read keys, tenants and limits -> who fits -> write -> verdicts
--
-- It runs in READ COMMITTED and is volatile, so each statement in it sees what was committed before that statement:
-- everything after the lock sees all that former holders of the lock have done, and a revocation, a lowered budget or
-- a new epoch binds from its commit on. A hold and its settlement never come in one batch; the lane sees to that.
-- Everything is idempotent by request id, so a batch whose answer was lost is simply sent again.

create type neuronetz.movement as (
    tenant_id uuid, budget_id uuid, day_start timestamptz, month_start timestamptz, used bigint, held bigint);

create type neuronetz.ask as (
    place bigint, request_id uuid, tenant_id uuid, key_id uuid, budget_id uuid,
    prompt_tokens bigint, output_tokens bigint, output_factor bigint, tokens bigint,
    key_prefix text, route text, model text, address text,
    tenant_daily bigint, tenant_monthly bigint, tenant_total bigint,
    key_daily bigint, key_monthly bigint, key_total bigint,
    verdict text,      -- null while it is, or once it has been, granted; else 'again', 'stale' or 'spent'
    spent jsonb);

-- The six windows of a key. Inlined by the planner.
create function neuronetz.windows_of(tenant_id uuid, budget_id uuid, day_start timestamptz, month_start timestamptz)
returns table (scope_id uuid, kind smallint, starts_at timestamptz)
language sql immutable
as $$
    values (tenant_id, 0::smallint, day_start), (tenant_id, 1::smallint, month_start),
           (tenant_id, 2::smallint, neuronetz.dawn()),
           (budget_id, 0::smallint, day_start), (budget_id, 1::smallint, month_start),
           (budget_id, 2::smallint, neuronetz.dawn())
$$;

-- The same with the limit of each. Inlined likewise.
create function neuronetz.limits_of(a neuronetz.ask, day_start timestamptz, month_start timestamptz)
returns table (scope_id uuid, kind smallint, starts_at timestamptz, most bigint)
language sql immutable
as $$
    values (a.tenant_id, 0::smallint, day_start, a.tenant_daily),
           (a.tenant_id, 1::smallint, month_start, a.tenant_monthly),
           (a.tenant_id, 2::smallint, neuronetz.dawn(), a.tenant_total),
           (a.budget_id, 0::smallint, day_start, a.key_daily),
           (a.budget_id, 1::smallint, month_start, a.key_monthly),
           (a.budget_id, 2::smallint, neuronetz.dawn(), a.key_total)
$$;

-- Adds to the windows, each row once. The caller holds the tenants' locks.
create function neuronetz.move_tokens(movements neuronetz.movement[]) returns void
language plpgsql
as $$
begin
    update neuronetz.budget_windows w
    set used = w.used + d.used, held = w.held + d.held, touched_at = neuronetz.ledger_now()
    from (
        select m.tenant_id, x.scope_id, x.kind, x.starts_at, sum(m.used)::bigint as used, sum(m.held)::bigint as held
        from unnest(movements) m
        cross join lateral neuronetz.windows_of(m.tenant_id, m.budget_id, m.day_start, m.month_start) x
        group by m.tenant_id, x.scope_id, x.kind, x.starts_at
    ) d
    where w.tenant_id = d.tenant_id and w.scope_id = d.scope_id and w.kind = d.kind and w.starts_at = d.starts_at;
end
$$;

-- Locks tenants, in ascending order.
create function neuronetz.lock_tenants(tenants uuid[]) returns void
language plpgsql
as $$
begin
    perform from (
        select from unnest(tenants) t (id)
        join neuronetz.budget_windows w
            on w.tenant_id = t.id and w.scope_id = t.id and w.kind = 2 and w.starts_at = neuronetz.dawn()
        order by w.tenant_id
        for no key update of w
    ) locked;
end
$$;

-- Closes what is settled: the hold goes, the audit's last row comes. Returns what that moves. A settlement whose hold
-- is not there is ignored. Of a reaped hold, only the difference is given back.
create function neuronetz.close_holds(settles jsonb) returns neuronetz.movement[]
language plpgsql
as $$
declare
    moved neuronetz.movement[];
begin
    with ends as (
        select * from jsonb_to_recordset(settles) as s (
            tenant_id uuid, request_id uuid, outcome text, prompt_tokens bigint, output_tokens bigint,
            overshoot_tokens bigint, backend text, status smallint, code text, bytes_out bigint, queued_ms bigint,
            first_byte_ms bigint, duration_ms bigint)
    ), gone as (
        delete from neuronetz.holds h using ends e
        where h.tenant_id = e.tenant_id and h.request_id = e.request_id
        returning h.*, e.outcome, e.overshoot_tokens, e.backend, e.status, e.code, e.bytes_out, e.queued_ms,
            e.first_byte_ms, e.duration_ms,
            least(greatest(e.prompt_tokens, 0), h.tokens) as prompt_used,
            least(greatest(e.output_tokens, 0), h.tokens - least(greatest(e.prompt_tokens, 0), h.tokens)) as output_used
    ), told as (
        insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address,
            backend, outcome, status, code, prompt_tokens, output_tokens, held_tokens, overshoot_tokens, bytes_out,
            queued_ms, first_byte_ms, duration_ms)
        select neuronetz.ledger_now(), g.tenant_id, g.request_id,
            case g.state when 'open' then 'finished' else 'corrected' end,
            g.key_id, g.key_prefix, g.route, g.model, g.address, g.backend, g.outcome, g.status, g.code,
            case g.state when 'open' then g.prompt_used else g.prompt_used - g.prompt_tokens end,
            case g.state when 'open' then g.output_used else g.output_used - (g.charged - g.prompt_tokens) end,
            g.tokens, g.overshoot_tokens, g.bytes_out, g.queued_ms, g.first_byte_ms, g.duration_ms
        from gone g
    )
    select array_agg((g.tenant_id, g.budget_id, g.day_start, g.month_start,
            g.prompt_used + g.output_used - coalesce(g.charged, 0),
            case g.state when 'open' then -g.tokens else 0 end)::neuronetz.movement)
    into moved from gone g;
    return moved;
end
$$;

-- Reads the askers fresh: who is gone, revoked, expired, suspended or of a former epoch is stale.
create function neuronetz.read_asks(holds jsonb) returns neuronetz.ask[]
language plpgsql
as $$
declare
    asks neuronetz.ask[];
begin
    select array_agg((i.place, i.request_id, i.tenant_id, i.key_id, k.budget_id, i.prompt_tokens,
            coalesce(h.output_tokens, i.output_tokens), i.output_factor,
            i.prompt_tokens + i.output_factor * i.output_tokens, i.key_prefix, i.route, i.model, i.address,
            t.daily_tokens, t.monthly_tokens, t.total_tokens, k.daily_tokens, k.monthly_tokens, k.total_tokens,
            case
                when h.state = 'open' then 'again'
                when h.state = 'reaped' or t.id is null or k.id is null or t.state <> 'active'
                    or k.revoked_at is not null or k.expires_at <= neuronetz.ledger_now()
                    or t.limits_epoch is distinct from i.epoch then 'stale'
            end,
            null)::neuronetz.ask order by i.place)
    into asks
    from rows from (jsonb_to_recordset(holds) as (request_id uuid, tenant_id uuid, key_id uuid, key_prefix text,
            epoch bigint, prompt_tokens bigint, output_tokens bigint, output_factor bigint, route text, model text,
            address text)) with ordinality
        as i (request_id, tenant_id, key_id, key_prefix, epoch, prompt_tokens, output_tokens, output_factor, route,
            model, address, place)
    left join neuronetz.tenants t on t.id = i.tenant_id
    left join neuronetz.api_keys k on k.tenant_id = i.tenant_id and k.id = i.key_id
    left join neuronetz.holds h on h.tenant_id = i.tenant_id and h.request_id = i.request_id;
    return asks;
end
$$;

-- One ask near a limit: its output is lowered to what the tightest window has left, or it is spent.
create function neuronetz.fit(a neuronetz.ask, day_start timestamptz, month_start timestamptz) returns neuronetz.ask
language plpgsql
as $$
declare
    tightest record;
begin
    select x.scope_id, x.kind, x.starts_at, x.most, w.used, w.held, x.most - w.used - w.held as room
    into tightest
    from neuronetz.limits_of(a, day_start, month_start) x
    join neuronetz.budget_windows w
        on w.tenant_id = a.tenant_id and w.scope_id = x.scope_id and w.kind = x.kind and w.starts_at = x.starts_at
    where x.most is not null
    order by room, x.kind desc, x.scope_id = a.tenant_id
    limit 1;
    if not found or a.tokens <= tightest.room then
        return a;
    end if;
    if a.output_tokens > 0 and tightest.room - a.prompt_tokens >= a.output_factor then
        a.output_tokens := (tightest.room - a.prompt_tokens) / a.output_factor;
        a.tokens := a.prompt_tokens + a.output_factor * a.output_tokens;
        return a;
    end if;
    a.verdict := 'spent';
    a.spent := jsonb_build_object(
        'scope', case tightest.scope_id when a.tenant_id then 'tenant' else 'key' end,
        'window', (array['daily', 'monthly', 'total'])[tightest.kind + 1],
        'limit', tightest.most, 'used', tightest.used, 'held', tightest.held,
        'ends', case tightest.kind
            when 0 then extract(epoch from tightest.starts_at + interval '24 hours')::bigint
            when 1 then extract(epoch from
                (tightest.starts_at at time zone 'UTC' + interval '1 month') at time zone 'UTC')::bigint
        end);
    return a;
end
$$;

create function neuronetz.ledger(batch jsonb) returns jsonb
language plpgsql
as $$
declare
    this_instant constant timestamptz := neuronetz.ledger_now();
    today constant timestamptz := date_trunc('day', this_instant, 'UTC');
    this_month constant timestamptz := date_trunc('month', this_instant, 'UTC');
    movements neuronetz.movement[];
    asks neuronetz.ask[];
    crowded uuid[];
    incomplete boolean;
begin
    if jsonb_array_length(batch->'settles') + jsonb_array_length(batch->'holds') = 0 then
        perform neuronetz.require_writable();
        return '[]';
    end if;

    perform neuronetz.lock_tenants(array(
        select tenant_id from jsonb_to_recordset(batch->'settles') as s (tenant_id uuid)
        union
        select tenant_id from jsonb_to_recordset(batch->'holds') as h (tenant_id uuid)));

    if jsonb_array_length(batch->'settles') > 0 then
        movements := neuronetz.close_holds(batch->'settles');
    end if;
    if jsonb_array_length(batch->'holds') = 0 then
        perform neuronetz.move_tokens(movements);
        return '[]';
    end if;

    asks := neuronetz.read_asks(batch->'holds');

    -- Which tenants may be too close to a limit for taking all their asks at once. What is being settled only makes
    -- room and is left out here: such a tenant is looked at ask by ask below, exactly.
    select array_agg(distinct n.tenant_id) filter (where coalesce(w.used + w.held, 0) + n.need > n.most),
        coalesce(bool_or(w.tenant_id is null), false)
    into crowded, incomplete
    from (
        select a.tenant_id, x.scope_id, x.kind, x.starts_at, min(x.most) as most, sum(a.tokens)::bigint as need
        from unnest(asks) a
        cross join lateral (
            values (a.tenant_id, 0::smallint, today, a.tenant_daily),
                   (a.tenant_id, 1::smallint, this_month, a.tenant_monthly),
                   (a.tenant_id, 2::smallint, neuronetz.dawn(), a.tenant_total),
                   (a.budget_id, 0::smallint, today, a.key_daily),
                   (a.budget_id, 1::smallint, this_month, a.key_monthly),
                   (a.budget_id, 2::smallint, neuronetz.dawn(), a.key_total)
        ) x (scope_id, kind, starts_at, most)
        where a.verdict is null
        group by a.tenant_id, x.scope_id, x.kind, x.starts_at
    ) n
    left join neuronetz.budget_windows w
        on w.tenant_id = n.tenant_id and w.scope_id = n.scope_id and w.kind = n.kind and w.starts_at = n.starts_at;

    if incomplete then
        insert into neuronetz.budget_windows (tenant_id, scope_id, kind, starts_at)
        select distinct a.tenant_id, x.scope_id, x.kind, x.starts_at
        from unnest(asks) a
        cross join lateral neuronetz.windows_of(a.tenant_id, a.budget_id, today, this_month) x
        where a.verdict is null
        order by 1, 2, 3, 4
        on conflict do nothing;
    end if;

    perform neuronetz.move_tokens(movements || array(
        select (a.tenant_id, a.budget_id, today, this_month, 0, a.tokens)::neuronetz.movement
        from unnest(asks) a
        where a.verdict is null and (crowded is null or a.tenant_id <> all (crowded))));

    if crowded is not null then
        for i in 1..cardinality(asks) loop
            if asks[i].verdict is null and asks[i].tenant_id = any (crowded) then
                asks[i] := neuronetz.fit(asks[i], today, this_month);
                if asks[i].verdict is null then
                    perform neuronetz.move_tokens(array[(asks[i].tenant_id, asks[i].budget_id, today, this_month, 0,
                        asks[i].tokens)::neuronetz.movement]);
                end if;
            end if;
        end loop;
    end if;

    with granted as (
        select * from unnest(asks) a where a.verdict is null
    ), held as (
        insert into neuronetz.holds (tenant_id, request_id, key_id, budget_id, process_id, prompt_tokens,
            output_tokens, output_factor, tokens, day_start, month_start, opened_at, key_prefix, route, model, address)
        select g.tenant_id, g.request_id, g.key_id, g.budget_id, (batch->>'process')::uuid, g.prompt_tokens,
            g.output_tokens, g.output_factor, g.tokens, today, this_month, this_instant, g.key_prefix, g.route, g.model,
            g.address
        from granted g
    )
    insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address,
        prompt_tokens, output_tokens, held_tokens)
    select this_instant, g.tenant_id, g.request_id, 'started', g.key_id, g.key_prefix, g.route, g.model, g.address,
        g.prompt_tokens, g.output_tokens, g.tokens
    from granted g;

    return (
        select jsonb_agg(case a.verdict
                when 'stale' then '{"verdict": "stale"}'
                when 'spent' then a.spent || '{"verdict": "spent"}'
                else jsonb_build_object('verdict', 'granted', 'output_tokens', a.output_tokens)
            end order by a.place)
        from unnest(asks) a);
end
$$;

-- What an empty batch asks: could a hold be written now?
create function neuronetz.require_writable() returns void
language plpgsql
as $$
begin
    if current_setting('transaction_read_only')::boolean then
        raise exception 'The database is read-only.' using errcode = 'read_only_sql_transaction';
    end if;
    if to_regclass('neuronetz.audit_' || to_char(neuronetz.ledger_now() at time zone 'UTC', 'YYYY_MM')) is null then
        raise exception 'The audit has no partition for this month.' using errcode = 'check_violation';
    end if;
end
$$;
