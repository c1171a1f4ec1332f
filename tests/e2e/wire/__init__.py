"""The raw corpus: what a hostile client, or a hostile backend, can put on the wire, and what became of it.

Every case goes to a gateway directly and through Caddy, and a tap in front of the backend keeps every byte that the
gateway wrote. What is committed in `verdicts.tsv` and `routes.tsv` is made by `python -m tests.e2e.wire`.
"""
