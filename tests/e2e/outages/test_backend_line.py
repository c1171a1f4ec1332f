"""The line to the backend cut at any byte, half dead, slow and refused: nothing is made twice, and everything ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.outages.asking import DIALECTS, NATIVE, ask
from tests.e2e.outages.books import disagreements
from tests.e2e.outages.site import PATIENT, Site
from tests.e2e.programs import eventually
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = pytest.mark.stores

CUTS = 50
CALLS = 4
TOKENS = 4


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One whose gateway has little patience with a backend that says nothing."""
    with Site.open({**PATIENT, "IDLE_TIMEOUT_S": "1", "FIRST_BYTE_TIMEOUT_S": "1"}) as opened:
        yield opened


def serves(site: Site, client: httpx.Client) -> None:
    site.backend.clear()
    for _ in eventually(10):
        if ask(client, NATIVE).served:
            return


def exchange(site: Site, client: httpx.Client, *, stream: bool) -> Sequence[int]:
    """Bytes of a call to the backend, and of its answer; without the looks after its health that fall between."""
    ways = (site.backend.there, site.backend.back)
    costs = []
    for _ in range(3):
        before = [way.passed for way in ways]
        assert ask(client, NATIVE, tokens=TOKENS, stream=stream).served
        costs.append([way.passed - was for way, was in zip(ways, before, strict=True)])
    return [min(cost) for cost in zip(*costs, strict=True)]


def test_a_cut_at_any_byte_makes_nothing_twice(site: Site) -> None:
    told = []
    with site.house.client(site.key) as client:
        costs = [exchange(site, client, stream=stream) for stream in (False, True)]
        for number in range(CUTS):
            kind, direction = number % 2, number // 2 % 2
            way = (site.backend.there, site.backend.back)[direction]
            way.cut_by = "fin" if number % 8 < 4 else "rst"
            way.cut_after = number * costs[kind][direction] // CUTS
            told.append(ask(client, NATIVE, tokens=TOKENS, stream=bool(kind)))
            way.cut_after = None

    wrong = disagreements(site.house, site.key, exact=False)
    record(Figure.SERVED_OR_SETTLED_TWICE, str(len(wrong)), good=not wrong, how=f"{CUTS} cuts of the line to a backend")
    assert not wrong
    broken = [one for one in told if not one.whole and not (one.served and '"done":true' in one.text)]
    assert len(broken) > CUTS // 2
    assert {(one.status, one.code) for one in broken} <= {
        (200, ""), (502, "backend_failed"), (502, "backend_unreachable"), (502, "stream_broken"),
        (503, "no_backend"),
    }  # fmt: skip


def test_a_backend_that_refuses_is_told_as_such_and_nothing_is_charged(site: Site) -> None:
    key = site.house.new_key()
    site.backend.refuses = True
    site.backend.reset()
    time.sleep(0.3)  # what is written to a connection before its end is heard may have arrived, and is charged

    with site.house.client(key) as client:
        told = [ask(client, path) for path in DIALECTS]
        site.house.settled()
        assert site.house.used(key) == 0
        serves(site, client)

    assert {one.status for one in told} <= {502, 503}
    assert all(one.retry_after for one in told)
    wrong = disagreements(site.house, key)
    assert not wrong, wrong


def test_a_slow_line_only_takes_longer(site: Site) -> None:
    key = site.house.new_key()
    with site.house.client(key) as client:
        serves(site, client)
        site.backend.there.latency_s = site.backend.back.latency_s = 0.3

        told = [ask(client, path, tokens=TOKENS, stream=True) for path in DIALECTS]
        site.backend.clear()

    assert all(one.whole for one in told), told
    wrong = disagreements(site.house, key)
    assert not wrong, wrong


@pytest.mark.parametrize("stream", [True, False])
def test_a_half_dead_backend_costs_its_patience_and_no_more(site: Site, *, stream: bool) -> None:
    """Nor is the model taken for wedged; and once the line is well, connections that died are not tried again."""
    key = site.house.new_key()
    with site.house.client(key) as client:
        serves(site, client)
        with ThreadPoolExecutor(CALLS) as pool:  # more connections are kept than calls will find dead one by one
            kept = list(pool.map(lambda _: ask(client, NATIVE, tokens=TOKENS, stream=stream), range(2 * CALLS)))
        assert all(one.served for one in kept)
        for _ in eventually(10):  # only of a model that is seen to be loaded can a wait tell anything
            if "sim-chat" in client.get("/api/ps").text:
                break
        site.backend.die_half()

        told = [ask(client, NATIVE, tokens=TOKENS, stream=stream) for _ in range(CALLS)]

        assert {one.status for one in told} <= {502, 503, 504}
        serves(site, client)
        told += [ask(client, NATIVE, tokens=TOKENS, stream=stream) for _ in range(CALLS)]
        assert [one.status for one in told[CALLS:]] == [200] * CALLS
    assert "model_wedged" not in {one.code for one in told}
    wrong = disagreements(site.house, key, exact=False)
    assert not wrong, wrong
