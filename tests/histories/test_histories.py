"""Any history over the real SQL and the real Lua keeps every promise, I1 to I14."""

from __future__ import annotations

import time

import pytest

from tests.figures.record import record
from tests.figures.table import Figure
from tests.histories.conftest import OpenHouse
from tests.histories.runs import STEPS, run

pytestmark = pytest.mark.stores


@pytest.mark.timeout(600)
def test_any_history_keeps_every_promise(open_house: OpenHouse) -> None:
    _run_and_record(open_house, 500)


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
def test_twenty_thousand_histories_keep_every_promise(open_house: OpenHouse) -> None:
    _run_and_record(open_house, 20_000)


def _run_and_record(open_house: OpenHouse, examples: int) -> None:
    began_s = time.monotonic()
    histories = run(open_house, examples)
    how = f"of {STEPS} steps each, every promise looked at after every step, in {time.monotonic() - began_s:.0f} s"
    record(Figure.STATE_MACHINE_RUNS, f"{histories:,} histories", good=histories >= examples, how=how)
