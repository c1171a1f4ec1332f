"""The rules of the gateway: tenants, keys, limits, budgets, calls. Pure: no clock, no socket, no store.

Every function here takes facts and returns a decision. What the rules need from outside is named, in their own
words, in `domain.ports`.
"""
