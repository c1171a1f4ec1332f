"""The raw corpus each way in: nothing reaches the backend that was not read and allowed, and the verdicts stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from entrypoints.embedded import EmbeddedStores
from entrypoints.http.routes import CLOSED, TABLE
from tests.e2e.wire import runs
from tests.e2e.wire.case import allows
from tests.e2e.wire.framings import FRAMINGS
from tests.e2e.wire.matrix import CALLS, LOOKS, METHODS, MUTATIONS, PLAIN, Cell, cells
from tests.e2e.wire.rig import CADDY, WAYS, Rig, Seen, open_rig
from tests.e2e.wire.verdicts import (
    FRAMINGS_TABLE,
    MATRIX_TABLE,
    MATRIX_WAYS,
    allowed,
    caddy_version,
    made_with,
    read_framings,
    read_matrix,
)
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]
PART = {"httptools": 4, "h11": 9, CADDY: 4}
"""One in so many of the matrix; `python -m tests.e2e.wire` asks for all of it."""
MOST_GROWTH_MIB = 32


@pytest.fixture(scope="module", params=WAYS)
def rig(
    request: pytest.FixtureRequest, stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp(f"wire-{request.param}")
    with open_rig(request.param, stores, folder) as opened:
        for _ in range(8):
            runs.one_long_call_through(opened)
        # A process keeps what it needed for ordinary long bodies; hostile ones must not make it need more.
        yield attrs.evolve(opened, rss_at_first_mib=opened.rss_mib)


@pytest.fixture(scope="module")
def framings(rig: Rig) -> Mapping[str, Seen]:
    return dict(runs.framings_through(rig))


@pytest.fixture(scope="module")
def matrix(rig: Rig) -> Mapping[Cell, Seen]:
    return dict(runs.matrix_through(rig, PART[rig.name]))


def comparable(rig: Rig, table: Path) -> bool:
    """Whether what is in a table is exactly what must be seen: another Caddy may word its refusals in other ways."""
    return rig.name != CADDY or caddy_version() == made_with(table)


def test_what_reaches_the_backend_is_what_was_answered_in_our_own_words(framings: Mapping[str, Seen]) -> None:
    assert runs.wrongs(framings) == []


def test_every_framing_is_told_what_is_right(rig: Rig, framings: Mapping[str, Seen]) -> None:
    odd = {
        name: seen.text for name, seen in framings.items() if not allows(allowed(FRAMINGS[name], rig.name), seen.shape)
    }
    told = f"{len(framings)} through {rig.name}"
    record(Figure.FRAMINGS, told, good=not odd and len(framings) >= 120, how="verdicts committed")

    assert odd == {}


def test_every_framing_is_told_what_is_committed(rig: Rig, framings: Mapping[str, Seen]) -> None:
    committed = read_framings()[rig.name]
    assert committed.keys() == framings.keys(), "run `python -m tests.e2e.wire`"
    if comparable(rig, FRAMINGS_TABLE):
        changed = {
            name: (committed[name], seen.text)
            for name, seen in framings.items()
            if seen.text != committed[name] and not FRAMINGS[name].then_fin  # who goes at once may miss the answer
        }
        assert changed == {}, "run `python -m tests.e2e.wire`"


def test_no_spelling_and_no_method_opens_a_route(rig: Rig, matrix: Mapping[Cell, Seen]) -> None:
    opened = runs.wrongs(matrix)
    if matrix:
        record(Figure.ROUTES, str(len(opened)), good=not opened, how=f"{len(matrix):,} through {rig.name}")

    assert opened == []


def test_every_call_is_served_as_it_should_be_spelt(matrix: Mapping[Cell, Seen]) -> None:
    served = {cell.route for cell, seen in matrix.items() if cell.spelling == PLAIN and seen.reached}

    assert served == set(CALLS)


def test_every_spelling_is_told_what_is_committed(rig: Rig, matrix: Mapping[Cell, Seen]) -> None:
    if rig.name not in MATRIX_WAYS:
        return  # routes are found by the same code behind either parser
    committed = read_matrix()[rig.name]
    if comparable(rig, MATRIX_TABLE):
        changed = {
            cell: (committed.get(cell), seen.told) for cell, seen in matrix.items() if seen.told != committed.get(cell)
        }
        assert changed == {}, "run `python -m tests.e2e.wire`"


def test_no_value_of_a_client_comes_out_on_either_side(rig: Rig) -> None:
    assert runs.wrongs(dict(runs.values_through(rig))) == []


def test_no_header_of_a_backend_comes_out(rig: Rig) -> None:
    assert runs.wrongs(dict(runs.spoilt_through(rig))) == []


@pytest.mark.usefixtures("framings", "matrix")
def test_memory_is_flat_through_the_whole_corpus(rig: Rig) -> None:
    if rig.name != "httptools":
        return  # what is read is held by the same code behind either parser
    assert runs.wrongs(dict(runs.bodies_through(rig))) == []

    assert rig.rss_mib - rig.rss_at_first_mib < MOST_GROWTH_MIB


def test_the_matrix_knows_every_route_that_is_served() -> None:
    known = {**CALLS, **LOOKS}
    served = {path.decode(): methods for path, (methods, _) in TABLE.items()}
    del served["/"]  # it has nothing to be spelt otherwise

    assert {path: set(known[path]) for path in served} == {path: set(methods) for path, methods in served.items()}
    assert set(known) - set(served) == {"/v1/models/sim-chat"}


def test_the_matrix_knows_every_route_that_is_closed() -> None:
    assert all(any(path.startswith(closed.decode()) for path in MUTATIONS) for closed in CLOSED)


def test_a_part_of_the_matrix_has_every_route_spelling_and_method() -> None:
    visited = list(cells(PART[CADDY]))

    assert len(visited) >= 3000
    assert {(cell.route, cell.spelling) for cell in visited} == {(cell.route, cell.spelling) for cell in cells()}
    assert {cell.method for cell in visited} == set(METHODS)
