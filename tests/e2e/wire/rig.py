"""A gateway between a client that writes raw bytes and a backend that is tapped, directly or behind Caddy."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from entrypoints.embedded import EmbeddedStores
from tests.bench.accounts import rss_bytes
from tests.e2e.house import House, Key
from tests.e2e.wire.answers import Answer, Conversation
from tests.e2e.wire.case import SMUGGLED_WORD
from tests.e2e.wire.tap import Misframed, Tap, Upstream, tapped
from tests.infra.front import Front

CADDY = "caddy"
WAYS = ("httptools", "h11", CADDY)
"""A gateway with our own HTTP/1 class, with Hypercorn's, and with our own behind Caddy."""
_SURVEY = {"/api/tags", "/api/ps", "/api/version", "/api/show"}
_CALLS = {
    "/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
    "/v1/responses", "/v1/messages",
}  # fmt: skip
_SENT = ("accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "x-request-id")
_ENVIRON = {"POLL_INTERVAL_S": "250", "BODY_TIMEOUT_S": "1", "LOG_LEVEL": "error", "TRUSTED_PROXIES": "127.0.0.1/32"}


@attrs.frozen
class Seen:
    """What became of one request or conversation."""

    conversation: Conversation
    reached: Sequence[Upstream]
    """Calls that came out at the backend's side."""
    wrong: Sequence[str]
    """What must never be, whatever was sent."""

    def marks(self) -> Iterator[tuple[Answer, str]]:
        """Each answer, and what is said of it besides its status."""
        ids = {_bare(upstream.header("x-request-id")) for upstream in self.reached}
        for answer in self.conversation.answers:
            if answer.request_id and _bare(answer.request_id) in ids:
                yield answer, " served"
            else:
                yield answer, "" if answer.request_id or answer.status != 200 else " front"

    @property
    def _end(self) -> str:
        if self.conversation.garbage:
            return " garbage"
        return " hang" if self.conversation.hung else " close" if self.conversation.closed else " open"

    @property
    def shape(self) -> str:
        """The verdict: statuses, `served` where a backend was asked, `front` where Caddy answered, and the end."""
        told = [f"{answer.status}{mark}" for answer, mark in self.marks()]
        return (" + ".join(told) or "nothing") + self._end

    @property
    def told(self) -> str:
        """Statuses, marks and the gateway's codes."""
        told = [f"{answer.status}{mark} {answer.code}".removesuffix(" -") for answer, mark in self.marks()]
        return " + ".join(told) or "nothing"

    @property
    def text(self) -> str:
        """The verdict with the gateway's codes."""
        return self.told + self._end


def _bare(request_id: str) -> str:
    return request_id.removeprefix("req_")


@attrs.define(eq=False)
class Rig:
    """One way in, and the tap on the way out."""

    name: str
    connect: Callable[[], socket.socket]
    tap: Tap
    key: Key
    gateway_pid: int
    rss_at_first_mib: float
    """Before the first request."""

    def judged(self, conversation: Conversation, *, may_smuggle: bool = False) -> Seen:
        """What the backend's side has to say to a conversation that is over."""
        wrong: list[str] = []
        try:
            came = self.tap.take()
        except Misframed as misframed:
            return Seen(conversation, [], [f"misframed: {misframed.args[0]!r}"])
        reached = [upstream for upstream in came if upstream.target not in _SURVEY]
        for upstream in reached:
            wrong += self._oddities(upstream, may_smuggle=may_smuggle)
        seen = Seen(conversation, reached, wrong)
        served = sum(1 for answer, mark in seen.marks() if mark == " served" and answer.status == 200)
        if served != len(reached):
            wrong.append(f"{len(reached)} reached the backend, {served} were answered")
        wrong += [f"answered {one.status}" for one in conversation.answers if one.status in {101, 500}]
        if conversation.hung:
            wrong.append("neither answered nor closed")
        return seen

    def _oddities(self, upstream: Upstream, *, may_smuggle: bool) -> Iterator[str]:
        if upstream.method != "POST" or upstream.target not in _CALLS:
            yield f"{upstream.method} {upstream.target} reached the backend"
        if tuple(sorted(name.lower() for name, _ in upstream.headers)) != _SENT:
            yield f"other headers than ours: {[name for name, _ in upstream.headers]}"
        written = json.dumps(upstream.headers) + upstream.body.decode(errors="replace")
        if self.key.text in written:
            yield "the client's key reached the backend"
        if SMUGGLED_WORD in written and not may_smuggle:
            yield "a smuggled call reached the backend"

    @property
    def rss_mib(self) -> float:
        """What the gateway's process holds."""
        return _rss_mib(self.gateway_pid)


@contextlib.contextmanager
def open_rig(way: str, stores: EmbeddedStores, folder: Path) -> Iterator[Rig]:
    """A house with one gateway, reached one way.

    Args:
        way: `caddy`, or a value of HTTP_PARSER.
        stores: the house has a database of its own in them.
        folder: for what the programs write.
    """
    with House.open(stores, folder) as house, tapped(_port_of(house.simulator.url)) as tap:
        parser = {} if way == CADDY else {"HTTP_PARSER": way}
        gateway = house.add_gateway(**_ENVIRON, **parser, OLLAMA_BASE_URL=f"http://127.0.0.1:{tap.port}")
        gateway.wait_ready()
        with _way_in(way, gateway.port, folder) as connect:
            yield Rig(way, connect, tap, house.new_key(), gateway.pid, _rss_mib(gateway.pid))


@contextlib.contextmanager
def _way_in(way: str, port: int, folder: Path) -> Iterator[Callable[[], socket.socket]]:
    if way != CADDY:
        yield lambda: socket.create_connection(("127.0.0.1", port), timeout=10)
        return
    front = Front(port, folder)
    try:
        front.wait_ready()
        yield front.connect
    finally:
        front.stop()


def _rss_mib(pid: int) -> float:
    return rss_bytes(pid) / 2**20


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
