"""Hostile answers many at a time, kept connections, and tenants next to each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import HostileBackend, Play, Talk, chunked, pour
from tests.e2e.hostile.scripts import MIB
from tests.e2e.hostile.voices import CHATS, EMBEDDINGS, MESSAGES, RESPONSES, VOICES, Voice
from tests.e2e.hostile.watching import Watched
from tests.e2e.programs import eventually

AT_ONCE = 16
MOST_OF_ONE_BYTES = 2 * MIB
"""Buffers of the transport and of a line that never ends, for one call."""


def endless_line(talk: Talk) -> None:
    talk.open()
    talk.chunk(talk.voice.before + b'{"pad":"')
    pour(talk, b"x" * 65536, 100 * MIB)


def two_answers_to_one(talk: Talk) -> None:
    """The second of them is another tenant's, if nobody looks. One that comes only when the connection is in use again
    cannot be told from the right answer.
    """
    words = (b"yours", b"stray")
    whole = [talk.opening() + chunked(talk.voice.last(talk.model, text=word)) + b"0\r\n\r\n" for word in words]
    talk.send(b"".join(whole))
    talk.keeps = True


def honest(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model))
    talk.keeps = True


def trickles_on_reuse(talk: Talk) -> None:
    if not talk.is_reused:
        honest(talk)
        return
    for octet in talk.opening(b"X-Pad: " + b"x" * 200):
        talk.send(bytes([octet]))
        time.sleep(0.2)


SCRIPTS: tuple[Play, ...] = (endless_line, two_answers_to_one, honest, trickles_on_reuse)


@pytest.fixture(scope="module")
def watched(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    scripts: dict[str, Play] = {one.__name__.replace("_", "-"): one for one in SCRIPTS}
    with (
        HostileBackend.open(scripts) as backend,
        Watched.open(stores, tmp_path_factory.mktemp("many"), backend, LIMITER_TIMEOUT_MS="2000") as watched,
    ):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: watched.ask(CHATS[number % len(CHATS)], "honest"), range(2 * AT_ONCE)))
        watched.settled_bytes = watched.rss_bytes
        yield watched


def test_many_lines_of_100_mb_at_once_cost_little_memory(watched: Watched) -> None:
    peak_bytes = [0]
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            peak_bytes[0] = max(peak_bytes[0], watched.rss_bytes)

    looking = threading.Thread(target=look)
    looking.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(watched.ask, CHATS[number % len(CHATS)], "endless-line") for number in range(AT_ONCE)]
        heard = [call.result() for call in calls]
    done.set()
    looking.join()

    assert {one.status for one in heard} == {502}
    assert peak_bytes[0] - watched.settled_bytes < AT_ONCE * MOST_OF_ONE_BYTES
    watched.nothing_is_left()


@pytest.mark.parametrize("voice", [one for one in VOICES if one.generates], ids=lambda voice: voice.name)
def test_the_second_of_two_answers_reaches_no_other_tenant(watched: Watched, voice: Voice) -> None:
    other = watched.house.new_key()
    for _ in range(3):
        assert b"yours" in watched.ask(voice, "two-answers-to-one").octets
        answer = watched.ask(voice, "honest", key=other)
        assert answer.status == 200
        assert b"stray" not in answer.octets
    watched.nothing_is_left()


@pytest.mark.parametrize("voice", [CHATS[0], MESSAGES, EMBEDDINGS], ids=lambda voice: voice.name)
def test_a_kept_connection_that_begins_to_trickle_is_given_up(watched: Watched, voice: Voice) -> None:
    """Each costs one call its deadline; then there is a new one."""
    with watched.backend.closing_all():
        pass  # none of the connections that were kept so far is left
    for _ in eventually(20):
        if watched.ask(voice, "honest").status == 200:
            break
    ends: set[tuple[int, str | None]] = set()
    for _ in range(12):
        heard = watched.ask(voice, "trickles-on-reuse")
        ends.add((heard.status, heard.code))
        if len(ends) > 1:
            break

    assert ends == {(200, None), (504, "backend_timeout")}
    watched.nothing_is_left()


def test_a_backend_that_accepts_and_closes_fails_its_calls_and_comes_back(watched: Watched) -> None:
    with watched.backend.closing_all():
        for _ in range(5):
            for voice in (*CHATS, MESSAGES, RESPONSES):
                heard = watched.ask(voice, "honest")
                assert (heard.status, heard.code) in {(502, "backend_failed"), (503, "no_backend")}

    for _ in eventually(20):
        if watched.ask(CHATS[0], "honest").status == 200:
            break
    watched.nothing_is_left()
