"""The line to PostgreSQL cut anywhere in a call's hold and settlement: whether they were committed is not known, and
each is there once all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.e2e.outages.asking import NATIVE, ask
from tests.e2e.outages.books import disagreements, inferences
from tests.e2e.outages.site import PATIENT, Site
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = pytest.mark.stores


@pytest.fixture(scope="module")
def quiet() -> Iterator[Site]:
    """One whose upkeep says little, so that cuts meet the ledger."""
    with Site.open({**PATIENT, "PROCESS_BEAT_S": "50", "LEDGER_TIMEOUT_S": "3"}) as opened:
        yield opened


def exchange(site: Site, client: httpx.Client) -> Sequence[int]:
    """Bytes that one call costs in each direction at least: its hold, and its settlement."""
    ways = (site.postgres.there, site.postgres.back)
    costs: list[list[int]] = []
    while not ask(client, NATIVE).served:
        pass
    for _ in range(4):
        before = [way.passed for way in ways]
        assert ask(client, NATIVE).served
        site.house.settled()
        costs.append([way.passed - was for way, was in zip(ways, before, strict=True)])
    return [min(cost) for cost in zip(*costs, strict=True)]


@pytest.mark.parametrize("cuts", [60, pytest.param(200, marks=pytest.mark.nightly)])
def test_a_cut_at_any_byte_of_the_commit_leaves_one_row_or_none(quiet: Site, cuts: int) -> None:
    told = []
    with quiet.house.client(quiet.key) as client:
        cost = exchange(quiet, client)
        for number in range(cuts):
            way = (quiet.postgres.there, quiet.postgres.back)[number % 2]
            way.cut_by = "fin" if number % 4 < 2 else "rst"
            way.cut_after = number * cost[number % 2] // cuts
            while way.cut_after is not None:
                told.append(ask(client, NATIVE))
                quiet.house.settled()

    unsettled = disagreements(quiet.house, quiet.key)
    made = {one["request_id"] for one in inferences(quiet.house)}
    wrong = [one for one in told if one.served != (one.request_id in made)]
    record(
        Figure.SERVED_OR_SETTLED_TWICE, str(len(unsettled) + len(wrong)), good=not unsettled and not wrong,
        how=f"{cuts} cuts at COMMIT",
    )  # fmt: skip
    assert not unsettled
    assert not wrong
    assert {(one.status, one.code) for one in told} <= {
        (200, ""), (503, "ledger_unavailable"), (503, "identity_unavailable")
    }  # fmt: skip
