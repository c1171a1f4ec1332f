"""`python -m tests.acceptance.processes --streams 50 --processes 4`: what clients notice when processes come and go.

Under constant traffic: a rolling restart, SIGTERM to one process, kill -9 of one process. After the first two nothing
may be lost; after the last, what the killed one served, and nothing else. No hold may stay open.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from entrypoints.embedded import start_stores
from tests.acceptance.several import living, send, wait_for
from tests.acceptance.traffic import Traffic
from tests.e2e.house import House
from tests.e2e.programs import Gateway

_SETTLE_S = 30.0
_ROOM = {
    "BACKEND_MAX_IN_FLIGHT": "500", "QUEUE_DEPTH": "1000", "LIMITER_TIMEOUT_MS": "3000", "LEDGER_TIMEOUT_S": "3",
    "PROCESS_BEAT_S": "1", "PROCESS_DEAD_AFTER_S": "5",
}  # fmt: skip


def _rolling(gateway: Gateway) -> None:
    done = len(wait_for(gateway, "rolling_restart_done", 0))
    gateway.send(signal.SIGHUP)
    wait_for(gateway, "rolling_restart_done", done + 1, 120)


def _one_told(gateway: Gateway) -> None:
    ready = len(wait_for(gateway, "process_ready", 0))
    send(living(gateway)[-1], signal.SIGTERM)
    wait_for(gateway, "process_ready", ready + 1, 60)


def _one_killed(gateway: Gateway) -> None:
    ready = len(wait_for(gateway, "process_ready", 0))
    send(living(gateway)[-1], signal.SIGKILL)
    wait_for(gateway, "process_ready", ready + 1, 60)


_PARTS: dict[str, Callable[[Gateway], None]] = {
    "rolling restart": _rolling,
    "SIGTERM of one": _one_told,
    "kill -9 of one": _one_killed,
}


async def _measure(house: House, gateway: Gateway, streams: int) -> tuple[Table, int]:
    table = Table("what", "seconds", "whole", "refused", "failed", "cut without end", "unsettled holds", "reasons")
    lost = 0
    key = await asyncio.to_thread(house.new_key)
    for name, do in _PARTS.items():
        began = time.monotonic()
        async with Traffic(gateway.url, key, streams=streams, tokens=100) as traffic:
            await asyncio.sleep(3)
            await asyncio.to_thread(do, gateway)
            await asyncio.sleep(3)
        told = traffic.told
        held = await asyncio.to_thread(_left_open, house)
        lost += held + (0 if "kill" in name else told.lost)
        table.add_row(
            name, f"{time.monotonic() - began:.1f}", str(told.whole), str(told.refused), str(told.failed),
            str(told.cut), str(held), ", ".join(f"{count} x {reason}" for reason, count in told.reasons.items()),
        )  # fmt: skip
    return table, lost


def _left_open(house: House) -> int:
    deadline = time.monotonic() + _SETTLE_S
    while (held := house.open_holds()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return held


def main() -> int:
    """The table, and 1 if anything was lost that should not."""
    reader = argparse.ArgumentParser(prog="python -m tests.acceptance.processes")
    reader.add_argument("--streams", type=int, default=50)
    reader.add_argument("--processes", type=int, default=4)
    given = reader.parse_args()
    options = ("--num-parallel", "1000", "--tokens", "100", "--token-delay-ms", "40", "--log-tokens-per-line", "0")
    with tempfile.TemporaryDirectory(prefix="nz-processes-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        stores = start_stores(Path(folder) / "state", durable=False, max_connections=300)
        with stores, House.open(stores, Path(folder), *options, PROCESSES=str(given.processes), **_ROOM) as house:
            gateway = house.add_gateway()
            gateway.wait_ready()
            wait_for(gateway, "process_ready", given.processes)
            table, lost = asyncio.run(_measure(house, gateway, given.streams))
    Console().print(table)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
