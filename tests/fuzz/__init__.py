"""Hostile request bodies without end: what the gate lets through must mean the same to Go's decoder as to us."""
