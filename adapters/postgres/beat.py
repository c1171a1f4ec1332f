"""The sign of life of one gateway process: while it comes, its open holds are its own."""

from __future__ import annotations

import socket
from uuid import UUID

import psycopg

_BEAT = """
    insert into neuronetz.processes (id, host) values (%s, %s)
    on conflict (id) do update set beat_at = neuronetz.ledger_now()
"""


async def beat(connection: psycopg.AsyncConnection, process_id: UUID) -> None:
    """Beats now, for the first time or again."""
    await connection.execute(_BEAT, (process_id, socket.gethostname()))
