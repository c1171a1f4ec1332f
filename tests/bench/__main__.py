"""`python -m tests.bench`: what the gateway costs, printed as tables. Nothing is asserted: machines differ and drift.

Each section sends the same requests to several programs in alternating blocks: the simulated backend alone, the bare
server stack, the stack with a bare relay, and one gateway with everything on (keys, limits, budgets, audit). CPU is the
operating system's own account of each program; times are the client's. Compare rows of one run only.

    hot         a request and a chunk at saturation, by dialect, whole and streamed; the stores; time by room
    steady      a constant 100 requests a second
    slow        50 streams at a model's pace: what is added to the first byte
    held        500 such streams held at once: memory each, and their pace
    processes   one process against two
    gate        reading a request and building what goes upstream, in this process, and how long the loop is blocked
    growth      a call, operators' questions and memory, on a full database beside an empty one; by name only
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from rich.console import Console

from tests.bench import gate, growth, hot, profiling, several, slow, steady
from tests.bench.stage import Stage, hasty_stores, make_keys, open_stage, tenants
from tests.bench.tables import Section
from tests.e2e.house import Key

_SECTIONS = ("hot", "steady", "slow", "held", "processes", "gate")
_BY_NAME_ONLY = ("growth",)
"""Takes 15 minutes and 15 GB of disk."""
_ROWS = [hot.row_name(kind, streamed=streamed).replace(" ", "-") for kind in hot.KINDS for streamed in (False, True)]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(_SECTIONS), help="sections, comma separated")
    parser.add_argument(
        "--profile", choices=_ROWS, help="instead: where the gateway's CPU goes (needs py-spy and root)"
    )
    parser.add_argument("--growth", type=int, default=5_000_000, help="calls in the full database")
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=2000, help="per block at saturation")
    parser.add_argument("--rounds", type=int, default=3, help="blocks of each kind, alternating")
    parser.add_argument("--tokens", type=int, default=24, help="chunks of a streamed answer at saturation")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a block at a constant rate, and of a profile")
    parser.add_argument("--held", type=int, default=500, help="streams held at once")
    options = parser.parse_args(argv)
    unknown = set(options.only.split(",")) - {*_SECTIONS, *_BY_NAME_ONLY}
    if unknown:
        there_are = ", ".join([*_SECTIONS, *_BY_NAME_ONLY])
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}; there are {there_are}")
    return options


def _size(options: argparse.Namespace) -> hot.Size:
    return hot.Size(
        connections=options.connections, requests=options.requests, rounds=options.rounds, tokens=options.tokens
    )


def sections(stage: Stage, keys: Sequence[Key], options: argparse.Namespace) -> Iterator[Section]:
    """The tables that were asked for, each as soon as it is measured."""
    size, rounds = _size(options), options.rounds
    if options.profile:
        yield from profiling.measure(stage, keys, options.profile, size, for_s=options.seconds)
        return
    fifty = slow.Pace(streams=50, chunks=40, rounds=max(1, rounds - 1))
    many = slow.Pace(streams=options.held, chunks=240)
    made: Mapping[str, Iterator[Section]] = {
        "hot": hot.measure(stage, keys, size),
        "steady": steady.measure(stage, keys, rounds=max(1, rounds - 1), for_s=options.seconds),
        "slow": slow.measure_slow(stage, keys, fifty),
        "held": slow.measure_held(stage, keys, many),
        "processes": several.measure(stage, keys, size),
        "gate": gate.measure(),
        "growth": growth.measure(stage, growth.Plan.of(options.growth, rounds=rounds, requests=size.requests)),
    }
    for name in options.only.split(","):
        yield from made[name]


def main(argv: Sequence[str]) -> int:
    """Runs the bench."""
    options = arguments(argv)
    began_s = time.monotonic()
    if options.only == "gate" and not options.profile:  # it needs no stage
        for section in gate.measure():
            section.show()
        return 0
    quiet = ("--log-tokens-per-line", "0", "--num-parallel", "4096", "--tokens", str(options.tokens))
    with ExitStack() as opened:
        # Filling a database takes minutes without waiting for the disk, and hours with.
        stores = opened.enter_context(hasty_stores()) if options.only == "growth" else None
        stage = opened.enter_context(open_stage(*quiet, stores=stores))
        for section in sections(stage, make_keys(stage.house, tenants(options.tenants)), options):
            section.show()
    Console().print(f"{time.monotonic() - began_s:.0f} s in all.")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what it started ends with it
    sys.exit(main(sys.argv[1:]))
