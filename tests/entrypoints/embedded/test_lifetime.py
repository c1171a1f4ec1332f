"""The servers live exactly as long as their owner, and what they acknowledged lives longer."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from entrypoints.embedded import family, start_stores
from entrypoints.embedded.errors import AlreadyRunningError, EmbeddedError, ServerFailedError, WrongThreadError
from tests.entrypoints.embedded.conftest import Owner, await_owner, end, eventually, start_owner

pytestmark = pytest.mark.stores

_NOBODY_UID = 65534
_UID_WITHOUT_A_NAME = 54321
_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_a_second_start_finds_what_the_first_one_wrote(state_path: Path) -> None:
    with start_stores(state_path) as stores:
        pids = {stores.postgres.pid, stores.valkey.pid}
        sockets = stores.postgres.ground.sockets
        with psycopg.connect(stores.database_url) as connection:
            connection.execute("create table words (word text)")
            connection.execute("insert into words values ('grüße')")
        with redis.Redis.from_url(stores.redis_url) as client:
            client.set("greeting", "hello")

    assert not any(map(family.is_alive, pids))
    assert not sockets.exists()

    steps: list[str] = []
    with start_stores(state_path, on_step=steps.append) as stores:
        with psycopg.connect(stores.database_url) as connection:
            assert connection.execute("select word, upper(word) from words").fetchall() == [("grüße", "GRÜßE")]
        with redis.Redis.from_url(stores.redis_url) as client:
            assert client.get("greeting") == b"hello"
    assert "making a new database" not in steps


def test_stopping_twice_is_stopping_once(whole_state: Path) -> None:
    stores = start_stores(whole_state, durable=False)

    stores.stop()
    stores.stop()

    with pytest.raises(ServerFailedError, match="not running"):
        stores.check()


@pytest.mark.parametrize(
    ("number", "uid"),
    [
        pytest.param(signal.SIGKILL, None, id="SIGKILL"),
        pytest.param(signal.SIGTERM, None, id="SIGTERM"),
        pytest.param(signal.SIGINT, None, id="SIGINT"),
        pytest.param(signal.SIGKILL, _NOBODY_UID, id="SIGKILL of a plain user's", marks=_root_only),
        pytest.param(signal.SIGTERM, _NOBODY_UID, id="SIGTERM of a plain user's", marks=_root_only),
        pytest.param(signal.SIGKILL, _UID_WITHOUT_A_NAME, id="SIGKILL of a nameless user's", marks=_root_only),
    ],
)
def test_both_servers_end_when_their_owner_does(
    state_of: Callable[[int | None], Path], own: Callable[..., Owner], number: signal.Signals, uid: int | None
) -> None:
    owner = own(state_of(uid), uid)
    everyone = family.descendants(owner.popen.pid)
    assert {relative.pid for relative in everyone} >= set(owner.pids)

    owner.popen.send_signal(number)
    owner.popen.wait(10)

    assert eventually(lambda: not family.living(everyone), within_s=3)


def test_acknowledged_rows_survive_a_kill_and_an_immediate_restart(
    whole_state: Path, own: Callable[..., Owner]
) -> None:
    owner = own(whole_state)
    with psycopg.connect(owner.database_url, autocommit=True) as connection:
        connection.execute("create table acknowledged (number int)")
    killer = threading.Timer(0.3, owner.popen.kill)
    killer.start()

    written = _write_until_it_breaks(owner.database_url)
    killer.join()
    owner.popen.wait(10)

    with start_stores(whole_state, durable=False) as stores, psycopg.connect(stores.database_url) as connection:
        found = connection.execute("select count(*) from acknowledged").fetchone()
    assert found is not None
    assert written <= found[0] <= written + 1
    assert written > 0


def test_a_second_owner_is_refused_and_the_first_is_not_disturbed(whole_state: Path, own: Callable[..., Owner]) -> None:
    owner = own(whole_state)

    with pytest.raises(AlreadyRunningError) as refusal:
        start_stores(whole_state, durable=False)

    assert str(refusal.value) == (
        f"Another gateway (pid {owner.popen.pid}) is using {whole_state}. Stop it, or name another state directory."
    )
    with psycopg.connect(owner.database_url), redis.Redis.from_url(owner.redis_url) as client:
        assert client.ping()


def test_an_interrupted_first_start_heals(state_path: Path) -> None:
    popen = start_owner(state_path)
    assert popen.stdout is not None
    unfinished = state_path / "pgdata.tmp"
    assert eventually((unfinished / "base").exists, within_s=10)
    everyone = family.descendants(popen.pid)

    end(popen)

    assert eventually(lambda: not family.living(everyone), within_s=3)
    assert not (state_path / "pgdata").exists()
    second = start_owner(state_path)
    try:
        assert "making a new database" in await_owner(second).steps
    finally:
        end(second)


def test_stores_are_not_started_from_a_thread() -> None:
    caught: list[EmbeddedError] = []

    def start() -> None:
        try:
            start_stores(Path("/nowhere"))
        except EmbeddedError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert isinstance(caught[0], WrongThreadError)
    assert "Start them from the main thread." in str(caught[0])


def test_stores_are_not_started_within_an_event_loop() -> None:
    async def start() -> None:
        start_stores(Path("/nowhere"))

    with pytest.raises(WrongThreadError, match="before the loop"):
        asyncio.run(start())


def test_a_fork_of_the_owner_cannot_stop_the_stores(whole_state: Path) -> None:
    with start_stores(whole_state, durable=False) as stores:
        pid = os.fork()
        if pid == 0:
            stores.stop()
            os._exit(0)
        os.waitpid(pid, 0)

        stores.check()
        with psycopg.connect(stores.database_url):
            pass


def _write_until_it_breaks(database_url: str) -> int:
    written = 0
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while True:
                connection.execute("insert into acknowledged values (%s)", (written,))
                written += 1
    except psycopg.OperationalError:
        return written
