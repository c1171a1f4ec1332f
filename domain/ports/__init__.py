"""What the domain needs from outside, in its own words. Adapters and fakes subclass these; both pass one contract
suite (`tests/contracts`).
"""
