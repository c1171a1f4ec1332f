"""The primary stands still and its replica takes over under the same address: as after a machine was lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import attrs
import psycopg
import pytest
import redis

from entrypoints.embedded.postgres import PostgresServer
from entrypoints.embedded.state_dir import open_state_dir
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.e2e.outages.enduring import POSTGRES, REDIS, Trouble, endure
from tests.e2e.outages.site import PATIENT, POSTGRES_SOCKET, Site
from tests.e2e.programs import eventually, free_port

pytestmark = [pytest.mark.stores, pytest.mark.nightly]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Of this module alone: it ends on other stores than it began with."""
    with Site.open(PATIENT, valkey_port=free_port()) as opened:
        yield opened


@pytest.fixture(scope="module")
def replica(site: Site) -> Iterator[ValkeyUnderTest]:
    """A replica of Redis that has everything."""
    folder = site.folder / "replica"
    folder.mkdir()
    replica = ValkeyUnderTest(site.stores.valkey.binary, folder)
    replica.start()
    try:
        with redis.Redis.from_url(replica.url, decode_responses=True) as plain:
            plain.replicaof("127.0.0.1", str(site.stores.valkey.port))
            for _ in eventually(10):
                if plain.info("replication")["master_link_status"] == "up":
                    break
        yield replica
    finally:
        site.stores.valkey.resume()
        replica.kill()


@pytest.fixture(scope="module")
def standby(site: Site) -> Iterator[PostgresServer]:
    """A standby without which the primary commits nothing."""
    primary = site.stores.postgres
    account = primary.ground.account
    sockets = site.folder / "standby-sockets"
    sockets.mkdir(mode=0o700)
    state = open_state_dir(site.folder / "standby", account)
    account.adopt(sockets)
    shutil.copy2(primary.ground.state.password, state.password)
    account.adopt(state.password)
    subprocess.run(
        [primary.bin_dir / "pg_basebackup", "-D", state.cluster, "-d", site.stores.database_url, "-c", "fast", "-R"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    for path in (state.cluster, *state.cluster.rglob("*")):
        account.adopt(path)
    standby = PostgresServer(
        ground=attrs.evolve(primary.ground, state=state, sockets=sockets), bin_dir=primary.bin_dir, major=primary.major
    )
    standby.prepare(lambda _: None)
    standby.start()
    try:
        only_with_standby(site, so=True)
        yield standby
    finally:
        primary.resume()
        only_with_standby(site, so=False)
        standby.stop()


def only_with_standby(site: Site, *, so: bool) -> None:
    with psycopg.connect(site.stores.database_url, autocommit=True) as connection:
        connection.execute(f"alter system set synchronous_standby_names = '{'*' if so else ''}'".encode())
        connection.execute("select pg_reload_conf()")


def test_a_replica_of_redis_takes_over(site: Site, replica: ValkeyUnderTest) -> None:
    def promote(site: Site) -> None:
        with redis.Redis.from_url(replica.url) as plain:
            plain.replicaof("NO", "ONE")
        site.redis.lead_to(replica.socket_path)
        site.house.redis_url = replica.url

    endure(
        site, REDIS, Trouble(name="failed over", begin=lambda at: at.stores.valkey.suspend(), end=promote), for_s=1.0
    )


def test_a_standby_of_postgresql_takes_over(site: Site, standby: PostgresServer) -> None:
    old_way, new_way = (server.url.partition("?")[2] for server in (site.stores.postgres, standby))
    its_url = site.house.database_url.replace(old_way, new_way)

    def promote(site: Site) -> None:
        with psycopg.connect(its_url, autocommit=True) as connection:
            connection.execute("select pg_promote()")
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")
        site.postgres.lead_to(standby.ground.sockets / POSTGRES_SOCKET)
        site.house.database_url = its_url

    frozen = Trouble(name="failed over", begin=lambda at: at.stores.postgres.suspend(), end=promote)
    endure(site, POSTGRES, frozen, for_s=1.5)
