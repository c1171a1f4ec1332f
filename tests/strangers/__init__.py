"""Whoever has no key: what they cost those who have one, and what they can learn from how long a 401 takes."""
