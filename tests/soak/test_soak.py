"""The long runs work: seconds of each, and the arithmetic they judge by."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.soak.cancelling import cancel_storm
from tests.soak.cast import Holder
from tests.soak.samples import LEAST_JUDGED_S, Samples
from tests.soak.slopes import slope_of, students_t
from tests.soak.soaking import Plan, soak
from tests.soak.traffic import Turn, surprise_in
from tests.soak.troupe import LogReader
from tests.soak.wire import Ask, Leave, Manner, Seen

HOUR_S = 3600.0
STREAM = Ask(path="/api/chat", body={"stream": True})


@pytest.mark.parametrize(("freedom", "point"), [(4, 2.776), (10, 2.228), (30, 2.042), (100, 1.984)])
def test_students_points_are_those_of_the_tables(freedom: int, point: float) -> None:
    assert students_t(freedom) == pytest.approx(point, rel=0.01)


def test_a_line_is_found_and_its_interval_is_as_wide_as_the_noise() -> None:
    chance = random.Random(1)  # noqa: S311  noise, not a secret
    exact = [(at_s * 30.0, 100 + at_s * 30.0 * 2 / HOUR_S) for at_s in range(100)]
    noisy = [(at_s, value + chance.gauss(0, 1)) for at_s, value in exact]

    line, guess = slope_of(exact), slope_of(noisy)

    assert line is not None
    assert line.per_hour == pytest.approx(2)
    assert line.give_or_take == pytest.approx(0, abs=1e-6)
    assert guess is not None
    assert guess.at_least < 2 < guess.per_hour + guess.give_or_take
    assert 0.3 < guess.give_or_take < 2


def test_too_few_samples_have_no_line() -> None:
    assert slope_of([(0, 1), (1, 2)]) is None


@pytest.mark.parametrize(("growth_per_hour", "leaks"), [(0.0, False), (3.0, False), (30.0, True)])
def test_what_surely_grows_more_than_it_may_is_a_leak(tmp_path: Path, growth_per_hour: float, leaks: bool) -> None:  # noqa: FBT001  a case of the table
    samples = Samples(tmp_path / "samples.csv")
    chance = random.Random(2)  # noqa: S311  noise, not a secret
    for number in range(120):
        at_s = number * 30.0
        value = 100 + growth_per_hour * at_s / HOUR_S + chance.gauss(0, 0.5)
        samples.add(at_s, {"gateway 1 rss MiB": value, "table audit MiB": value})

    rows = {row.what: row for row in samples.rows(HOUR_S)}

    assert rows["gateway 1 rss MiB"].leaks is leaks
    assert not rows["table audit MiB"].leaks
    assert len((tmp_path / "samples.csv").read_text().splitlines()) == 241


def test_a_short_run_is_not_judged(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.csv")
    for number in range(20):
        samples.add(number * LEAST_JUDGED_S / 30, {"gateway 1 rss MiB": 100.0 + number})

    assert not any(row.leaks for row in samples.rows(LEAST_JUDGED_S))


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        (Seen(status=200, tail=b'{"message":{},"done":true}\n'), True),
        (Seen(status=200, tail=b'{"message":{},"done":false}\n'), False),
        (Seen(status=200, tail=b'{"error":"cut"}\n{"done":true}'), False),
        (Seen(status=200, broken="IncompleteReadError"), False),
        (Seen(status=503, code="overloaded"), False),
        (Seen(broken="ConnectionResetError"), False),
    ],
)
def test_a_stream_without_its_end_is_a_surprise(seen: Seen, right: bool) -> None:  # noqa: FBT001  a case of the table
    assert (surprise_in(Turn(ask=STREAM), seen, 0.0) == "") is right


def test_who_leaves_is_no_surprise_and_who_stays_is_judged() -> None:
    leaves = Turn(ask=STREAM, manner=Manner(leaves_after_s=0.1, leaves_by=Leave.RST))

    assert surprise_in(leaves, Seen(status=200, left=True), 0.0) == ""
    assert surprise_in(leaves, Seen(status=500), 0.0) != ""


def test_a_key_that_is_being_changed_excuses_a_cut_but_no_fault_of_ours() -> None:
    holder = Holder.__new__(Holder)
    holder.changing, holder.changed_at_s = False, 5.0
    turn = Turn(ask=STREAM, holder=holder)

    assert surprise_in(turn, Seen(status=401), 4.0) == ""
    assert surprise_in(turn, Seen(status=401), 6.0) != ""
    assert surprise_in(turn, Seen(status=500), 4.0) != ""


def test_a_log_is_read_once_as_it_grows(tmp_path: Path) -> None:
    place = tmp_path / "gateway.log"
    place.write_bytes(b'{"event":"call","level":"info"}\n{"event":"late","level":"warning"}\n{"event":"ha')
    log = LogReader(place)
    log.read()
    with place.open("ab") as file:
        file.write(b'lf","level":"error"}\n')
    log.read()
    log.read()

    assert log.grave == {"warning: late": 1, "error: half": 1}


@pytest.mark.storm
@pytest.mark.stores
def test_a_soak_of_seconds_finds_nothing_wrong(stores: EmbeddedStores, tmp_path: Path) -> None:
    plan = Plan(minutes=0.05, out=tmp_path, calibrate_s=1.0, workers=8, sample_every_s=1.0, processes=1)

    assert soak(plan, stores) == 0, (tmp_path / "report.txt").read_text()

    assert "gateway 1 rss MiB" in (tmp_path / "samples.csv").read_text()


@pytest.mark.storm
@pytest.mark.stores
def test_a_small_storm_leaves_nothing_behind(stores: EmbeddedStores, tmp_path: Path) -> None:
    status = cancel_storm(100, tmp_path, stop_every=100, most_growth_mib=64.0, stores=stores)

    assert status == 0, (tmp_path / "cancel.txt").read_text()
