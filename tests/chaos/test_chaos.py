"""The chaos run, at the length that every change can wait for and at the nights' length; and that its replay sees."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from entrypoints.embedded import EmbeddedError
from tests.chaos.running import Plan, chaos
from tests.chaos.windows import Admitted, fullest

pytestmark = pytest.mark.stores


def _calls(*spans: tuple[float, float]) -> list[Admitted]:
    return [Admitted(name=str(place), from_s=a, until_s=b) for place, (a, b) in enumerate(spans)]


@pytest.mark.parametrize(
    ("spans", "too_many"),
    [
        ([], False),
        ([(0, 0.1), (59, 59.9)], False),
        ([(0, 0.1), (1, 1.1), (59.8, 60)], True),
        ([(0, 0.1), (1, 1.1), (59.8, 60.1)], False),  # it may have been admitted after the minute
        ([(0, 0.1), (61, 61), (62, 62), (63, 63)], True),
        ([(0, 30), (20, 59), (20, 60)], True),
    ],
)
def test_a_minute_is_too_full_only_if_it_surely_is(spans: list[tuple[float, float]], too_many: bool) -> None:  # noqa: FBT001  a case of the table
    assert (fullest(_calls(*spans), lambda _from_s, _until_s: 2) is not None) is too_many


def test_the_largest_limit_that_may_have_been_in_force_counts() -> None:
    calls = _calls((0, 0), (1, 1), (2, 2))

    assert fullest(calls, lambda from_s, _until_s: 3 if from_s < 1 else 2) is None


def test_what_a_call_cost_is_what_is_added_up() -> None:
    calls = [Admitted(name="a", from_s=0, until_s=1, cost=40), Admitted(name="b", from_s=2, until_s=3, cost=70)]

    found = fullest(calls, lambda _from_s, _until_s: 100)

    assert found is not None
    assert (found.amount, found.names) == (110, ["a", "b"])


def _survive(seconds: float, out: Path, longest_frozen_s: float) -> None:
    seed = int(os.environ.get("CHAOS_SEED", str(int(time.time()) % 100_000)))
    try:
        status = chaos(Plan(seconds=seconds, seed=seed, out=out, longest_frozen_s=longest_frozen_s))
    except EmbeddedError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert status == 0, (out / f"chaos-{seed}.txt").read_text()


@pytest.mark.storm
@pytest.mark.timeout(400)
def test_ninety_seconds_of_chaos_leave_four_logs_that_tell_one_story(tmp_path: Path) -> None:
    _survive(90, tmp_path, longest_frozen_s=6.5)


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_ten_minutes_of_chaos_leave_four_logs_that_tell_one_story(tmp_path: Path) -> None:
    _survive(600, tmp_path, longest_frozen_s=20.0)
