from collections.abc import Sequence
from itertools import accumulate

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import NO_LIMITS, WINDOW_S, ExactWindow, Limits, tightest

arrivals = st.lists(
    st.tuples(st.floats(0, 25, allow_nan=False), st.integers(0, 8)), min_size=1, max_size=60
)  # (seconds since the one before, cost)


@attrs.frozen
class Admitted:
    at_s: float
    cost: int


def most_in_any_minute(history: Sequence[Admitted]) -> int:
    return max(
        (sum(c.cost for c in history if first.at_s <= c.at_s < first.at_s + WINDOW_S) for first in history),
        default=0,
    )


def admit_all(window: ExactWindow, events: Sequence[tuple[float, int]], limit: int) -> list[Admitted]:
    admitted = []
    for at_s, cost in events:
        if window.wait_s(cost, limit, int(at_s)) == 0:
            window.charge(cost, int(at_s))
            admitted.append(Admitted(at_s, cost))
    return admitted


def in_time(gaps: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    return list(zip(accumulate(gap for gap, _ in gaps), (cost for _, cost in gaps), strict=True))


@given(arrivals, st.integers(1, 20))
def test_no_sixty_seconds_hold_more_than_the_limit(gaps: list[tuple[float, int]], limit: int) -> None:
    admitted = admit_all(ExactWindow(), in_time(gaps), limit)

    assert most_in_any_minute(admitted) <= limit


@given(arrivals, st.integers(1, 20))
def test_what_is_refused_would_not_have_fitted_into_the_seconds_of_the_last_minute(
    gaps: list[tuple[float, int]], limit: int
) -> None:
    window = ExactWindow()
    admitted: list[Admitted] = []
    for at_s, cost in in_time(gaps):
        recent = sum(c.cost for c in admitted if int(c.at_s) >= int(at_s) - WINDOW_S)
        fits = window.wait_s(cost, limit, int(at_s)) == 0

        assert fits == (recent + cost <= limit)
        if fits:
            window.charge(cost, int(at_s))
            admitted.append(Admitted(at_s, cost))


@given(arrivals, st.integers(1, 20), st.integers(1, 20))
def test_the_wait_is_exact(gaps: list[tuple[float, int]], limit: int, cost: int) -> None:
    window = ExactWindow()
    events = in_time(gaps)
    admit_all(window, events, limit)
    now_s = int(events[-1][0])
    wait_s = window.wait_s(cost, limit, now_s)

    if cost > limit:
        assert wait_s is None
        return
    assert wait_s is not None
    assert 0 <= wait_s <= WINDOW_S + 1
    before = ExactWindow(dict(window.buckets), window.total)
    assert window.wait_s(cost, limit, now_s + wait_s) == 0
    assert wait_s == 0 or before.wait_s(cost, limit, now_s + wait_s - 1) == 1


@given(arrivals, st.data())
def test_the_sum_is_always_the_sum_of_the_buckets(gaps: list[tuple[float, int]], data: st.DataObject) -> None:
    window = ExactWindow()
    for at_s, cost in in_time(gaps):
        window.charge(cost, int(at_s))
        back = data.draw(st.integers(0, 10))
        window.refund(back, data.draw(st.integers(int(at_s) - 70, int(at_s))), int(at_s))

        assert window.total == sum(window.buckets.values())
        assert min(window.buckets.values(), default=0) >= 0
        assert len(window.buckets) <= WINDOW_S + 1


@given(arrivals, st.integers(1, 50), st.integers(0, 60))
def test_a_full_refund_leaves_the_window_as_if_nothing_had_come(
    gaps: list[tuple[float, int]], cost: int, later_s: int
) -> None:
    window, other = ExactWindow(), ExactWindow()
    events = in_time(gaps)
    for at_s, amount in events:
        window.charge(amount, int(at_s))
        other.charge(amount, int(at_s))
    second = int(events[-1][0])
    window.charge(cost, second)
    window.refund(cost, second, second + later_s)
    other.drop_old(second + later_s)

    assert window.total == other.total
    for wanted in (1, 7, 40):
        assert window.wait_s(wanted, 40, second + later_s) == other.wait_s(wanted, 40, second + later_s)


def test_a_refund_never_gives_back_more_than_was_charged() -> None:
    window = ExactWindow()
    window.charge(5, 100)
    window.refund(50, 100, 101)
    window.refund(5, 99, 101)

    assert window.total == 0


def test_a_refund_for_what_has_left_the_window_changes_nothing() -> None:
    window = ExactWindow()
    window.charge(5, 100)
    window.charge(7, 150)
    window.refund(5, 100, 161)

    assert window.total == 7


def test_the_oldest_part_second_counts_whole() -> None:
    window = ExactWindow()
    window.charge(1, 100)

    assert window.wait_s(1, 1, 100) == 61
    assert window.wait_s(1, 1, 160) == 1
    assert window.wait_s(1, 1, 161) == 0


def test_a_call_larger_than_the_limit_never_fits() -> None:
    assert ExactWindow().wait_s(11, 10, 0) is None


def test_asking_changes_nothing() -> None:
    window = ExactWindow()
    window.charge(3, 100)
    before = (dict(window.buckets), window.total)
    window.wait_s(2, 4, 120)
    window.charge(0, 120)

    assert (window.buckets, window.total) == before


def test_a_window_whose_sum_was_tampered_with_is_noticed() -> None:
    with pytest.raises(AssertionError, match="sum to the total"):
        ExactWindow({}, 9).wait_s(1, 5, 0)


@pytest.mark.parametrize("name", ["rpm", "tpm", "concurrency"])
@pytest.mark.parametrize("value", [0, -1, -(10**9)])
def test_a_limit_that_is_set_is_positive(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive whole number"):
        Limits(**{name: value})


def test_limits_may_be_absent() -> None:
    assert Limits(rpm=None, tpm=None, concurrency=None) == NO_LIMITS


@pytest.mark.parametrize(
    ("limits", "expected"), [((), None), ((None, None), None), ((None, 5), 5), ((9, 5, None), 5), ((3, 5), 3)]
)
def test_the_tightest_limit_is_the_smallest_that_is_set(limits: tuple[int | None, ...], expected: int | None) -> None:
    assert tightest(*limits) == expected
