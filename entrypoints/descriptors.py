"""File descriptors: how many connections there is room for."""

from __future__ import annotations

import resource

_OWN = 256
"""Of the process itself: stores, logs, libraries; and some to spare."""
_EACH = 2
"""A client's connection, and the one to a backend that serves it."""


def room_for(connections: int) -> int:
    """Raises the process's limit as far as it is needed and allowed.

    Args:
        connections: that are wished for.

    Returns:
        That many, or fewer where the hard limit (RLIMIT_NOFILE) does not allow more; at least one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _OWN + _EACH * connections
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, (soft - _OWN) // _EACH))
