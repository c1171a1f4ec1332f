"""Outages of the stores and of the line to the backend, met by the whole gateway process."""
