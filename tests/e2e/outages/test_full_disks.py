"""The disks of the stores full: PostgreSQL's data (it refuses), its log (it ends), Redis's file (it refuses)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.outages.asking import NATIVE, ask
from tests.e2e.outages.enduring import POSTGRES, REDIS, Trouble, endure
from tests.e2e.outages.site import PATIENT, Site, open_folder, start_breakable
from tests.e2e.outages.small_disk import fill, give_room, small_disk

pytestmark = pytest.mark.stores

FRUGAL = ("max_wal_size = '32MB'", "min_wal_size = '32MB'", "wal_recycle = off", "autovacuum = off")


@pytest.fixture(scope="module")
def cramped() -> Iterator[Site]:
    """A site whose stores have little room."""
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(open_folder())
        stores = ends.enter_context(start_breakable(folder))
        postgres, valkey = stores.postgres, stores.valkey
        with psycopg.connect(stores.database_url, autocommit=True) as connection:
            for setting in FRUGAL:
                connection.execute(f"alter system set {setting}".encode())
        state = postgres.ground.state
        postgres.stop()
        valkey.stop()
        ends.enter_context(small_disk(state.cluster, mebibytes=256))
        ends.enter_context(small_disk(state.cluster / "pg_wal", mebibytes=80))
        ends.enter_context(small_disk(state.valkey_dir, mebibytes=16))
        for server in (valkey, postgres):
            ends.callback(server.stop)
            server.start()
        yield ends.enter_context(Site.over(stores, folder, PATIENT))


def fill_the_data(site: Site) -> None:
    """Until what is left in the tables' last pages is used up, too."""
    fill(site.stores.postgres.ground.state.cluster)
    with site.house.client(site.key) as client:
        while ask(client, NATIVE).served:
            pass


def fill_the_log(site: Site) -> None:
    """Until PostgreSQL finds no room for its next file."""
    fill(site.stores.postgres.ground.state.cluster / "pg_wal")
    with contextlib.suppress(psycopg.Error), psycopg.connect(site.stores.database_url, autocommit=True) as connection:
        for number in range(100):
            connection.execute(f"create table public.filler_{number} (n int)".encode())
            connection.execute("select pg_switch_wal()")
    raise_if_up(site)


def raise_if_up(site: Site) -> None:
    with contextlib.suppress(psycopg.Error), psycopg.connect(site.stores.database_url):
        raise AssertionError("PostgreSQL still takes connections with its log full")


def room_for_the_log(site: Site) -> None:
    give_room(site.stores.postgres.ground.state.cluster / "pg_wal")
    site.stores.postgres.start()


def fill_the_file(site: Site) -> None:
    fill(site.stores.valkey.ground.state.valkey_dir)
    with site.house.client(site.key) as client:
        while ask(client, NATIVE).served:
            pass


FULL_DATA = Trouble(
    name="data full",
    in_part=True,  # its row may fit where another's was taken back
    begin=fill_the_data,
    end=lambda site: give_room(site.stores.postgres.ground.state.cluster),
)
FULL_LOG = Trouble(name="log full", begin=fill_the_log, end=room_for_the_log)
FULL_FILE = Trouble(
    name="file full", begin=fill_the_file, end=lambda site: give_room(site.stores.valkey.ground.state.valkey_dir)
)


def test_redis_with_its_disk_full_lets_nobody_in(cramped: Site) -> None:
    endure(cramped, REDIS, FULL_FILE, for_s=1.0)


def test_postgresql_with_its_data_full_lets_nobody_in(cramped: Site) -> None:
    endure(cramped, POSTGRES, FULL_DATA, for_s=1.5)


def test_postgresql_ended_by_its_full_log_lets_nobody_in(cramped: Site) -> None:
    endure(cramped, POSTGRES, FULL_LOG, for_s=1.5)
