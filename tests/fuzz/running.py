"""Many bodies, on every core."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.figures.record import record
from tests.figures.table import Figure
from tests.fuzz.comparing import Tally, compare
from tests.fuzz.grammar import body_of
from tests.fuzz.oracle import Oracle, ask_port, asking, build, go

BATCH = 2_000


@contextmanager
def program() -> Iterator[Path | None]:
    """The Go program, or None where there is no Go."""
    if go() is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        yield build(Path(folder))


@contextmanager
def oracle_of(built: Path | None) -> Iterator[Oracle]:
    """Go itself, or its port."""
    if built is None:
        yield ask_port
        return
    with asking(built) as oracle:
        yield oracle


def share(seed: int, bodies: int, built: Path | None) -> Tally:
    """So many bodies, made of a seed."""
    random, tally = Random(seed), Tally()  # noqa: S311  the same bodies again with the same seed
    with oracle_of(built) as oracle:
        for start in range(0, bodies, BATCH):
            questions = [body_of(random) for _ in range(min(BATCH, bodies - start))]
            tally.add(compare(questions, oracle))
    return tally


def run(seed: int, bodies: int, built: Path | None) -> Tally:
    """The same on every core."""
    cores = os.cpu_count() or 1
    tally = Tally()
    with ProcessPoolExecutor(cores) as pool:
        parts = [pool.submit(share, seed * cores + core, bodies // cores, built) for core in range(cores)]
        for part in parts:
            tally.add(part.result())
    return tally


def record_differences(tally: Tally, oracle: str) -> None:
    """Tells the figure that these bodies are part of."""
    found = len(tally.differences)
    record(
        Figure.HOSTILE_INPUTS, str(found), good=not found, how=f"{tally.bodies:,} fuzzed bodies, read as {oracle} does"
    )
