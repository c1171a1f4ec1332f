"""The limit store: each question is one script, atomic in the server, through the process's one lane.

The server's clock decides. A test may hand in its own, which then travels with every command.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from adapters.redis import names, verdicts
from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from adapters.redis.words import packed, word
from domain.ports.limit_store import Admission, AdmissionRequest, LimitStore, TenantFacts

_SERVERS_CLOCK = "-"
_KNOWN_CALLERS = 4096


class RedisLimitStore(LimitStore):
    """Exact windows and leased slots in Redis or Valkey."""

    def __init__(self, lane: Lane, scripts: Scripts, *, now_ms: Callable[[], int] | None = None) -> None:
        """Builds what does not change in a command once.

        Args:
            lane: carries every command.
            scripts: the same that the lane makes known.
            now_ms: a test's clock; None, in production, means the server's own.
        """
        self._lane = lane
        self._now_ms = now_ms
        self._restore = scripts.restore
        self._announce = scripts.announce
        self._heartbeat = scripts.heartbeat
        self._admit_head = scripts.admit.head(keys=9, arguments=4)
        self._release_head = scripts.release.head(keys=8, arguments=5)

    async def admit(self, request: AdmissionRequest) -> Admission:
        """One script; see `lua/admit.lua`."""
        tenant, key = request.tenant_limits, request.key_limits
        facts = (
            f"{self._now()} {self._lane.run_id} {request.tenant_generation} {request.key_generation} "
            f"{request.calls} {request.tokens} {tenant.rpm or '-'} {key.rpm or '-'} {tenant.tpm or '-'} "
            f"{key.tpm or '-'} {tenant.concurrency or '-'} {key.concurrency or '-'} {request.attempt}"
        )
        command = (
            self._admit_head
            + word(names.request(request.tenant_id, request.request_id))
            + _admit_words(request.tenant_id, request.key_id)
            + word(request.request_id)
            + word(facts)
        )
        return verdicts.admission(await self._lane.ask(command))

    def release(
        self,
        tenant_id: str,
        key_id: str,
        request_id: str,
        refund_tokens: int,
        *,
        refund_call: bool = False,
        attempt: int = 0,
    ) -> None:
        """Kept while there is no connection; running twice changes nothing."""
        command = (
            self._release_head
            + word(names.request(tenant_id, request_id))
            + _release_words(tenant_id, key_id)
            + word(request_id)
            + word(str(max(0, refund_tokens)))
            + word("1" if refund_call else "0")
            + word(str(attempt))
            + word(self._now())
        )
        self._lane.tell(command, keep=True)

    async def restore(self, tenant_id: str, facts: TenantFacts) -> None:
        """One script, however many calls: they travel as one JSON text."""
        key_ids = list(dict.fromkeys(call.key_id for call in facts.recent))
        place = {key_id: at for at, key_id in enumerate(key_ids, start=1)}
        open_ids: list[str] = []
        calls = []
        for call in facts.recent:
            if call.open:
                open_ids.append(call.request_id)
            age_ms = max(0, round(call.age_s * 1000))
            calls.append((place[call.key_id], age_ms, call.tokens, len(open_ids) if call.open else 0))
        scopes: list[str | None] = [None, *key_ids]
        keys = [names.epoch(tenant_id), names.generations(tenant_id)]
        for scope in scopes:
            keys += [names.calls(tenant_id, scope), names.tokens(tenant_id, scope), names.slots(tenant_id, scope)]
        keys += [names.request(tenant_id, request_id) for request_id in open_ids]
        content = {"keys": len(key_ids), "calls": calls, "open": open_ids, "generations": facts.generations}
        arguments = (str(facts.epoch), self._lane.run_id, self._now(), msgspec.json.encode(content))
        await self._lane.ask(packed("EVALSHA", self._restore.sha1, str(len(keys)), *keys, *arguments))

    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        """One script."""
        pairs = [text for id_, generation in generations for text in (id_, str(generation))]
        if pairs:
            await self._lane.ask(packed("EVALSHA", self._announce.sha1, "1", names.generations(tenant_id), *pairs))

    async def heartbeat(self, live: Sequence[tuple[str, str, str]]) -> None:
        """One script a tenant, all in one write."""
        by_tenant: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for tenant_id, key_id, request_id in live:
            by_tenant[tenant_id].append((key_id, request_id))
        asked = [self._lane.ask(self._renewal(tenant_id, calls)) for tenant_id, calls in by_tenant.items()]
        for end in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(end, BaseException):
                raise end

    async def ping(self) -> None:
        """A plain PING through the same lane, so it also says whether the lane is alive."""
        await self._lane.ask(packed("PING"))

    def _renewal(self, tenant_id: str, calls: Sequence[tuple[str, str]]) -> bytes:
        key_ids = list(dict.fromkeys(key_id for key_id, _ in calls))
        place = {key_id: str(at) for at, key_id in enumerate(key_ids, start=2)}
        keys = [names.slots(tenant_id), *(names.slots(tenant_id, key_id) for key_id in key_ids)]
        pairs = [text for key_id, request_id in calls for text in (place[key_id], request_id)]
        return packed("EVALSHA", self._heartbeat.sha1, str(len(keys)), *keys, self._now(), *pairs)

    def _now(self) -> str:
        return _SERVERS_CLOCK if self._now_ms is None else str(self._now_ms())


@lru_cache(maxsize=_KNOWN_CALLERS)
def _admit_words(tenant_id: str, key_id: str) -> bytes:
    words = (
        names.epoch(tenant_id),
        names.generations(tenant_id),
        names.calls(tenant_id),
        names.calls(tenant_id, key_id),
        names.tokens(tenant_id),
        names.tokens(tenant_id, key_id),
        names.slots(tenant_id),
        names.slots(tenant_id, key_id),
        tenant_id,
        key_id,
    )
    return b"".join(map(word, words))


@lru_cache(maxsize=_KNOWN_CALLERS)
def _release_words(tenant_id: str, key_id: str) -> bytes:
    words = (
        names.epoch(tenant_id),
        names.tokens(tenant_id),
        names.tokens(tenant_id, key_id),
        names.slots(tenant_id),
        names.slots(tenant_id, key_id),
        names.calls(tenant_id),
        names.calls(tenant_id, key_id),
    )
    return b"".join(map(word, words))
