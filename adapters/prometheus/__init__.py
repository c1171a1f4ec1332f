"""Calls as numbers, for Prometheus."""
