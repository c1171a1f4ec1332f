"""The committed verdicts: what every case was told, each way in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tests.e2e.wire.case import BY_CADDY, Case, Verdicts
from tests.e2e.wire.matrix import METHODS, Cell
from tests.e2e.wire.rig import CADDY, WAYS, Seen
from tests.infra.tools import tool

FRAMINGS_TABLE = Path(__file__).with_name("verdicts.tsv")
MATRIX_TABLE = Path(__file__).with_name("routes.tsv")
MATRIX_WAYS = ("httptools", CADDY)

_MADE = "# Made by `python -m tests.e2e.wire`, with Caddy "
_BAR = " | "
Framings = Mapping[str, Mapping[str, str]]
"""A verdict by way and case."""
Matrix = Mapping[str, Mapping[Cell, str]]
"""What was told, by way and cell."""


def caddy_version() -> str:
    """Of the Caddy that is tested with."""
    caddy = tool(CADDY, package="Debian's caddy")
    return subprocess.run([caddy, "version"], capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]


def made_with(table: Path) -> str:
    """The version of Caddy whose verdicts are in a table; another one may word its refusals in other ways."""
    return table.read_text().split("\n", 1)[0].removeprefix(_MADE)


def allowed(case: Case, way: str) -> Verdicts:
    """What is right for a case."""
    if way == CADDY:
        return (*case.want, *case.caddy, *BY_CADDY)
    return case.want if way == "httptools" else (*case.want, *case.lenient)


def _write(table: Path, columns: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    lines = [_MADE + caddy_version(), "\t".join(columns), *("\t".join(row) for row in rows)]
    table.write_text("\n".join(lines) + "\n")


def _read(table: Path) -> Iterator[list[str]]:
    for line in table.read_text().splitlines()[2:]:
        yield line.split("\t")


def write_framings(runs: Mapping[str, Mapping[str, Seen]]) -> None:
    """One line for each case."""
    rows = ([name, *(runs[way][name].text for way in WAYS)] for name in runs[WAYS[0]])
    _write(FRAMINGS_TABLE, ["case", *WAYS], rows)


def read_framings() -> Framings:
    """What is committed."""
    rows = list(_read(FRAMINGS_TABLE))
    return {way: {row[0]: row[1 + at] for row in rows} for at, way in enumerate(WAYS)}


def write_matrix(seen: Matrix) -> None:
    """One line for each group of routes and spellings that are told the same, whatever the method."""
    told: dict[tuple[str, str], list[str]] = {}
    for (route, spelling), group in groupby(seen[MATRIX_WAYS[0]], key=lambda cell: (cell.route, cell.spelling)):
        row = list(group)
        told[route, spelling] = [_by_method({cell.method: seen[way][cell] for cell in row}) for way in MATRIX_WAYS]
    spellings: dict[tuple[str, ...], list[str]] = {}
    for (route, spelling), verdicts in told.items():
        spellings.setdefault((route, *verdicts), []).append(spelling)
    routes: dict[tuple[str, ...], list[str]] = {}
    for (route, *verdicts), same in spellings.items():
        routes.setdefault((_BAR.join(same), *verdicts), []).append(route)
    rows = ((_BAR.join(same), *rest) for rest, same in routes.items())
    _write(MATRIX_TABLE, ["routes", "spellings", *MATRIX_WAYS], rows)


def _by_method(told: Mapping[str, str]) -> str:
    methods: dict[str, list[str]] = {}
    for method, verdict in told.items():
        methods.setdefault(verdict, []).append(method)
    if len(methods) == 1:
        return next(iter(methods))
    return _BAR.join(f"{' '.join(same)}: {verdict}" for verdict, same in methods.items())


def read_matrix() -> Matrix:
    """What is committed."""
    read: dict[str, dict[Cell, str]] = {way: {} for way in MATRIX_WAYS}
    for routes, spellings, *columns in _read(MATRIX_TABLE):
        for way, column in zip(MATRIX_WAYS, columns, strict=True):
            by_method = _methods_of(column)
            read[way] |= {
                Cell(route, spelling, method): by_method[method]
                for route in routes.split(_BAR)
                for spelling in spellings.split(_BAR)
                for method in METHODS
            }
    return read


def _methods_of(column: str) -> Mapping[str, str]:
    parts = [part.partition(": ") for part in column.split(_BAR)]
    if not parts[0][1]:
        return dict.fromkeys(METHODS, column)
    return {method: verdict for methods, _, verdict in parts for method in methods.split()}
