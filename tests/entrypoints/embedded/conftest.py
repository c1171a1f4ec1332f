"""Real servers in directories of their own, and the proof that nothing of them stays behind."""

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from entrypoints.embedded import EmbeddedError, EmbeddedStores, start_stores
from entrypoints.embedded.account import Account
from entrypoints.embedded.binaries import find_postgres_bin, find_valkey
from entrypoints.embedded.socket_dir import choose_socket_dir
from entrypoints.embedded.state_dir import StateDir
from tests.reachable import reachable_servers

_OWNER = Path(__file__).with_name("owner.py")


@attrs.frozen
class Owner:
    """A running owner.py that has its stores up."""

    popen: subprocess.Popen[str]
    database_url: str
    redis_url: str
    pids: tuple[int, int]
    steps: tuple[str, ...]


@pytest.fixture(scope="session")
def _servers() -> None:
    try:
        find_postgres_bin(os.environ)
        find_valkey(os.environ)
    except EmbeddedError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def new_state(_servers: None) -> Iterator[Callable[[], Path]]:
    """Makes paths for state directories; checks in the end that nobody runs in any of them."""
    outer = Path(tempfile.mkdtemp(prefix="nzt-", dir="/tmp"))
    outer.chmod(0o777)
    made: list[Path] = []

    def new() -> Path:
        made.append(outer / f"state-{len(made)}")
        return made[-1]

    yield new
    still_held = [path for path in made if not _is_free(path / "lock")]
    for path in made:
        _remove_sockets_of(path)
    shutil.rmtree(outer)
    assert still_held == []


@pytest.fixture
def state_path(new_state: Callable[[], Path]) -> Path:
    return new_state()


@pytest.fixture(scope="module")
def state_of(new_state: Callable[[], Path]) -> Callable[[int | None], Path]:
    """One state directory per user for the tests of a module that leave it whole: only the first makes a database."""
    return functools.cache(lambda _uid: new_state())


@pytest.fixture
def whole_state(state_of: Callable[[int | None], Path]) -> Path:
    """Our own among those."""
    return state_of(None)


@pytest.fixture(scope="module")
def stores(new_state: Callable[[], Path]) -> Iterator[EmbeddedStores]:
    """Stores that one module's tests share."""
    with start_stores(new_state(), durable=False) as started:
        yield started


@pytest.fixture
def own() -> Iterator[Callable[..., Owner]]:
    """Starts owners, as the user with `uid` if one is named, and ends them after the test."""
    popens: list[subprocess.Popen[str]] = []

    def start(state_path: Path, uid: int | None = None) -> Owner:
        popens.append(start_owner(state_path, uid))
        return await_owner(popens[-1])

    yield start
    for popen in popens:
        end(popen)


def start_owner(state_path: Path, uid: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(_OWNER), str(state_path), *([] if uid is None else [str(uid)])],
        stdout=subprocess.PIPE,
        text=True,
        env={
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: value for name, value in os.environ.items() if name.startswith("EMBEDDED_")},
            **({} if uid is None else reachable_servers()),
        },
    )


def await_owner(popen: subprocess.Popen[str]) -> Owner:
    assert popen.stdout is not None
    steps: list[str] = []
    for line in popen.stdout:
        if not line.startswith("step "):
            said = json.loads(line)
            pids = (said["pids"][0], said["pids"][1])
            return Owner(popen, said["database_url"], said["redis_url"], pids, tuple(steps))
        steps.append(line.removeprefix("step ").strip())
    return pytest.fail("the owner did not start")


def end(popen: subprocess.Popen[str]) -> None:
    popen.kill()
    popen.communicate()


def eventually(fact: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_free(lock: Path) -> bool:
    """Whether nobody, server or parent, has the lock any more; a server on its way out gets some seconds."""
    if not lock.exists():
        return True
    with lock.open("rb+") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        return eventually(taken, within_s=5)


def _remove_sockets_of(state_path: Path) -> None:
    """A killed owner leaves its socket directory for the next start, which does not come in a test."""
    environs: tuple[Mapping[str, str], ...] = ({}, os.environ)
    for environ in environs:
        sockets = choose_socket_dir(StateDir(state_path), Account(name="ourselves"), environ)
        for left in sockets.parent.glob(f"nzgw-*{sockets.name.rpartition('-')[2]}"):
            shutil.rmtree(left)
