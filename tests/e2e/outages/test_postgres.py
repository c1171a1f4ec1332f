"""PostgreSQL away, frozen, slow, deaf, cut, half dead and read-only: nobody is let in, and what runs is settled."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.outages.enduring import POSTGRES, Trouble, endure
from tests.e2e.outages.site import PATIENT, Site

pytestmark = pytest.mark.stores


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """What all of them happen to: each leaves it whole."""
    with Site.open(PATIENT) as opened:
        yield opened


def half_dead(site: Site) -> None:
    site.postgres.leads_nowhere = True
    site.postgres.die_half()


def reset_in_mid_batch(site: Site) -> None:
    site.postgres.refuses = True
    site.postgres.reset()


def clear(site: Site) -> None:
    site.postgres.clear()


def only_readable(site: Site, *, so: bool) -> None:
    with psycopg.connect(site.stores.database_url, autocommit=True) as connection:
        connection.execute(f"alter system set default_transaction_read_only = {'on' if so else 'off'}")
        connection.execute("select pg_reload_conf()")


TROUBLES = [
    Trouble(
        name="killed", begin=lambda site: site.stores.postgres.kill(), end=lambda site: site.stores.postgres.start()
    ),
    Trouble(
        name="frozen", begin=lambda site: site.stores.postgres.suspend(), end=lambda site: site.stores.postgres.resume()
    ),
    Trouble(name="replies lost", begin=lambda site: setattr(site.postgres.back, "lost", True), end=clear),
    Trouble(
        name="read-only",
        begin=lambda site: only_readable(site, so=True),
        end=lambda site: only_readable(site, so=False),
    ),
]
MORE = [
    pytest.param(one, id=one.name, marks=pytest.mark.nightly)
    for one in (
        Trouble(name="slow", begin=lambda site: setattr(site.postgres.back, "latency_s", 1.5), end=clear),
        Trouble(name="reset in mid-batch", begin=reset_in_mid_batch, end=clear),
        Trouble(name="half dead", begin=half_dead, end=clear),
    )
]


@pytest.mark.parametrize("trouble", [*(pytest.param(one, id=one.name) for one in TROUBLES), *MORE])
def test_without_postgresql_nobody_is_let_in_and_what_runs_is_settled(site: Site, trouble: Trouble) -> None:
    endure(site, POSTGRES, trouble, for_s=1.5)
