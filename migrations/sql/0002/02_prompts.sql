-- Kept prompts and answers of the keys that are to be logged: encrypted, and partitioned by the UTC day in which they
-- expire, so that forgetting is dropping a partition. The keys that they are encrypted with are never here, wrapped or
-- not: only their ids and when they end. What leaves with a dump or a base backup thus says nothing once those keys are
-- destroyed in the other store.
--
-- Written and purged by the functions below only. They run as their owner, because partitions are made and dropped by
-- whoever owns the table, and a gateway need not.
alter table neuronetz.api_keys add column prompt_log_ttl_s integer
    check (prompt_log_ttl_s between 3600 and 365 * 86400);
comment on column neuronetz.api_keys.prompt_log_ttl_s is
    'How many seconds prompts and answers of this key are kept; null, the rule, means never.';
create index api_keys_with_prompt_log on neuronetz.api_keys (id) where prompt_log_ttl_s is not null;

create table neuronetz.prompts (
    tenant_id    uuid not null,
    request_id   uuid not null,
    at           timestamptz not null,
    expires_at   timestamptz not null,
    key_id       uuid not null,
    key_prefix   text not null,
    route        text not null,
    model        text not null,
    streamed     boolean not null,
    hour_key_id  uuid not null,
    prompt_bytes integer not null,
    prompt_cut   boolean not null,
    prompt       bytea not null,
    answer_bytes integer not null,
    answer_cut   boolean not null,
    answer       bytea not null,
    primary key (tenant_id, request_id, expires_at)
) partition by range (expires_at);
alter table neuronetz.prompts alter column prompt set storage external, alter column answer set storage external;
create index prompts_by_time on neuronetz.prompts (tenant_id, at);
create index prompts_by_request on neuronetz.prompts (request_id);
comment on table neuronetz.prompts is
    'Encrypted. To be read through `neuronetz-gateway prompts`, which writes down who looked.';

create table neuronetz.prompt_hour_keys (
    id      uuid primary key,
    ends_at timestamptz not null
);
comment on table neuronetz.prompt_hour_keys is
    'Which hour keys there may be in the other store, so that they are destroyed at their hour. Never the keys.';

-- A partition, if it is not there. A new table is attached rather than created in place: that does not stop those who
-- write elsewhere. Here and below one waits for the other at a lock of a table, because an advisory one can be taken, and
-- kept, by any login.
create function neuronetz.make_prompt_partition(day date) returns void
language plpgsql
set timezone = 'UTC'
as $$
declare
    partition constant text := format('prompts_%s', to_char(day, 'YYYY_MM_DD'));
begin
    for attempt in 1..2 loop
        if exists (select from pg_catalog.pg_class c
            where c.relnamespace = 'neuronetz'::regnamespace and c.relname = partition) then
            return;
        end if;
        if attempt = 1 then  -- and look again with the lock: whoever had it may have made this very partition
            lock table only neuronetz.prompts in share update exclusive mode;
        end if;
    end loop;
    execute format('create table neuronetz.%I (like neuronetz.prompts including all)', partition);
    execute format('alter table neuronetz.prompts attach partition neuronetz.%I for values from (%L) to (%L)',
        partition, day::timestamptz, (day + 1)::timestamptz);
end
$$;

-- Writes entries, each once, and leaves out what has expired by now. Returns how many were new.
create function neuronetz.write_prompts(entries jsonb) returns int
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '2s'
as $$
declare
    this_instant constant timestamptz := neuronetz.ledger_now();
    written int;
begin
    perform neuronetz.make_prompt_partition(d.day) from (
        select distinct e.expires_at::date as day
        from jsonb_to_recordset(entries) as e (expires_at timestamptz) where e.expires_at > this_instant
    ) d;
    insert into neuronetz.prompt_hour_keys (id, ends_at)
    select distinct e.hour_key_id, e.hour_key_ends_at
    from jsonb_to_recordset(entries) as e (hour_key_id uuid, hour_key_ends_at timestamptz)
    where e.hour_key_ends_at > this_instant
    on conflict do nothing;
    insert into neuronetz.prompts (tenant_id, request_id, at, expires_at, key_id, key_prefix, route, model, streamed,
        hour_key_id, prompt_bytes, prompt_cut, prompt, answer_bytes, answer_cut, answer)
    select e.tenant_id, e.request_id, e.at, e.expires_at, e.key_id, e.key_prefix, e.route, e.model, e.streamed,
        e.hour_key_id, e.prompt_bytes, e.prompt_cut, decode(e.prompt, 'base64'), e.answer_bytes, e.answer_cut,
        decode(e.answer, 'base64')
    from jsonb_to_recordset(entries) as e (tenant_id uuid, request_id uuid, at timestamptz, expires_at timestamptz,
        key_id uuid, key_prefix text, route text, model text, streamed boolean, hour_key_id uuid,
        prompt_bytes int, prompt_cut boolean, prompt text, answer_bytes int, answer_cut boolean, answer text)
    where e.expires_at > this_instant
    on conflict do nothing;
    get diagnostics written = row_count;
    return written;
end
$$;

-- Drops the days that are over, and tells the hour keys whose hour is. Of several gateways one does it. Nobody waits
-- for the drop, nor it for long for anybody: a day that somebody reads just now goes at the next call.
create function neuronetz.purge_prompts() returns setof uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
declare
    this_instant constant timestamptz := neuronetz.ledger_now();
    today constant text := format('prompts_%s', to_char(this_instant, 'YYYY_MM_DD'));
    partition name;
begin
    begin
        lock table neuronetz.prompt_hour_keys in share update exclusive mode nowait;
    exception when lock_not_available then
        return;
    end;
    for partition in
        select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'neuronetz.prompts'::regclass and c.relname < today
        order by c.relname
    loop
        begin
            execute format('drop table neuronetz.%I', partition);
        exception when lock_not_available then
            null;
        end;
    end loop;
    return query select k.id from neuronetz.prompt_hour_keys k where k.ends_at <= this_instant;
end
$$;

create function neuronetz.forget_hour_keys(ids uuid[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from neuronetz.prompt_hour_keys k where k.id = any (ids) and k.ends_at <= neuronetz.ledger_now()
$$;

revoke execute on function neuronetz.make_prompt_partition(date), neuronetz.write_prompts(jsonb),
    neuronetz.purge_prompts(), neuronetz.forget_hour_keys(uuid[]) from public;
