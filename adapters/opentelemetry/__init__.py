"""Calls as traces, for whatever takes OTLP. Imported only when the operator asks for it: `TRACES=otlp`."""
