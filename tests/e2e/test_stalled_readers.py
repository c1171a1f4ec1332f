"""200 clients that stop reading in mid-stream: each is kept for its time and for little memory, then let go."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import HostileBackend, Talk, pour
from tests.e2e.hostile.watching import Watched
from tests.e2e.programs import eventually
from tests.figures.record import record
from tests.figures.table import Figure

READERS = 200
SEND_TIMEOUT_S = 4
LEEWAY_S = 5
"""Beyond the time that an answer may be left unread: of the default's 30 s, 35."""
MOST_BYTES_EACH = 2**20
ROOM = {
    "SEND_TIMEOUT_S": str(SEND_TIMEOUT_S),
    "QUEUE_DEPTH": "400",
    "CALL_TIMEOUT_S": "60",
    "IDLE_TIMEOUT_S": "30",
    "FIRST_BYTE_TIMEOUT_S": "30",
    "LIMITER_TIMEOUT_MS": "2000",
    "LEDGER_TIMEOUT_S": "3",
}
MOST_POURED = 16 * 2**20
"""More than the kernel keeps for one connection."""
WORDS = json.dumps(
    {"model": "floods", "message": {"role": "assistant", "content": "w" * 32_000}, "done": False}
).encode()


def floods(talk: Talk) -> None:
    talk.open()
    pour(talk, WORDS + b"\n", MOST_POURED)


def roomy(backend: HostileBackend) -> str:
    """The same backend, with room for all of them."""
    (entry,) = json.loads(backend.setting)
    return json.dumps([entry | {"max_in_flight": 2 * READERS}])


@pytest.fixture
def watched(stores: EmbeddedStores, tmp_path: Path) -> Iterator[Watched]:
    with (
        HostileBackend.open({"floods": floods}) as backend,
        Watched.open(stores, tmp_path, backend, OLLAMA_BACKENDS=roomy(backend), **ROOM) as watched,
    ):
        yield watched


def stalled(watched: Watched, key: str) -> socket.socket:
    """A client that reads nothing of its stream but the first bytes."""
    body = json.dumps({"model": "floods", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", watched.house.gateways[0].port))
    head = f"POST /api/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.storm
@pytest.mark.nightly
def test_stalled_readers_are_held_for_their_time_and_for_little_memory(watched: Watched) -> None:
    policy = Policy(limits=Limits(rpm=10**6, tpm=10**9, concurrency=10**4))
    key = watched.house.new_key(tenant_policy=policy)
    peak_bytes = before_bytes = watched.rss_bytes
    with ExitStack() as readers:
        for reader in [readers.enter_context(stalled(watched, key.text)) for _ in range(READERS)]:
            assert reader.recv(4096).startswith(b"HTTP/1.1 200")
        stopped_s = time.monotonic()
        for _ in eventually(60, every_s=0.1):
            peak_bytes = max(peak_bytes, watched.rss_bytes)
            if watched.house.open_holds() == 0:
                break
        held_s = time.monotonic() - stopped_s

    ends = watched.house.rows("select outcome from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    each_bytes = (peak_bytes - before_bytes) / READERS
    good = held_s <= SEND_TIMEOUT_S + LEEWAY_S and each_bytes <= MOST_BYTES_EACH
    told = f"{len(ends)} held <= {held_s:.1f} s, {each_bytes / 1024:.0f} KiB each"
    record(
        Figure.STALLED_READERS,
        told,
        good=good,
        how=f"since the last one stopped; SEND_TIMEOUT_S={SEND_TIMEOUT_S}, so {LEEWAY_S} s more at most",
    )
    assert [end["outcome"] for end in ends] == ["reader_too_slow"] * READERS
    assert each_bytes <= MOST_BYTES_EACH
