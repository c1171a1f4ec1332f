-- All locks of this migration, in the one order in which it cannot meet the ledger half way. A batch takes windows
-- first, and then tenants, keys and audit in an order that depends on what is in it. So the door is closed first:
-- batches on their way come to their end, new ones wait. What is waited for too long is given up and tried again
-- (adapters/postgres/migrating.py).
lock table neuronetz.budget_windows in exclusive mode;
lock table neuronetz.tenants, neuronetz.api_keys in access exclusive mode;
