"""Redis away, frozen, slow, deaf, cut, half dead, read-only and full: nobody is let in, and what runs goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.e2e.outages.enduring import REDIS, Trouble, endure
from tests.e2e.outages.site import Site

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
