"""Whoever has no key costs nothing that is dear."""
