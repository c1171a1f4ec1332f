"""Connections that their clients have closed are gone at once: one that lay open until a time-out would be memory and a
descriptor for every client that ever came.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from tests.e2e.house import House
from tests.e2e.programs import eventually

_CLIENTS = 40
_ASK = b"GET /api/version HTTP/1.1\r\nHost: gateway\r\n\r\n"


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def visit(port: int, request: bytes) -> None:
    """One answered request, or none, over a connection of its own that the client then closes."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 10)) as line:
        line.sendall(request)
        if request:
            assert line.recv(65536).startswith(b"HTTP/1.1 ")


def test_a_connection_that_its_client_closed_is_let_go_at_once(house: House) -> None:
    gateway = house.gateways[0]
    visit(gateway.port, _ASK)
    before = descriptors(gateway.pid)

    for _ in range(_CLIENTS):
        visit(gateway.port, _ASK)
        visit(gateway.port, b"")

    for _ in eventually(10):
        if descriptors(gateway.pid) <= before:
            return
