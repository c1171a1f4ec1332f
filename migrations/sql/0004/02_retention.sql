-- Drops the months of the audit before a given one. Dropping waits for, and then stops, whoever writes: not for longer
-- than half a second, then it gives up and can be tried again.
create or replace function neuronetz.drop_audit_before(month date) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '500ms'
as $$
declare
    latest constant date := date_trunc('month', neuronetz.ledger_now())::date - interval '1 month';
    partition text;
    dropped text[] := '{}';
begin
    if month is null or month <> date_trunc('month', month) then
        raise exception 'Name the first day of a month.' using errcode = 'invalid_parameter_value';
    end if;
    if month > latest then
        raise exception 'The current and the previous month are kept: the latest month to name is %.', latest
            using errcode = 'invalid_parameter_value';
    end if;
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'neuronetz.audit'::regclass and c.relname ~ '^audit_\d{4}_\d{2}$'
            and to_date(c.relname, '"audit_"YYYY_MM') < month
        order by c.relname
    loop
        execute format('drop table neuronetz.%I', partition);
        dropped := dropped || partition;
    end loop;
    if cardinality(dropped) > 0 then
        delete from neuronetz.seal_rows r where r.last_at < month::timestamptz;
        insert into neuronetz.audit (at, event, actor, detail)
        values (neuronetz.ledger_now(), 'admin', neuronetz.sql_actor(), jsonb_build_object('login', session_user,
            'change', 'drop_audit', 'after', jsonb_build_object('before', month, 'dropped', dropped)));
    end if;
    return dropped;
end
$$;
