-- The audit is read by time across tenants, too (`audit --follow`, exports). It is written in the order of time, so a
-- block range index finds the place, costs writers next to nothing, and is built over a million rows in well under a
-- second, which counts because writers wait meanwhile.
create index audit_by_time on neuronetz.audit using brin (at) with (pages_per_range = 32, autosummarize = on);
-- What operators changed is a handful of lines among millions of calls, and asked for by itself.
create index audit_of_operators on neuronetz.audit (at) where event = 'admin';
