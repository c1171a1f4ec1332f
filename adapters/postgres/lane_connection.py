"""How the lane connects: its settings, and the fence between a connection and its successor.

A connection that was lost may have left its server side behind, with a batch still to commit. If that commit came
after the batch was sent again and its holds were settled, they would be open for ever. So a new connection first ends
its predecessor and then takes the advisory lock that the predecessor held to its end: whoever has the lock knows that
everything asked before is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.beat import beat
from adapters.postgres.wire import Wire

STATEMENT = "select neuronetz.ledger($1::jsonb)::text"
PLANNER = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
"""Batches are small and every join is by primary key. The planner cannot see how small, so it is told."""


async def open_lane_wire(
    address: DatabaseAddress, process_id: UUID, *, statement_timeout_s: float, on_lost: Callable[[], None]
) -> Wire:
    """Connects, fences off the former connection, and makes the process known as alive.

    Raises:
        psycopg.Error: not now.
    """
    name = f"neuronetz-lane {process_id.hex}"
    timeout_ms = f"{statement_timeout_s * 1000:.0f}"

    async def fence(connection: psycopg.AsyncConnection) -> None:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = current_user and application_name = %s and pid <> pg_backend_pid()",
            (name,),
        )
        await connection.execute(
            "select pg_advisory_lock(%s)", (int.from_bytes(process_id.bytes[:8], "big", signed=True),)
        )
        await beat(connection, process_id)

    settings = {
        **PLANNER,
        "synchronous_commit": "on",
        "statement_timeout": timeout_ms,
        "lock_timeout": timeout_ms,
        "client_connection_check_interval": "500",  # a client that is gone is noticed while a statement runs
    }
    return await Wire.open(address, name=name, settings=settings, first=fence, statement=STATEMENT, on_lost=on_lost)
