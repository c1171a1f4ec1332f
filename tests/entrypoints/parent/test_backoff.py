"""How long a dead child is left alone."""

from hypothesis import given
from hypothesis import strategies as st

from entrypoints.parent.backoff import LONG_LIFE_S, LONGEST_PAUSE_S, pause_s, short_lives_after


def pauses(lives: list[float]) -> list[float]:
    short, told = 0, []
    for lived_s in lives:
        short = short_lives_after(short, lived_s)
        told.append(pause_s(short))
    return told


def test_at_once_and_then_doubled_up_to_half_a_minute() -> None:
    assert pauses([1.0] * 9) == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_life_of_a_minute_counts_as_new() -> None:
    assert pauses([1.0, 1.0, 1.0, 60.0, 59.9, 1.0]) == [0, 1, 2, 0, 0, 1]


@given(st.integers(0, 10**9))
def test_a_pause_never_shrinks_nor_passes_its_bound(short_lives: int) -> None:
    assert 0 <= pause_s(short_lives) <= pause_s(short_lives + 1) <= LONGEST_PAUSE_S


@given(st.lists(st.floats(0, 1000)))
def test_whoever_lived_long_is_followed_at_once(lives: list[float]) -> None:
    assert all(pause == 0 for pause, lived_s in zip(pauses(lives), lives, strict=True) if lived_s >= LONG_LIFE_S)
