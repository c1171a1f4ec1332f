"""A house with a hostile backend, and what must hold after every call of it."""

from __future__ import annotations

import contextlib
import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx
import redis

from adapters.redis import names
from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import TOKEN, HostileBackend
from tests.e2e.hostile.scripts import Ends
from tests.e2e.hostile.voices import CANARY, Voice
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually, free_port

SHORT = {"FIRST_BYTE_TIMEOUT_S": "2", "IDLE_TIMEOUT_S": "2", "CALL_TIMEOUT_S": "4", "QUEUE_WAIT_S": "10"}
LONGEST_CALL_S = 12.0
"""The deadlines, the sweep's second, and a slow machine."""
MOST_GROWTH_BYTES = 32 * 1024 * 1024
HEADERS = frozenset({
    "content-type", "content-length", "transfer-encoding", "cache-control", "x-accel-buffering", "date", "connection",
    "x-request-id", "request-id", "x-error-code", "retry-after", "x-should-retry", "server", "vary",
    "x-content-type-options",
})  # fmt: skip
"""All that an answer without rates may carry."""


UNNAMED = "?"
"""The code of a failure in a dialect that has no place for one: Anthropic's, inside a stream."""


@attrs.frozen
class Heard:
    """What a client got."""

    status: int
    headers: httpx.Headers
    octets: bytes

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"].removeprefix("req_")

    @property
    def code(self) -> str | None:
        """The stable code of a failure, wherever the dialect has it."""
        return self.headers.get("x-error-code") or self._code_inside()

    def _code_inside(self) -> str | None:
        last = self.octets.strip().rpartition(b"\n")[2].removeprefix(b"data: ")
        found: Any = None if last == b"[DONE]" else json.loads(last or b"{}")
        error = found.get("error") if isinstance(found, dict) else None
        if error is None:
            return None
        return str(error.get("code", UNNAMED) if isinstance(error, dict) else found["code"])


@attrs.define
class Watched:
    """The house, its backend, and where the gateway's memory began."""

    house: House
    backend: HostileBackend
    key: Key
    client: httpx.Client
    metrics: str
    """Where its metrics are: host and port."""
    settled_bytes: int = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, stores: EmbeddedStores, folder: Path, backend: HostileBackend, **extra: str) -> Iterator[Watched]:
        metrics = f"127.0.0.1:{free_port()}"
        settings = SHORT | {"OLLAMA_BACKENDS": backend.setting, "METRICS_BIND": metrics} | extra
        with House.open(stores, folder, **settings) as house:
            house.add_gateway().wait_ready()
            limits = httpx.Limits(max_connections=None)
            with httpx.Client(base_url=house.url, timeout=LONGEST_CALL_S, limits=limits) as client:
                yield cls(house, backend, house.new_key(), client, metrics)

    @property
    def rss_bytes(self) -> int:
        pages = Path(f"/proc/{self.house.gateways[0].pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    @property
    def log(self) -> str:
        return self.house.gateways[0].text()

    def ask(self, voice: Voice, model: str, *, key: Key | None = None) -> Heard:
        """One call, and all bytes of its answer."""
        began_s = time.monotonic()
        headers = (key or self.key).headers
        with self.client.stream("POST", voice.path, json=voice.question(model), headers=headers) as answer:
            octets = b"".join(answer.iter_raw())
        assert time.monotonic() - began_s < LONGEST_CALL_S
        return Heard(answer.status_code, answer.headers, octets)

    def tells_nothing(self, heard: Heard) -> None:
        """Nothing of the backend's own reached the client."""
        seen = repr(heard.headers.raw).encode() + heard.octets
        for canary in (TOKEN, self.backend.url, f":{self.backend.port}", "Traceback", "10.0.0.7"):
            assert canary.encode() not in seen
        assert set(heard.headers) <= HEADERS

    def booked(self, request_id: str, ends: Ends) -> Mapping[str, Any]:
        """The call's end: it has one beginning and one end, and was charged no more than was held."""
        events: Sequence[Mapping[str, Any]] = []
        for _ in eventually(5):
            events = self.house.rows("select * from audit where request_id = %s order by at", request_id)
            if len(events) > 1:
                break
        assert [event["event"] for event in events] == ["started", "finished"]
        finished = events[1]
        assert finished["outcome"] == ends.outcome
        assert finished["code"] == ends.code
        assert 0 <= finished["prompt_tokens"] + finished["output_tokens"] <= finished["held_tokens"]
        return finished

    def left_behind(self) -> dict[str, Any]:
        """What calls that have ended may have left behind; empty when they left nothing."""
        left: dict[str, Any] = {name: number for name, number in self.backend.playing.items() if number}
        left |= {"holds": self.house.open_holds()} if self.house.open_holds() else {}
        with redis.Redis.from_url(self.house.redis_url) as plain:
            for key in (names.slots(self.key.tenant_id), names.slots(self.key.tenant_id, self.key.id)):
                left |= {key: plain.zcard(key)} if plain.zcard(key) else {}
            left |= {str(key): "turn" for key in plain.scan_iter("nz:{turns}:at:hostile")}
        return left

    def nothing_is_left(self) -> None:
        """All is given back, the backend is let go, memory has not grown, and the log holds no secret."""
        left: dict[str, Any] = {}
        with contextlib.suppress(AssertionError):
            for _ in eventually(5):
                left = self.left_behind()
                if not left:
                    break
        assert not left, left
        (charged,) = self.house.rows(
            "select sum(prompt_tokens + output_tokens) as n from audit where event = 'finished' and tenant_id = %s",
            self.key.tenant_id,
        )
        assert self.house.used(self.key) == charged["n"]
        assert TOKEN not in self.log
        assert CANARY not in self.log
        assert "Traceback (most recent call last):\n" not in self.log
        assert "call_failed" not in self.log
        grown = self.rss_bytes - self.settled_bytes
        assert grown < MOST_GROWTH_BYTES, f"{grown >> 20} MiB more"
