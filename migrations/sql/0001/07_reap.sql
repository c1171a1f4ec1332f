-- Holds of processes that died: charged in full, since what they used is unknown. One bounded batch a call; returns how
-- many were closed, so that the caller can go on until it is none. Any number of gateways may call it at once: who
-- comes second waits for the tenants' locks, looks again, and finds nothing left to do.
create function neuronetz.orphans(stale_after interval, at_most int, among uuid[] default null)
returns table (tenant_id uuid, request_id uuid)
language sql stable
as $$
    select h.tenant_id, h.request_id
    from neuronetz.holds h
    left join neuronetz.processes p on p.id = h.process_id
    where h.state = 'open'
        and coalesce(p.beat_at, h.opened_at) < neuronetz.ledger_now() - stale_after
        and (among is null or h.tenant_id = any (among))
    order by h.tenant_id, h.request_id
    limit at_most
$$;

create function neuronetz.reap(stale_after interval, at_most int default 500) returns int
language plpgsql
as $$
declare
    this_instant constant timestamptz := neuronetz.ledger_now();
    tenants uuid[];
    movements neuronetz.movement[];
begin
    tenants := array(select distinct o.tenant_id from neuronetz.orphans(stale_after, at_most) o);
    perform neuronetz.lock_tenants(tenants);
    with closed as (
        update neuronetz.holds h
        set state = 'reaped', charged = h.tokens, reaped_at = this_instant
        from neuronetz.orphans(stale_after, at_most, tenants) o
        where h.tenant_id = o.tenant_id and h.request_id = o.request_id
        returning h.*
    ), told as (
        insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address,
            outcome, status, prompt_tokens, output_tokens, held_tokens)
        select this_instant, c.tenant_id, c.request_id, 'reaped', c.key_id, c.key_prefix, c.route, c.model, c.address,
            'reaped', 0, c.prompt_tokens, c.tokens - c.prompt_tokens, c.tokens
        from closed c
    )
    select array_agg((c.tenant_id, c.budget_id, c.day_start, c.month_start, c.tokens, -c.tokens)::neuronetz.movement)
    into movements from closed c;
    if movements is not null then
        perform neuronetz.move_tokens(movements);
    end if;
    return coalesce(cardinality(movements), 0);
end
$$;

-- Forgets what no longer matters: reaped holds after a day, and processes that are gone and hold nothing. Skips what
-- is locked, because it takes no tenant's lock and must therefore wait for nobody.
create function neuronetz.forget_the_dead(stale_after interval) returns void
language plpgsql
as $$
begin
    delete from neuronetz.holds h
    where (h.tenant_id, h.request_id) in (
        select o.tenant_id, o.request_id from neuronetz.holds o
        where o.state = 'reaped' and o.reaped_at < neuronetz.ledger_now() - interval '24 hours'
        limit 1000 for update skip locked);
    delete from neuronetz.processes p
    where p.id in (
        select d.id from neuronetz.processes d
        where d.beat_at < neuronetz.ledger_now() - stale_after
            and not exists (select from neuronetz.holds h where h.process_id = d.id and h.state = 'open')
        for update skip locked);
end
$$;
