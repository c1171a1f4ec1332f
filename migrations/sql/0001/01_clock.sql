-- The one clock of budgets and audit. Everything below reads time here and nowhere else, so that days and months are
-- PostgreSQL's (hosts' clocks decide nothing) and so that tests can replace this one function.
create function neuronetz.ledger_now() returns timestamptz
language sql stable parallel safe
as $$ select now() $$;

-- Where the one window of a total budget starts.
create function neuronetz.dawn() returns timestamptz
language sql immutable parallel safe
as $$ select timestamptz '1970-01-01 00:00:00+00' $$;
