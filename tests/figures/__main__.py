"""`python -m tests.figures`: measures every figure that the gateway is held to, and prints them in one table.

    python -m tests.figures                       every day's sizes, a quarter of an hour
    python -m tests.figures --nightly             full length, hours
    python -m tests.figures --only wire,outages   some of it
    python -m tests.figures --figures-from FILE   measures nothing: what pytest told with FIGURES_FILE=FILE

Ends with status 1 if a figure is missed, if one that was to be measured was not, or if a measurement failed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.figures.measurements import MEASUREMENTS, ROOT, Measurement
from tests.figures.record import FIGURES_FILE
from tests.figures.table import Figure
from tests.figures.told import missed, read, show


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(MEASUREMENTS)
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help=f"measurements, comma separated: {names}")
    parser.add_argument("--nightly", action="store_true", help="at full length")
    parser.add_argument("--figures-from", type=Path, metavar="FILE", help="print what is told there, measure nothing")
    options = parser.parse_args(argv)
    options.only = options.only.split(",")
    unknown = sorted(set(options.only) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"unknown measurements: {', '.join(unknown)}; there are {names}")
    if options.figures_from is not None and not options.figures_from.is_file():
        parser.error(f"there is no file {options.figures_from}: run pytest with {FIGURES_FILE} set to it")
    return options


def measure(measurement: Measurement, file: Path, *, nightly: bool, say: Console) -> bool:
    """Runs one, its output before our eyes; whether it ended well."""
    command = measurement.command(nightly=nightly)
    began_s = time.monotonic()
    say.rule(shlex.join(command[1:]))
    path = os.pathsep.join([str(ROOT / "infra" / "launcher"), str(ROOT)])
    environ = os.environ | {FIGURES_FILE: str(file), "PYTHONPATH": path}
    status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    say.print(f"Status {status} after {time.monotonic() - began_s:.0f} s.")
    return status == 0


def main(argv: Sequence[str]) -> int:
    """Measures and prints."""
    options = arguments(argv)
    say = Console(highlight=False)
    if options.figures_from is not None:
        told = read(options.figures_from)
        show(told)
        return 1 if missed(told, ()) else 0
    wanted: list[Figure] = []
    failed = []
    with tempfile.TemporaryDirectory(prefix="nz-figures-") as folder:
        file = Path(folder) / "figures.jsonl"
        for name in options.only:
            measurement = MEASUREMENTS[name]
            if not measurement.command(nightly=options.nightly):
                continue
            wanted += measurement.figures
            if not measure(measurement, file, nightly=options.nightly, say=say):
                failed.append(name)
        told = read(file)
    show(told)
    for figure in missed(told, wanted):
        say.print(f"Missed: {figure.words}.", markup=False)
    if failed:
        say.print(f"Failed: {', '.join(failed)}; what they did not tell is not measured.")
    return 1 if failed or missed(told, wanted) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what it started ends with it
    sys.exit(main(sys.argv[1:]))
