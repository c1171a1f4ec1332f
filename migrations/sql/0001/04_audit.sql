-- The audit: written once, never changed. Partitioned by UTC month, so that retention is dropping a partition, by
-- another role. There is no default partition on purpose: a row that has no place makes its transaction fail, and what
-- cannot be recorded is not served.
create table neuronetz.audit (
    at               timestamptz not null default clock_timestamp(),
    tenant_id        uuid not null default '00000000-0000-0000-0000-000000000000',
    request_id       uuid not null default gen_random_uuid(),
    event            text not null check (event in ('started', 'finished', 'reaped', 'corrected', 'refused', 'read', 'admin')),
    key_id           uuid,
    key_prefix       text,
    route            text,
    model            text,
    address          text,
    backend          text,
    outcome          text,
    status           smallint,
    code             text,
    prompt_tokens    bigint,
    output_tokens    bigint,
    held_tokens      bigint,
    overshoot_tokens bigint,
    bytes_out        bigint,
    queued_ms        bigint,
    first_byte_ms    bigint,
    duration_ms      bigint,
    count            int not null default 1,
    actor            text,
    detail           jsonb,
    xid              xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, at, request_id, event)
) partition by range (at);
comment on column neuronetz.audit.prompt_tokens is
    'started: the bound. finished and reaped: charged. corrected: what a late settlement changed, zero or less in sum with output_tokens. So the charges of a call are the sum over finished, reaped and corrected.';
comment on column neuronetz.audit.count is 'How many equal refusals from one network this row stands for.';
comment on column neuronetz.audit.xid is 'The writing transaction: rows below the oldest running one are complete.';

create function neuronetz.audit_is_final() returns trigger
language plpgsql
as $$
begin
    raise exception 'The audit is final: % on % is not allowed.', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_is_final before update or delete on neuronetz.audit
    for each row execute function neuronetz.audit_is_final();
create trigger audit_is_not_emptied before truncate on neuronetz.audit
    for each statement execute function neuronetz.audit_is_final();

-- Makes the partitions of this month and of the two after it. A new table is attached rather than created in place:
-- attaching does not wait for, or stop, those who write.
create function neuronetz.make_audit_partitions() returns int
language plpgsql
set timezone = 'UTC'
as $$
declare
    this_month constant timestamptz := date_trunc('month', neuronetz.ledger_now());
    month timestamptz;
    partition text;
    made int := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('neuronetz.make_audit_partitions', 0));
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
select neuronetz.make_audit_partitions();
