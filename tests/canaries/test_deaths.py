"""kill -9 at every await of a call: the others close what it held, once, and nothing of it stays for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import attrs
import httpx
import pytest
import redis

from adapters.redis import names
from entrypoints.container import SLOT_LEASE_S
from entrypoints.embedded import EmbeddedStores
from tests.canaries.audited import wrongs_of
from tests.e2e.hostile.voices import MESSAGES, VOICES, Voice
from tests.e2e.house import House, Key
from tests.e2e.programs import program_environment
from tests.figures.record import record
from tests.figures.table import Figure
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

CALL = "application.pipeline.Pipeline._serve"
LANE = "adapters.postgres.lane.Lane._run"
MOST_AWAITS = 40


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("deaths"), "--tokens=3", "--token-delay-ms=1") as opened:
        yield opened


@attrs.define
class Dying:
    """The program that forks gateways."""

    program: subprocess.Popen[str]

    @classmethod
    @contextlib.contextmanager
    def open(cls, house: House) -> Iterator[Dying]:
        with (house.folder / "dying.log").open("w") as errors, subprocess.Popen(
            [sys.executable, "-m", "tests.canaries.dying"],
            env=program_environment() | house.environ,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as program:  # fmt: skip
            yield cls(program)
            assert program.stdin is not None
            program.stdin.close()

    def lives(self, where: str, nth: int) -> tuple[str, int]:
        """The URL and the process id of one that is to be killed there."""
        assert self.program.stdin is not None
        self.program.stdin.write(f"{where} {nth}\n")
        self.program.stdin.flush()
        port, pid = self._said().split()
        return f"http://127.0.0.1:{port}", int(pid)

    def was_killed(self, pid: int) -> bool:
        """Whether it was, by now; one that was not ends."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return self._said() == "killed"

    def _said(self) -> str:
        assert self.program.stdout is not None
        return self.program.stdout.readline().strip()


@pytest.mark.parametrize(
    ("where", "voices", "every"),
    [
        (CALL, [MESSAGES], 2),
        pytest.param(CALL, VOICES, 1, marks=pytest.mark.nightly),
        pytest.param(LANE, VOICES[:2], 1, marks=pytest.mark.nightly),
    ],
    ids=["messages", "all", "lane"],
)
def test_a_gateway_killed_at_any_await_of_a_call_is_settled_by_the_others(
    house: House, where: str, voices: Sequence[Voice], every: int
) -> None:
    key = house.new_key()
    deaths = 0
    with Dying.open(house) as dying:
        for voice in voices:
            for nth in range(0, MOST_AWAITS, every):
                url, pid = dying.lives(where, nth)
                _call(url, voice, key)
                if not dying.was_killed(pid):
                    break
                deaths += 1
    assert deaths >= 2 * len(voices)  # fewer awaits wait on a busy machine, where answers are there before
    assert _leases_end(house, key)

    clock = DatabaseClock(house.database_url)
    asyncio.run(clock.set(datetime.now(UTC) + timedelta(minutes=2)))
    survivor = house.add_gateway(PROCESS_BEAT_S="1", PROCESS_DEAD_AFTER_S="4")
    survivor.wait_ready()
    house.settled(20)
    assert wrongs_of(house, key, [], killed=True) == []
    record(Figure.HOLDS_LEFT_OPEN, "0", good=True, how=f"{deaths} kills at awaits of calls")


def _call(url: str, voice: Voice, key: Key) -> None:
    fields = voice.question_fields | {"model": "sim-chat", "stream": voice.streamed}
    with contextlib.suppress(httpx.TransportError):
        httpx.post(f"{url}{voice.path}", json=fields, headers=key.headers, timeout=10)


def _leases_end(house: House, key: Key) -> bool:
    """Whether everything that the dead hold in the limit store ends by itself."""
    last_ms = (time.time() + SLOT_LEASE_S) * 1000
    with redis.Redis.from_url(house.redis_url) as plain:
        held = [names.slots(key.tenant_id), names.slots(key.tenant_id, key.id), *plain.scan_iter("nz:{turns}:at:*")]
        ends = [end for name in held for _, end in plain.zrange(name, 0, -1, withscores=True)]
    return all(end <= last_ms for end in ends)
