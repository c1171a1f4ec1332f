-- The ledger's door first, as in 0002: batches on their way come to their end, new ones wait.
lock table neuronetz.budget_windows in exclusive mode;
