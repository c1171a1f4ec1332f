from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.models import Model
from domain.routing import in_order
from tests.builders import a_model

COLD, WARM = a_model(), a_model(loaded=True)
hosts = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([COLD, WARM]))
loads = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9))


@pytest.mark.parametrize(
    ("hosts", "in_flight", "expected"),
    [
        ({}, {}, ""),
        ({"a": COLD, "b": WARM}, {}, "ba"),
        ({"a": COLD, "b": WARM}, {"b": 99}, "ba"),
        ({"a": WARM, "b": WARM}, {"a": 2, "b": 1}, "ba"),
        ({"b": WARM, "a": WARM}, {}, "ba"),
        ({"a": COLD, "b": COLD, "c": COLD}, {"a": 1, "c": 0}, "bca"),
    ],
)
def test_loaded_comes_first_then_the_least_busy_then_the_operators_order(
    hosts: dict[str, Model], in_flight: dict[str, int], expected: str
) -> None:
    assert list(in_order(hosts, in_flight)) == list(expected)


@given(hosts, loads)
def test_every_host_is_tried_once(hosts: dict[str, Model], in_flight: dict[str, int]) -> None:
    order = in_order(hosts, in_flight)

    assert sorted(order) == sorted(hosts)
    for first, second in pairwise(order):
        ranks = [(not hosts[name].loaded, in_flight.get(name, 0)) for name in (first, second)]
        assert ranks == sorted(ranks)
