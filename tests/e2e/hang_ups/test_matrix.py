"""Whoever leaves, wherever: the backend is let go within a second by half-close, and the books are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.hang_ups.clients import Caller, Dialect, Leaving, body_of
from tests.e2e.hang_ups.matrix import CAP, CELLS, Cell, Matrix, Phase, Played, play
from tests.e2e.hang_ups.stage import SEND_TIMEOUT_S, Stage, open_stage
from tests.figures.record import record
from tests.figures.table import Figure

POINTS = 50
_PHASES_AT_THE_BACKEND = {
    Phase.LOADING: "loading",
    Phase.PROMPT: "prompt",
    Phase.STREAMING: "generating",
    Phase.WHOLE: "generating",
}
_SWEEPS_S = 8.0
"""A reader that stalls is found by the sweeps over live calls, one a second; the machine may be busy meanwhile."""


@pytest.fixture(scope="module")
def stage(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(stores, tmp_path_factory.mktemp("matrix")) as opened:
        yield opened


@pytest.fixture(scope="module")
def matrix(stage: Stage) -> Matrix:
    seen = play(stage)
    ended = [(cell, one) for cell, one in seen.played.items() if one.entry is not None and not cell.stalls]
    longest_s = max(one.entry["ended_at_s"] - one.left_at_s for _, one in ended if one.entry is not None)
    resets = sum(one.entry is not None and one.entry["hang_up_by"] == "rst" for one in seen.played.values())
    record(
        Figure.HANG_UPS,
        f"{longest_s:.2f} s, {resets} resets",
        good=longest_s <= 1 and not resets,
        how=f"{len(CELLS)} ways to leave, by phase, dialect, and FIN, RST or a reader that stalls",
    )
    return seen


def charged(played: Played) -> tuple[int, int]:
    """Prompt and output, of the one row that ends a call."""
    (closing,) = played.closing
    return closing["prompt_tokens"], closing["output_tokens"]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_backend_is_let_go_in_time_and_by_half_close(matrix: Matrix, cell: Cell) -> None:
    played = matrix.played[cell]
    entry = played.entry

    if cell.phase is Phase.QUEUED and not cell.stalls:
        assert entry is None, "who left the queue was never sent"
        return
    assert entry is not None
    assert entry["ended_at_s"] is not None
    if not cell.stalls:
        assert (entry["ended"], entry["phase"]) == ("hang-up", _PHASES_AT_THE_BACKEND[cell.phase])
        assert entry["hang_up_by"] == "fin"
        assert entry["ended_at_s"] - played.left_at_s < 1
    elif cell.phase is Phase.WHOLE:
        assert entry["ended"] == "done", "it is read whole before its client sees any of it"
    else:
        assert (entry["ended"], entry["phase"], entry["hang_up_by"]) == ("hang-up", "generating", "fin")
        generated_s = entry["output_tokens"] * 0.04
        assert generated_s < SEND_TIMEOUT_S + _SWEEPS_S


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_one_row_ends_it_with_the_right_outcome_and_charge(matrix: Matrix, cell: Cell) -> None:
    played = matrix.played[cell]
    (closing,) = played.closing
    prompt, output = charged(played)
    held = closing["held_tokens"]

    assert closing["event"] == "finished"
    assert closing["outcome"] == ("reader_too_slow" if cell.stalls else "hung_up")
    if played.entry is None:
        assert (prompt, output) == (0, 0)
        assert closing["at_s"] - played.left_at_s < 1
        return
    made = played.entry["prompt_tokens"] + played.entry["output_tokens"]
    assert made <= prompt + output <= held
    if cell.stalls:
        # Of a whole answer the backend's count was seen. The line of a stream is worth more tokens than its cap.
        assert prompt + output == (made if cell.phase is Phase.WHOLE else held)
    elif cell.phase is Phase.WHOLE:
        assert prompt + output == held, "nothing could be counted"
    else:
        assert prompt == held - CAP, "the bound of the prompt"
        assert (output > 0) is (cell.phase is Phase.STREAMING)


def test_nothing_stays_taken_and_everything_serves_again(matrix: Matrix) -> None:
    assert matrix.left == []
    assert set(matrix.served) == {200}


def test_what_a_prompt_took_stays_taken_while_the_backend_reads_on(matrix: Matrix) -> None:
    left = sum(cell.phase is Phase.PROMPT and not cell.stalls for cell in CELLS)

    assert matrix.kept_turns >= left
    assert matrix.kept_slots == left


def test_a_stream_that_is_left_at_any_point_costs_at_least_what_its_backend_made(stage: Stage) -> None:
    house = stage.house
    key = house.new_key()

    async def leave_at(point: int, dialect: Dialect, leaving: Leaving) -> str:
        body = body_of(dialect, "writer", f"point-{point} Hi", streamed=True, cap=CAP)
        caller = await Caller.ask(house.url, key, dialect, body)
        await caller.read_until(b"\n", times=10 + 2 * point)
        caller.leave(leaving)
        return caller.headers()["x-request-id"].removeprefix("req_")

    async def leave_all() -> list[str]:
        ways = zip(range(POINTS), cycle(Dialect), cycle([Leaving.FIN, Leaving.FIN, Leaving.RST]), strict=False)
        return await asyncio.gather(*(leave_at(*way) for way in ways))

    ids = asyncio.run(leave_all())
    house.settled()

    made = {
        entry["request_id"]: entry["prompt_tokens"] + entry["output_tokens"]
        for entry in stage.log()
        if entry["request_id"] in ids
    }
    rows = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    charges = {row["request_id"].hex: row["prompt_tokens"] + row["output_tokens"] for row in rows}
    assert set(made) == set(charges) == set(ids)
    assert {row["outcome"] for row in rows} == {"hung_up"}
    assert [one for one in ids if charges[one] < made[one]] == []
    assert house.used(key) == sum(charges.values())
