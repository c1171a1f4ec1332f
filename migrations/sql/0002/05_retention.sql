-- Months of the audit come and go in the owner's name, so that a gateway need not own the tables and nobody who serves
-- can drop a record.
create or replace function neuronetz.make_audit_partitions() returns int
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
    this_month constant timestamptz := date_trunc('month', neuronetz.ledger_now());
    month timestamptz;
    partition text;
    made int := 0;
begin
    -- A lock on the table and not an advisory one, which any login could take and keep. It stops nobody who writes.
    lock table only neuronetz.audit in share update exclusive mode;
    for ahead in 0..2 loop
        month := this_month + make_interval(months => ahead);
        partition := format('audit_%s', to_char(month, 'YYYY_MM'));
        if to_regclass('neuronetz.' || partition) is null then
            execute format('create table neuronetz.%I (like neuronetz.audit including all)', partition);
            execute format('create trigger audit_is_not_emptied before truncate on neuronetz.%I '
                'for each statement execute function neuronetz.audit_is_final()', partition);
            execute format('alter table neuronetz.audit attach partition neuronetz.%I for values from (%L) to (%L)',
                partition, month, month + interval '1 month');
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;

-- Drops the months of the audit before a given one. Dropping waits for, and then stops, whoever writes: not for longer
-- than half a second, then it gives up and can be tried again.
create function neuronetz.drop_audit_before(month date) returns text[]
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
        insert into neuronetz.audit (at, event, actor, detail)
        values (neuronetz.ledger_now(), 'admin', neuronetz.sql_actor(), jsonb_build_object('login', session_user,
            'change', 'drop_audit', 'after', jsonb_build_object('before', month, 'dropped', dropped)));
    end if;
    return dropped;
end
$$;
