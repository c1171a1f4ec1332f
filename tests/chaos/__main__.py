"""`python -m tests.chaos --seconds 90 --seed 7`: everything is killed for so long, then four logs must tell one story.

Three gateways, PostgreSQL and Valkey of its own, two simulated backends, fifty clients. Prints the figures seen, the
faults survived and, of a broken promise, all lines of the offending request; ends with status 1 then. The same seed
draws the same faults and intents; when exactly they meet is the machine's doing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.running import Plan, chaos

_OUT = Path(tempfile.gettempdir()) / "neuronetz-chaos"


def main(argv: Sequence[str]) -> int:
    """Runs it, as often as was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=90.0, help="how long things are broken")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random; another one each time without")
    parser.add_argument("--runs", type=int, default=1, help="how many, each with the next seed")
    parser.add_argument("--frozen-s", type=float, default=6.5, help="the longest time that a program is frozen")
    parser.add_argument("--only", action="append", default=[], help="a fault by its name, to be struck by it alone")
    parser.add_argument("--out", type=Path, default=_OUT, help=f"folder for the reports  [{_OUT}]")
    options = parser.parse_args(argv)
    first = int(time.time()) % 100_000 if options.seed is None else options.seed
    status = 0
    for seed in range(first, first + options.runs):
        plan = Plan(
            seconds=options.seconds,
            seed=seed,
            out=options.out,
            longest_frozen_s=options.frozen_s,
            only=options.only,
        )
        status |= chaos(plan)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what it started ends with it
    sys.exit(main(sys.argv[1:]))
