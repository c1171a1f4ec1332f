"""`python -m tests.fuzz`: bodies without end through the gate, and every one that passes held against Go's decoder.

Ends with 1 if we and Go read a single one differently.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.fuzz import corpus
from tests.fuzz.comparing import Tally
from tests.fuzz.running import oracle_of, program, record_differences, run

_MOST_SHOWN = 20
_MOST_OF_ONE = 600


def main(argv: Sequence[str]) -> int:
    """Runs it and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="the same bodies again")
    parser.add_argument("--port", action="store_true", help="ask the port of Go's rules even where there is Go")
    parser.add_argument("--write-corpus", action="store_true", help="instead: judge the corpus anew")
    options = parser.parse_args(argv)
    with program() as built:
        if options.write_corpus:
            with oracle_of(built) as oracle:
                corpus.write(oracle)
            return 0
        asked = None if options.port else built
        began_s = time.monotonic()
        tally = run(options.seed, options.bodies, asked)
    reader = "the port" if asked is None else "encoding/json"
    record_differences(tally, reader)
    _show(tally, reader, time.monotonic() - began_s)
    return 1 if tally.differences else 0


def _show(tally: Tally, oracle: str, took_s: float) -> None:
    table = Table(title=f"{tally.bodies:,} bodies against {oracle}, {took_s:.0f} s")
    table.add_column("what came of them")
    table.add_column("bodies", justify="right")
    table.add_row("accepted", f"{tally.accepted:,} ({tally.accepted / max(tally.bodies, 1):.0%})")
    for path, count in sorted(tally.by_path.items()):
        table.add_row(f"  {path}", f"{count:,}")
    table.add_row("  Go refuses the type of what we drop", f"{tally.stricter_there:,}")
    for code, count in tally.refused.most_common():
        table.add_row(f"refused: {code}", f"{count:,}")
    table.add_row("differences", f"{len(tally.differences):,}")
    console = Console()
    console.print(table)
    for difference in tally.differences[:_MOST_SHOWN]:
        console.print(difference[:_MOST_OF_ONE], markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
