"""Backends that lie when they are asked for their health and models: out of the way, or pruned; never a burden."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import TOKEN, HostileBackend, Play, Talk, pour
from tests.e2e.hostile.scripts import METADATA, MIB
from tests.e2e.hostile.voices import VOICES
from tests.e2e.hostile.watching import Watched
from tests.e2e.programs import eventually


def honest(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model))
    talk.keeps = True


def says(answer: object, *more: bytes) -> Play:
    """A survey's answer in perfect HTTP."""
    octets = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return lambda talk: talk.answer(octets, *more)


def endless(talk: Talk) -> None:
    talk.open()
    pour(talk, b" " * 65536, 1024 * MIB)


def silent(talk: Talk) -> None:
    talk.wait()


def redirecting(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\nLocation: http://[::1/" + TOKEN.encode() + b"\r\n\r\n")


ENTRY = {"name": "honest", "model": "honest", "digest": "d", "size": 1}
MANY = [ENTRY | {"name": f"m{number}"} for number in range(100_000)]
FACTS = {"general.architecture": "llama", "llama.context_length": 4096}
OUT: dict[str, dict[str, Play]] = {
    "100,000 models": {"/api/tags": says({"models": MANY})},
    "10,000 models": {"/api/tags": says({"models": MANY[:10_000]})},
    "a listing without end": {"/api/tags": endless},
    "no answer": {"/api/ps": silent},
    "a redirect that echoes the token": {"/api/version": redirecting},
    "a redirect to metadata": {"/api/tags": lambda talk: talk.answer(b"", METADATA, status=b"307 Go")},
    "a listing in gzip": {"/api/tags": says(b"\x1f\x8b\x08", b"Content-Encoding: gzip")},
    "a listing that holds the token": {"/api/tags": says({"models": [ENTRY | {"digest": TOKEN}]})},
    "deep JSON": {"/api/ps": says(b'{"models":' + b"[" * 100_000 + b"]" * 100_000 + b"}")},
    "no list": {"/api/tags": says({"models": {"a": 1}})},
    "not UTF-8": {"/api/tags": says(b'{"models":[{"name":"\xff"}]}')},
    "no version": {"/api/version": says({"version": 7})},
}
PRUNED: dict[str, dict[str, Play]] = {
    "names that nobody can ask for": {
        "/api/tags": says(
            {"models": [ENTRY, *({"name": name} for name in ("a\x00b", "a\nb", "\x1b[2J", "é", "", 7, None))]}
        )
    },
    "models from elsewhere": {
        "/api/tags": says({"models": [ENTRY, {"name": "c:cloud"}, {"name": "s", "remote_host": "https://ollama.com"}]})
    },
    "a context of 10**18": {
        "/api/tags": says({"models": [ENTRY | {"digest": "e"}]}),
        "/api/show": says({"model_info": FACTS | {"llama.context_length": 10**18}}),
    },
    "a megabyte of facts": {
        "/api/tags": says({"models": [ENTRY | {"digest": "f"}]}),
        "/api/show": says({"model_info": FACTS | {f"general.{number}": "x" * 1000 for number in range(1000)}}),
    },
    "cookies": {"/api/version": says({"version": "1"}, b"Set-Cookie: s=1; Path=/", b"Set-Cookie: t=2; Path=/")},
    "lies of what is loaded": {"/api/ps": says({"models": [{"name": "honest", "context_length": -1}, {"name": "no"}]})},
}


def ready(watched: Watched) -> httpx.Response:
    return httpx.get(f"{watched.house.url}/readyz", timeout=10)


SURVEYS: dict[str, Play] = {}


@pytest.fixture(scope="module")
def opened(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with (
        HostileBackend.open({"honest": honest}, SURVEYS) as backend,
        Watched.open(stores, tmp_path_factory.mktemp("surveys"), backend, POLL_INTERVAL_S="0.2") as watched,
    ):
        for _ in range(10):
            watched.ask(VOICES[0], "honest")
        watched.settled_bytes = watched.rss_bytes
        yield watched


@pytest.fixture
def watched(opened: Watched) -> Iterator[Watched]:
    """The same, with an honest backend to begin with, and nothing left at the end."""
    SURVEYS.clear()
    for _ in eventually(20):
        if ready(opened).status_code == 200:
            break
    yield opened
    SURVEYS.clear()
    opened.nothing_is_left()


@pytest.mark.parametrize("lie", OUT)
def test_a_backend_that_cannot_tell_of_itself_gets_no_calls(watched: Watched, lie: str) -> None:
    SURVEYS.update(OUT[lie])
    for _ in eventually(20):
        if ready(watched).status_code == 503:
            break

    heard = watched.ask(VOICES[0], "honest")

    assert (heard.status, heard.code) == (503, "no_backend")
    watched.tells_nothing(heard)
    SURVEYS.clear()
    for _ in eventually(20):
        if ready(watched).status_code == 200:
            break
    assert watched.ask(VOICES[0], "honest").status == 200


@pytest.mark.parametrize("lie", PRUNED)
def test_what_no_caller_may_see_is_left_out(watched: Watched, lie: str) -> None:
    SURVEYS.update(PRUNED[lie])
    before = len(watched.backend.surveyed)
    for _ in eventually(10):
        if len(watched.backend.surveyed) > before + 8:
            break

    with watched.house.client(watched.key) as client:
        listed = client.get("/api/tags").json()["models"]
        shown = client.post("/api/show", json={"model": "honest"})

    assert [model["name"] for model in listed] == ["honest"]
    assert len(shown.content) < 32 * 1024
    assert watched.ask(VOICES[0], "honest").status == 200
    assert not any(b"cookie" in head.lower() for head in watched.backend.surveyed)
