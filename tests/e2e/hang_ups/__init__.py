"""Clients that leave in every phase of a call, in every dialect, in every way, and what that costs whom."""
