"""`python -m tests.bench`: what the gateway costs, printed as a table. Nothing is asserted: machines differ and drift.

Load: so many connections, each sending its next request when the last one has ended, spread over 100 tenants. The same
requests go first directly to the simulated backend, then through one gateway process with everything on: keys, limits,
budgets, audit. The blocks alternate, so that drift of the machine falls on both. CPU is the operating system's own
account (user + system) of each process; time to first byte is the client's. Compare rows of one run only.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import start_stores
from tests.bench.load import Block, Target, run_block
from tests.e2e.house import House, Key

_TENANTS = 100


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=3000, help="per block")
    parser.add_argument("--rounds", type=int, default=3, help="blocks of each kind, alternating")
    parser.add_argument("--tokens", type=int, default=24, help="chunks of a streamed answer")
    return parser.parse_args()


def _keys(house: House) -> Sequence[Key]:
    # Limits and budgets are set, high enough never to bind: their work is done for every call.
    policy = Policy(limits=Limits(rpm=10**6, tpm=10**9, concurrency=10**4))
    return [house.new_key(f"bench-{number}", tenant_policy=policy) for number in range(_TENANTS)]


def _measure(house: House, keys: Sequence[Key], options: argparse.Namespace) -> dict[tuple[str, str], list[Block]]:
    targets = {
        "direct": Target(house.simulator.url, [""], house.simulator.pid),
        "gateway": Target(house.url, [key.text for key in keys], house.gateways[0].pid),
    }
    found: dict[tuple[str, str], list[Block]] = {}
    for kind in ("native", "openai"):
        for streamed in (False, True):
            for _ in range(options.rounds):
                for name, target in targets.items():
                    row = f"{kind} {'streamed' if streamed else 'whole'}"
                    requests = options.requests // (4 if streamed else 1)
                    block = run_block(
                        target, kind=kind, streamed=streamed, connections=options.connections, requests=requests
                    )
                    found.setdefault((row, name), []).append(uvloop.run(block))
    return found


def _median(blocks: Sequence[Block], name: str) -> float:
    return float(statistics.median(getattr(block, name) for block in blocks))


def _show(found: dict[tuple[str, str], list[Block]], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.connections} connections, {_TENANTS} tenants, medians of {options.rounds} blocks")
    for heading in ("", "requests/s", "gateway CPU/request", "CPU/chunk", "first byte p50", "p99", "added p50", "p99"):
        table.add_column(heading, justify="left" if not heading else "right")
    for (row, name), blocks in found.items():
        direct = found[row, "direct"]
        cpu_us = _median(blocks, "cpu_us_per_request")
        added = [_median(blocks, which) - _median(direct, which) for which in ("p50_ms", "p99_ms")]
        through = name == "gateway"
        table.add_row(
            f"{row}, {name}",
            f"{_median(blocks, 'requests_per_s'):.0f}",
            f"{cpu_us:.0f} us" if through else "",
            f"{cpu_us / options.tokens:.0f} us" if through and "streamed" in row else "",
            f"{_median(blocks, 'p50_ms'):.1f} ms",
            f"{_median(blocks, 'p99_ms'):.1f} ms",
            f"{added[0]:.1f} ms" if through else "",
            f"{added[1]:.1f} ms" if through else "",
        )
    Console(width=140).print(table)


def _passable(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The servers' own account must be able to pass, when we are root."""
    folder.chmod(0o755)
    return contextlib.nullcontext()


def main() -> int:
    """Runs the bench."""
    options = _arguments()
    with (
        tempfile.TemporaryDirectory(prefix="nzbench", dir="/var/tmp") as folder,
        _passable(Path(folder)),
        start_stores(Path(folder) / "state", durable=True) as stores,
        House.open(
            stores,
            Path(folder),
            *("--log-tokens-per-line", "0", "--num-parallel", "4096", "--tokens", str(options.tokens)),
            BACKEND_MAX_IN_FLIGHT="4096",
            LOG_LEVEL="info",
            LIMITER_TIMEOUT_MS="2000",  # a shared machine that stalls for a moment must not end the bench
        ) as house,
    ):
        house.add_gateway().wait_ready()
        keys = _keys(house)
        found = _measure(house, keys, options)
        _show(found, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
