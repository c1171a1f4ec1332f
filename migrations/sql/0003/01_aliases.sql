-- A tenant's own names for models. A column and not a table, as the model lists are: so a change raises the tenant's
-- generation, is told to every gateway and is recorded in the audit by the triggers that are there already.
--
-- Names are kept in full, as the gateway compares them (domain/models.py); any other would be found by nobody. Cloud
-- names are none: who asks for one shall be refused, whatever this says.
create function neuronetz.is_model_name(name text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select length(split_part(name, '/', 1)) <= 350
        and name collate "C" ~ '^[a-z0-9_][a-z0-9._:-]*/[a-z0-9_][a-z0-9_-]{0,79}/[a-z0-9_][a-z0-9._-]{0,79}:[a-z0-9_][a-z0-9._-]{0,79}$'
        and name !~ ':(local|cloud|[^:]*-cloud)$'
$$;
comment on function neuronetz.is_model_name is
    'Whether this is a model''s name in full, as registry.ollama.ai/library/llama3.2:latest, in lower case.';

create function neuronetz.are_aliases(aliases jsonb) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(aliases) = 'object' then (
        select count(*) <= 100 and coalesce(bool_and(
            jsonb_typeof(e.value) = 'string' and neuronetz.is_model_name(e.key)
            and neuronetz.is_model_name(e.value #>> '{}')), true)
        from jsonb_each(aliases) e
    ) else false end
$$;
comment on function neuronetz.are_aliases is
    'Whether this is an object of up to 100 members whose names and values are full names of models.';

-- The empty object is looked at first: nearly all tenants have it, and the migration checks every one.
alter table neuronetz.tenants
    add column aliases jsonb not null default '{}'
    constraint tenants_aliases_are_full_names check (aliases = '{}' or neuronetz.are_aliases(aliases));
comment on column neuronetz.tenants.aliases is
    'Names of the tenant''s own for models: {alias: model}, both in full. An alias comes before a model of its name.';

create or replace view neuronetz.console_tenants as
select t.id as tenant_id, t.name as tenant, t.state, t.rpm, t.tpm, t.concurrency, t.daily_tokens, t.monthly_tokens,
    t.total_tokens, t.models,
    (select count(*) from neuronetz.api_keys k where k.tenant_id = t.id and k.revoked_at is null) as live_keys,
    t.created_at, t.changed_at, t.aliases
from neuronetz.tenants t;
