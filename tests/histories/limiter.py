"""The real limit store and its scripts, asked step by step: a lane that waits for each answer, and no event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar, cast

import attrs
import redis

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.limit_store import RedisLimitStore
from adapters.redis.scripts import Scripts
from adapters.redis.wire import Reply
from adapters.redis.words import packed
from domain.limits import WINDOW_S
from domain.ports.limit_store import Admission, AdmissionRequest, TenantFacts

T = TypeVar("T")


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits for something")


@attrs.frozen
class _Said:
    reply: Reply

    def __await__(self) -> Generator[Any, Any, Reply]:
        if isinstance(self.reply, Exception):
            raise self.reply
        yield from ()  # what makes it a generator
        return self.reply


class _StraightLane:
    """Sends a command and reads its answer. `run_id` is the test's to change: another one is another run."""

    def __init__(self, url: str, scripts: Scripts) -> None:
        self.run_id = "run-1"
        self.last: Reply = None
        pool: Any = redis.ConnectionPool.from_url(url)
        self._connection = pool.make_connection()
        self._connection.connect()
        for command in scripts.loading:
            self.said(command)

    def said(self, command: bytes) -> Reply:
        self._connection.send_packed_command([command], check_health=False)
        self.last = self._read()
        return self.last

    def all_said(self, commands: Sequence[bytes]) -> list[Reply]:
        self._connection.send_packed_command([b"".join(commands)], check_health=False)
        return [self._read() for _ in commands]

    def ask(self, command: bytes) -> _Said:
        return _Said(self.said(command))

    def tell(self, command: bytes, *, keep: bool) -> None:
        assert keep
        reply = self.said(command)
        if isinstance(reply, Exception):
            raise reply

    def close(self) -> None:
        self._connection.disconnect()

    def _read(self) -> Reply:
        try:
            return cast("Reply", self._connection.read_response(disable_decoding=True))
        except redis.ResponseError as said:
            return said


class Limiter:
    """The limit store of every gateway process: in the scripts no two of them differ."""

    def __init__(self, url: str, scripts: Scripts, now_ms: Callable[[], int]) -> None:
        self._lane = _StraightLane(url, scripts)
        self._now_ms = now_ms
        self._store = RedisLimitStore(cast("Lane", self._lane), scripts, now_ms=now_ms)

    def admit(self, request: AdmissionRequest) -> Admission:
        return at_once(self._store.admit(request))

    def release(self, release: Release) -> None:
        self._store.release(*release.whose, release.refund_tokens, refund_call=release.refund_call)

    def restore(self, tenant_id: str, facts: TenantFacts) -> bool:
        """Whether it took the facts; False when newer ones are there."""
        at_once(self._store.restore(tenant_id, facts))
        assert self._lane.last in (b"restored", b"kept")
        return self._lane.last == b"restored"

    def announce(self, tenant_id: str, scope_id: str, generation: int) -> None:
        at_once(self._store.announce(tenant_id, [(scope_id, generation)]))

    def heartbeat(self, live: Sequence[tuple[str, str, str]]) -> None:
        for tenant_id in {tenant_id for tenant_id, _, _ in live}:
            of_tenant = [(key_id, request_id) for owner, key_id, request_id in live if owner == tenant_id]
            assert self._lane.said(self._store._renewal(tenant_id, of_tenant)) == b"renewed"

    def flush(self) -> None:
        assert self._lane.said(packed("FLUSHALL")) == b"OK"

    def restart(self) -> None:
        """As after a restart that kept its data, or a fail-over: what is there belongs to a former run."""
        self._lane.run_id = f"run-{int(self._lane.run_id.removeprefix('run-')) + 1}"

    def kept_of(self, tenant_id: str, key_ids: Sequence[str]) -> list[Kept]:
        """What counts of a tenant and of each of its keys. A window's running sum is held against its seconds."""
        commands: list[bytes] = []
        for scope in (None, *key_ids):
            commands += [packed("HGETALL", name(tenant_id, scope)) for name in (names.calls, names.tokens)]
            commands.append(packed("ZRANGEBYSCORE", names.slots(tenant_id, scope), f"({self._now_ms()}", "+inf"))
        said = self._lane.all_said(commands)
        gone_s = self._now_ms() // 1000 - WINDOW_S - 1
        return [
            Kept(_inside(calls, gone_s), _inside(tokens, gone_s), _set(leases))
            for calls, tokens, leases in zip(said[0::3], said[1::3], said[2::3], strict=True)
        ]

    def close(self) -> None:
        self._lane.close()


@attrs.frozen(kw_only=True)
class Release:
    """The end of a call, as the limit store is told."""

    whose: tuple[str, str, str]
    """Tenant, key and admission id."""
    refund_tokens: int
    refund_call: bool


@attrs.frozen
class Kept:
    """What the store counts of a tenant or of a key."""

    calls: int
    """In the last 60 s, and in the part-second before them."""
    tokens: int
    leases: frozenset[bytes]
    """Of admission ids."""


def _inside(window: object, gone_s: int) -> int:
    assert isinstance(window, dict)
    seconds = {int(name): int(amount) for name, amount in window.items() if name.isdigit()}
    assert sum(seconds.values()) == int(window.get(b"s", 0))
    return sum(amount for second, amount in seconds.items() if second > gone_s)


def _set(members: Reply) -> frozenset[bytes]:
    assert isinstance(members, list)
    return frozenset(members)
