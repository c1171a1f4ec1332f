"""Implementations of the domain's ports, one folder for each thing outside. No folder knows another."""
