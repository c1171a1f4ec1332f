"""The statistics find a difference that is there, and none that is not."""

from __future__ import annotations

import random

import pytest

from tests.strangers.pairs import difference


def test_a_difference_in_the_noise_is_found_with_its_size() -> None:
    chance = random.Random(3)  # noqa: S311  not a secret; the same every time
    one = [chance.lognormvariate(0, 1) + 0.5 for _ in range(5000)]
    other = [chance.lognormvariate(0, 1) for _ in range(5000)]

    found = difference(one, other)

    assert found.low < 0.5 < found.high
    assert found.p < 1e-6
    assert found.within(1)
    assert not found.within(0.4)


def test_samples_alike_do_not_differ() -> None:
    chance = random.Random(3)  # noqa: S311  not a secret; the same every time
    one, other = ([chance.lognormvariate(0, 1) for _ in range(5000)] for _ in range(2))

    found = difference(one, other, confidence=0.999)

    assert found.low < 0 < found.high
    assert found.p > 0.001


def test_a_known_case_of_ranks_with_ties() -> None:
    """19 pairs fall, and one rises: two are 9 apart and share the ranks 9 and 10. W+ = 9.5, expected 105."""
    apart = [-float(size) for size in range(1, 20)] + [9.0]

    found = difference(apart, [0.0] * 20)

    assert found.p == pytest.approx(3.63e-4, abs=1e-6)


def test_no_difference_at_all_is_none() -> None:
    assert difference([1.0] * 20, [1.0] * 20).p == 1


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="20 pairs"):
        difference([1.0], [2.0])
