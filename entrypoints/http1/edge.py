"""What a connection may cost, and who answers what is no request."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domain.faults import Fault
from domain.refusals import Refusal

Headers = list[tuple[bytes, bytes]]
Peer = tuple[str, int] | None
"""Address and port of one end of a connection; None where it has none."""


@attrs.frozen
class Answer:
    """A whole answer, before the server's own headers."""

    status: int
    headers: Headers
    body: bytes


Refuse = Callable[[Refusal | Fault, bytes, str], Answer]
"""Makes the answer of a reason for a target, as far as that was read, and the peer's address; and counts it."""


@attrs.frozen(kw_only=True)
class Edge:
    """The bounds of a connection: seconds, bytes and numbers."""

    refuse: Refuse
    idle_s: float = 75.0
    """Between two requests, and before the first."""
    head_s: float = 5.0
    """From a head's first byte to its last."""
    send_s: float = 35.0
    """In which a client must take something of what waits for it."""
    linger_s: float = 3.0
    """For a client that still sends when it was answered already: closing in its face would lose it the answer."""
    linger_bytes: int = 16 * 1024 * 1024
    """Of its bytes that are read and dropped meanwhile."""
    max_requests: int = 1_000_000
    """On one connection."""
    max_connections: int = 4096
    """Of one process."""
