from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.budgets import EPOCH, NO_BUDGETS, Budgets, Window, WindowUse
from domain.limits import Scope

DAY, MONTH, TOTAL = Window.DAILY, Window.MONTHLY, Window.TOTAL
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.builds(
    lambda at, zone: at.astimezone(zone),
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  naive bounds
    offsets,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day and so on


@pytest.mark.parametrize(
    ("window", "now", "starts", "ends"),
    [
        (DAY, utc(2026, 11, 23, 12, 30), utc(2026, 11, 23), utc(2026, 11, 24)),
        (DAY, utc(2026, 11, 23), utc(2026, 11, 23), utc(2026, 11, 24)),
        (DAY, utc(2026, 11, 23, 23, 59, 59, 999_999), utc(2026, 11, 23), utc(2026, 11, 24)),
        (DAY, utc(2028, 2, 28, 9), utc(2028, 2, 28), utc(2028, 2, 29)),
        (DAY, utc(2028, 2, 29, 9), utc(2028, 2, 29), utc(2028, 3, 1)),
        (DAY, utc(2026, 12, 31, 23), utc(2026, 12, 31), utc(2027, 1, 1)),
        (DAY, utc(2026, 3, 29, 1, 30), utc(2026, 3, 29), utc(2026, 3, 30)),
        (DAY, utc(2026, 10, 25, 1, 30), utc(2026, 10, 25), utc(2026, 10, 26)),
        (MONTH, utc(2026, 11, 23, 12), utc(2026, 11, 1), utc(2026, 12, 1)),
        (MONTH, utc(2026, 12, 31, 23, 59, 59), utc(2026, 12, 1), utc(2027, 1, 1)),
        (MONTH, utc(2027, 1, 1), utc(2027, 1, 1), utc(2027, 2, 1)),
        (MONTH, utc(2027, 1, 31), utc(2027, 1, 1), utc(2027, 2, 1)),
        (MONTH, utc(2027, 2, 28), utc(2027, 2, 1), utc(2027, 3, 1)),
        (MONTH, utc(2028, 2, 29), utc(2028, 2, 1), utc(2028, 3, 1)),
        (MONTH, utc(2026, 4, 30), utc(2026, 4, 1), utc(2026, 5, 1)),
        (TOTAL, utc(2026, 11, 23), EPOCH, None),
    ],
)
def test_where_a_window_starts_and_ends(window: Window, now: datetime, starts: datetime, ends: datetime | None) -> None:
    assert (window.start(now), window.end(now)) == (starts, ends)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=2))), utc(2026, 11, 22)),
        (datetime(2026, 11, 23, 23, tzinfo=timezone(timedelta(hours=-2))), utc(2026, 11, 24)),
        (datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=10, minutes=30))), utc(2026, 12, 31)),
    ],
)
def test_days_are_utc_days_whatever_the_zone_of_the_clock(now: datetime, day: datetime) -> None:
    assert DAY.start(now) == day
    assert DAY.start(now).tzinfo is UTC


def test_a_month_is_a_utc_month_at_new_year_abroad() -> None:
    sydney = timezone(timedelta(hours=11))

    assert MONTH.start(datetime(2027, 1, 1, 5, tzinfo=sydney)) == utc(2026, 12, 1)
    assert MONTH.end(datetime(2027, 1, 1, 5, tzinfo=sydney)) == utc(2027, 1, 1)


@given(st.sampled_from([DAY, MONTH]), instants)
def test_an_instant_lies_in_its_window_and_the_next_begins_where_it_ends(window: Window, now: datetime) -> None:
    starts, ends = window.start(now), window.end(now)

    assert ends is not None
    assert starts <= now < ends
    assert window.start(ends) == ends
    assert window.start(ends - timedelta(microseconds=1)) == starts
    assert window.start(now.astimezone(UTC)) == starts


@given(instants)
def test_a_total_never_ends(now: datetime) -> None:
    assert (TOTAL.start(now), TOTAL.end(now)) == (EPOCH, None)


@pytest.mark.parametrize("name", ["daily", "monthly", "total"])
@pytest.mark.parametrize("value", [0, -5])
def test_a_budget_that_is_set_is_positive(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive whole number"):
        Budgets(**{name: value})


def test_each_window_has_its_own_budget() -> None:
    budgets = Budgets(daily=1, monthly=2, total=3)

    assert [budgets.limit(window) for window in (DAY, MONTH, TOTAL)] == [1, 2, 3]
    assert [NO_BUDGETS.limit(window) for window in Window] == [None, None, None]


@pytest.mark.parametrize(
    ("used", "held", "limit", "left"),
    [(0, 0, None, None), (0, 0, 10, 10), (3, 4, 10, 3), (6, 4, 10, 0), (9, 9, 10, 0), (10, 0, 5, 0)],
)
def test_what_is_left_of_a_window(used: int, held: int, limit: int | None, left: int | None) -> None:
    use = WindowUse(
        scope=Scope.KEY, window=DAY, used=used, held=held, limit=limit, starts=EPOCH, ends=EPOCH + timedelta(days=1)
    )

    assert use.left == left
