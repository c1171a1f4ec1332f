"""Each server can be broken and mended by itself, with its files and addresses kept."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from entrypoints.embedded import EmbeddedStores, family, start_stores
from entrypoints.embedded.errors import ServerFailedError
from tests.entrypoints.embedded.conftest import eventually

pytestmark = pytest.mark.stores


def test_a_killed_postgres_leaves_no_backend_and_comes_back_with_its_rows(stores: EmbeddedStores) -> None:
    with psycopg.connect(stores.database_url, autocommit=True) as idle:
        idle.execute("create table kept as select 1 as number")
        backends = family.descendants(stores.postgres.pid)

        stores.postgres.kill()

        assert backends
        assert not family.living(backends)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(stores.database_url)
    stores.postgres.start()
    with psycopg.connect(stores.database_url) as connection:
        assert connection.execute("select number from kept").fetchall() == [(1,)]


def test_a_killed_valkey_comes_back_with_its_keys(stores: EmbeddedStores) -> None:
    with _client(stores) as client:
        client.set("kept", "yes")

        stores.valkey.kill()

        with pytest.raises(redis.ConnectionError):
            client.ping()
        stores.valkey.start()
        assert client.get("kept") == b"yes"


def test_a_stopped_server_starts_again(stores: EmbeddedStores) -> None:
    stores.postgres.stop()
    stores.valkey.stop()

    stores.postgres.start()
    stores.valkey.start()

    stores.check()
    with psycopg.connect(stores.database_url), _client(stores) as client:
        assert client.ping()


def test_starting_a_running_server_changes_nothing(stores: EmbeddedStores) -> None:
    before = stores.postgres.pid

    stores.postgres.start()

    assert stores.postgres.pid == before


def test_a_suspended_server_neither_answers_nor_ends_until_resumed(stores: EmbeddedStores) -> None:
    with psycopg.connect(stores.database_url, autocommit=True) as connection, _client(stores) as client:
        stores.postgres.suspend()
        stores.valkey.suspend()
        try:
            with pytest.raises(redis.TimeoutError):
                client.ping()
            connection.pgconn.send_query(b"select 1")
            connection.pgconn.flush()
            assert _states(stores.postgres.pid) == {"T"}
            stores.check()
        finally:
            stores.postgres.resume()
            stores.valkey.resume()

        assert client.ping()
        assert connection.pgconn.get_result() is not None
        while connection.pgconn.get_result() is not None:
            pass


def test_a_suspended_postgres_can_be_killed(stores: EmbeddedStores) -> None:
    stores.postgres.suspend()

    stores.postgres.kill()

    stores.postgres.start()
    stores.check()


def test_signals_that_the_owner_blocks_still_end_the_servers(whole_state: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with start_stores(whole_state, durable=False) as stores:
            os.kill(stores.valkey.pid, signal.SIGTERM)

            assert eventually(lambda: _has_ended(stores), within_s=5)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def test_an_overlong_log_is_put_aside_at_the_next_start(whole_state: Path) -> None:
    start_stores(whole_state, durable=False).stop()
    log = whole_state / "valkey.log"
    with log.open("ab") as file:
        file.truncate(17 * 1024 * 1024)

    start_stores(whole_state, durable=False).stop()

    assert log.stat().st_size < 100_000
    assert (whole_state / "valkey.log.1").stat().st_size == 17 * 1024 * 1024


def test_a_server_that_died_is_reported_with_the_end_of_its_log(whole_state: Path) -> None:
    with start_stores(whole_state, durable=False) as stores:
        os.kill(stores.postgres.pid, signal.SIGINT)
        assert eventually(lambda: _has_ended(stores), within_s=5)

        with pytest.raises(ServerFailedError) as failure:
            stores.check()

    assert "PostgreSQL ended by itself (exit status 0)." in str(failure.value)
    assert "database system is shut down" in str(failure.value)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing_running(new_state: Callable[[], Path]) -> None:
    state_path = new_state()
    start_stores(state_path, durable=False).stop()
    with (state_path / "pgdata" / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")

    with pytest.raises(ServerFailedError, match='unrecognized configuration parameter "no_such_setting"'):
        start_stores(state_path, durable=False)


def test_ports_can_be_opened_for_a_proxy_to_stand_before(whole_state: Path) -> None:
    postgres_port, valkey_port = _free_port(), _free_port()

    with start_stores(
        whole_state, durable=False, postgres_port=postgres_port, valkey_port=valkey_port, max_connections=7
    ) as stores:
        with psycopg.connect(stores.database_url) as by_socket:
            assert by_socket.execute("show max_connections").fetchone() == ("7",)
        with psycopg.connect(stores.postgres.url_at("127.0.0.1", postgres_port)) as by_port:
            assert by_port.info.hostaddr == "127.0.0.1"
        with redis.Redis.from_url(stores.valkey.url_at("127.0.0.1", valkey_port)) as client:
            assert client.ping()


def _client(stores: EmbeddedStores) -> redis.Redis:
    return redis.Redis.from_url(stores.redis_url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))


def _states(pid: int) -> set[str]:
    everyone = {pid, *(relative.pid for relative in family.descendants(pid))}
    return {Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0] for one in everyone}


def _has_ended(stores: EmbeddedStores) -> bool:
    try:
        stores.check()
    except ServerFailedError:
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
