"""PostgreSQL: tenants and keys, the ledger of budgets, and the audit."""
