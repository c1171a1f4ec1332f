"""Histories of every kind over the real SQL and the real Lua, one step at a time, and what must be true after each."""
