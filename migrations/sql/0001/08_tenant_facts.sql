-- Starts a new epoch of a tenant's limit windows and tells what they are restored from. The lock and the epoch make a
-- fence: a hold that is committed is among the facts; one that is not will find the epoch changed and be refused.
create function neuronetz.tenant_facts(tenant uuid) returns jsonb
language plpgsql
as $$
declare
    this_instant constant timestamptz := neuronetz.ledger_now();
    horizon constant timestamptz := this_instant - interval '61 seconds';
    epoch bigint;
    recent jsonb;
    generations jsonb;
begin
    perform neuronetz.lock_tenants(array[tenant]);
    update neuronetz.tenants t set limits_epoch = t.limits_epoch + 1 where t.id = tenant
    returning t.limits_epoch into epoch;
    if epoch is null then
        return null;
    end if;
    select coalesce(jsonb_agg(to_jsonb(c)), '[]') into recent from (
        select replace(a.request_id::text, '-', '') as request_id, min(a.key_id::text) as key_id,
            extract(epoch from this_instant - min(a.at))::float8 as age_s,
            coalesce(
                sum(a.prompt_tokens + a.output_tokens) filter (where a.event <> 'started'),
                max(a.held_tokens))::bigint as tokens,
            not bool_or(a.event <> 'started') as open
        from neuronetz.audit a
        where a.tenant_id = tenant and a.at > horizon and a.event in ('started', 'finished', 'reaped', 'corrected')
        group by a.request_id
        having bool_or(a.event = 'started')
        union all
        select replace(h.request_id::text, '-', ''), h.key_id::text,
            extract(epoch from this_instant - h.opened_at)::float8, h.tokens, true
        from neuronetz.holds h
        where h.tenant_id = tenant and h.state = 'open' and h.opened_at <= horizon
        order by age_s desc
    ) c;
    select coalesce(jsonb_agg(jsonb_build_array(g.id, g.generation)), '[]') into generations from (
        select t.id, t.generation from neuronetz.tenants t
        where t.id = tenant and t.changed_at > this_instant - interval '1 hour'
        union all
        select k.id, k.generation from neuronetz.api_keys k
        where k.tenant_id = tenant and k.changed_at > this_instant - interval '1 hour'
    ) g;
    return jsonb_build_object('epoch', epoch, 'recent', recent, 'generations', generations);
end
$$;
