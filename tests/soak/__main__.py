"""`python -m tests.soak`: long runs that look for what grows, leaks or is lost. Real stores, real processes.

    python -m tests.soak --minutes 60            mixed traffic at half load: memory, descriptors, books, surprises
    python -m tests.soak cancel --streams 20000  clients that leave at every moment: no slot, hold or token is lost

Each prints tables, writes them and its samples to a folder, and ends with status 1 and a sentence when something is
leaked or wrong.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.soak.cancelling import cancel_storm
from tests.soak.soaking import Plan, soak

_OUT = Path(tempfile.gettempdir()) / "neuronetz-soak"


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("run", "cancel"), default="run")
    parser.add_argument("--out", type=Path, default=_OUT, help=f"folder for the report and the samples  [{_OUT}]")
    parser.add_argument("--seed", type=int, default=7, help="of all that is random")
    parser.add_argument("--minutes", type=float, default=60.0, help="run: how long, after the calibration")
    parser.add_argument("--processes", type=int, default=2, help="run: gateway processes")
    parser.add_argument("--calibrate-s", type=float, default=30.0, help="run: seconds to find out what can be carried")
    parser.add_argument("--part", type=float, default=0.5, help="run: of what can be carried")
    parser.add_argument("--sample-every-s", type=float, default=30.0, help="run: seconds between two samples")
    parser.add_argument("--streams", type=int, default=20_000, help="cancel: how many")
    parser.add_argument("--stop-every", type=int, default=5_000, help="cancel: streams between two looks")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Runs one of them."""
    options = _options(argv)
    if options.what == "cancel":
        return cancel_storm(options.streams, options.out, stop_every=options.stop_every, seed=options.seed)
    plan = Plan(
        minutes=options.minutes,
        out=options.out,
        calibrate_s=options.calibrate_s,
        part=options.part,
        sample_every_s=options.sample_every_s,
        seed=options.seed,
        processes=options.processes,
    )
    return soak(plan)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what it started ends with it
    sys.exit(main(sys.argv[1:]))
