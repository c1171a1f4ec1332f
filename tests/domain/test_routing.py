from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.models import Model
from domain.routing import in_tiers
from tests.builders import a_model

COLD, WARM = a_model(), a_model(loaded=True)
hosts = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([COLD, WARM]))


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ({}, []),
        ({"a": COLD}, ["a"]),
        ({"a": COLD, "b": WARM}, ["b", "a"]),
        ({"b": WARM, "a": WARM}, ["ba"]),
        ({"c": COLD, "b": WARM, "a": COLD, "d": WARM}, ["bd", "ca"]),
    ],
)
def test_loaded_comes_first_and_a_tier_keeps_the_operators_order(
    hosts: dict[str, Model], expected: Sequence[str]
) -> None:
    assert [list(tier) for tier in in_tiers(hosts)] == [list(tier) for tier in expected]


@given(hosts)
def test_every_host_is_named_once_and_no_tier_is_empty(hosts: dict[str, Model]) -> None:
    tiers = in_tiers(hosts)

    assert sorted(name for tier in tiers for name in tier) == sorted(hosts)
    assert all(tiers)
    assert all(len({hosts[name].loaded for name in tier}) == 1 for tier in tiers)
