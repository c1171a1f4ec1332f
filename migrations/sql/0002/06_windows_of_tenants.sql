-- Who used most this month is asked across tenants, and keys' windows are ten times as many as tenants'. `used` and
-- `held` are left out on purpose: with an indexed column changing, no update of a window could stay on its page.
create index budget_windows_of_tenants on neuronetz.budget_windows (kind, starts_at) where scope_id = tenant_id;
