-- Seals over the audit, so that whoever may write this database still cannot change what was written without being
-- found out: each closes a span of transactions with a keyed root over their rows, and names the seal before it. The
-- key is the gateways' and is never here. What a seal says, and how it is checked: domain/seals.py.
--
-- A span of transactions and not of time: rows become visible in the order of their commits, which is neither that of
-- `at` nor that of their ids. When no transaction below an id runs any more, all rows below it are there for good.
--
-- Rows lie nearly in the order of their transactions, so a block range index finds a span and costs writers next to
-- nothing. xid8 has no such operator class; as a number it has.
create index audit_by_transaction on neuronetz.audit using brin ((xid::text::bigint))
    with (pages_per_range = 32, autosummarize = on);

create table neuronetz.seals (
    n          bigint primary key check (n > 0),
    format     smallint not null,
    server     bigint not null,
    restored   boolean not null,
    from_xid   bigint not null check (from_xid >= 0),
    to_xid     bigint not null check (to_xid > from_xid),
    row_count  bigint not null check (row_count > 0),
    first_at   timestamptz not null,
    last_at    timestamptz not null check (last_at >= first_at),
    root       bytea not null check (octet_length(root) = 32),
    rows_hash  bytea not null check (octet_length(rows_hash) = 32),
    previous   bytea not null check (octet_length(previous) = 32),
    key_id     text not null,
    made_at    timestamptz not null,
    mac        bytea not null check (octet_length(mac) = 32)
);
comment on table neuronetz.seals is
    'One line per sealed span of the audit, each bound to the one before. Kept for good. To be checked with `neuronetz-gateway audit verify`.';
comment on column neuronetz.seals.server is
    'pg_control_system().system_identifier: ids of transactions mean something on one server only.';
comment on column neuronetz.seals.restored is
    'Whether these rows came from another server, with ids that this one has not yet reached.';

create table neuronetz.seal_rows (
    n       bigint primary key,
    last_at timestamptz not null,
    names   bytea not null,
    leaves  bytea not null
);
alter table neuronetz.seal_rows alter column leaves set storage external;
create index seal_rows_by_time on neuronetz.seal_rows using brin (last_at);
comment on table neuronetz.seal_rows is
    'Which rows a seal has and a short keyed hash of each, so that a bad row can be named. Goes when the months of all its rows go.';

create trigger seals_are_final before update or delete on neuronetz.seals
    for each row execute function neuronetz.audit_is_final();
create trigger seals_are_not_emptied before truncate on neuronetz.seals
    for each statement execute function neuronetz.audit_is_final();
create trigger seal_rows_are_final before update on neuronetz.seal_rows
    for each row execute function neuronetz.audit_is_final();
create trigger seal_rows_are_not_emptied before truncate on neuronetz.seal_rows
    for each statement execute function neuronetz.audit_is_final();

-- Whose turn it is to seal, to the end of his transaction. A lock on the table and not an advisory one, which any login
-- could take and keep. It saves work only: a seal that comes second is refused by its number.
create function neuronetz.take_sealing_turn() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table neuronetz.seals in share update exclusive mode nowait;
    return true;
exception when lock_not_available then
    return false;
end
$$;
