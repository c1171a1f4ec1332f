"""The listening socket, apart from what serves on it: the parent of several processes opens it and serves nobody."""

from __future__ import annotations

import socket

BACKLOG = 2048


class PortTaken(Exception):
    """The address cannot be listened on; says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose another with --port or PORT."
        ) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
