"""Redis away, frozen, slow, deaf, cut, half dead, read-only and full: nobody is let in, and what runs goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.e2e.outages.asking import refused_well
from tests.e2e.outages.books import disagreements
from tests.e2e.outages.enduring import REDIS, Trouble, endure
from tests.e2e.outages.probing import Probing
from tests.e2e.outages.site import Site
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = pytest.mark.stores


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """What all of them happen to: each leaves it whole."""
    with Site.open() as opened:
        yield opened


def told(*command: str) -> Callable[[Site], None]:
    """Says something to the server itself."""

    def tell(site: Site) -> None:
        with redis.Redis.from_url(site.stores.redis_url) as plain:
            plain.execute_command(*command)

    return tell


def half_dead(site: Site) -> None:
    site.redis.leads_nowhere = True
    site.redis.die_half()


def reset_in_mid_batch(site: Site) -> None:
    site.redis.refuses = True
    site.redis.reset()


def heard_again(site: Site) -> None:
    """TCP loses nothing in the middle: what was lost is the end of its connection."""
    site.redis.clear()
    site.redis.reset()


def clear(site: Site) -> None:
    site.redis.clear()


TROUBLES = [
    Trouble(name="killed", begin=lambda site: site.stores.valkey.kill(), end=lambda site: site.stores.valkey.start()),
    Trouble(name="slow", begin=lambda site: setattr(site.redis.back, "latency_s", 0.3), end=clear),
    Trouble(name="replies lost", begin=lambda site: setattr(site.redis.back, "lost", True), end=heard_again),
    Trouble(name="reset in mid-batch", begin=reset_in_mid_batch, end=clear),
    Trouble(name="read-only", begin=told("REPLICAOF", "127.0.0.1", "1"), end=told("REPLICAOF", "NO", "ONE")),
]
MORE = [
    pytest.param(one, id=one.name, marks=pytest.mark.nightly)
    for one in (
        Trouble(
            name="frozen", begin=lambda site: site.stores.valkey.suspend(), end=lambda site: site.stores.valkey.resume()
        ),
        Trouble(name="half dead", begin=half_dead, end=clear),
        Trouble(
            name="memory full",
            begin=told("CONFIG", "SET", "maxmemory", "1"),
            end=told("CONFIG", "SET", "maxmemory", "0"),
        ),
    )
]


@pytest.mark.parametrize("trouble", [*(pytest.param(one, id=one.name) for one in TROUBLES), *MORE])
def test_without_redis_nobody_is_let_in_and_what_runs_goes_on(site: Site, trouble: Trouble) -> None:
    endure(site, REDIS, trouble, for_s=1.0)


def test_a_flush_is_over_in_two_seconds_and_ends_no_stream(site: Site) -> None:
    with Probing(site) as probing:
        probing.until(lambda told: any(one.served for one in told))
        told("FLUSHALL")(site)
        again_s = probing.served_again_s(time.time())
        streams = probing.streams()
    wrong = [fault for one in probing.told() if not one.served and (fault := refused_well(one, REDIS.code))]
    record(Figure.SERVES_AGAIN_FLUSH, f"{again_s:.2f} s", good=again_s <= 2, how="FLUSHALL under probes and streams")

    assert not wrong, wrong
    assert all(one.whole for one in streams), streams
    assert again_s <= 2, again_s
    assert not disagreements(site.house, site.key)
