"""What an operator does meanwhile, by the command line: rotates, revokes, limits, suspends; and how the backend breaks.

Each round also checks the one thing that must follow at once: a key that was replaced opens nothing any more.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tests.e2e.house import House, Key
from tests.e2e.programs import cli
from tests.soak.cast import BROKEN, Cast, Holder
from tests.soak.traffic import chat
from tests.soak.wire import Client

BEHAVIOURS: Sequence[Mapping[str, Any]] = (
    {"status": 500},
    {"ending": "reset", "end_after_objects": 5},
    {"ending": "close", "end_after_objects": 3},
    {"ending": "missing-done"},
    {"ending": "failure", "end_after_objects": 4},
    {"ending": "garbage", "end_after_objects": 2},
    {"counts": "absent"},
    {"write_bytes": [7], "headers_trickle_s": 0.2},
    {"status": 503, "body": "busy"},
)
_REVOKED = 401


@attrs.define(kw_only=True)
class Changes:
    """Rounds of an operator's work."""

    house: House
    who: Cast
    clients: Sequence[Client]
    rounds: int = 0
    failed: list[str] = attrs.field(factory=list)
    """Commands that failed, with the last line they wrote. Never what they printed: that may be a key."""
    opened: int = 0
    """Calls that were admitted with a key after the command that replaced it had returned."""
    prompts_are_kept: bool = False

    async def round(self) -> None:
        """One of everything."""
        number = self.rounds
        self.rounds += 1
        await self._break_otherwise(number)
        turning = self.who.turning[number % len(self.who.turning)]
        await self._rotate(turning)
        rpm = 10**6 - number
        await self._do("set-limits", "--tenant", "turning", "--rpm", str(rpm), "--tpm", str(10**9))
        await self._replace(self.who.turning[(number + 1) % len(self.who.turning)])
        await self._pause()
        if self.prompts_are_kept:
            prefix = self.who.steady[number % len(self.who.steady)].key.prefix
            state = ("--off",) if number % 4 == 3 else ("--ttl", "1h")
            await self._do("set-prompt-logging", "--key", prefix, *state)

    async def _break_otherwise(self, number: int) -> None:
        behaviour = BEHAVIOURS[number % len(BEHAVIOURS)]
        await asyncio.to_thread(self.house.simulator.behave_normally)
        script = {"behaviour": behaviour, "model": f"{BROKEN}:latest"}
        await asyncio.to_thread(self.house.simulator.behave, script)

    async def _rotate(self, holder: Holder) -> None:
        """The same key with another secret."""
        former = holder.key
        holder.changing = True
        made = await self._do("rotate-key", "--prefix", former.prefix, "--json")
        await self._take_over(holder, made)
        if made is not None:
            await self._must_be_closed(former)

    async def _replace(self, holder: Holder) -> None:
        """A new key, and the former one revoked."""
        former = holder.key
        holder.changing = True
        name = f"made-{self.rounds}"
        made = await self._do("create-key", "--tenant", former.tenant, "--name", name, "--json")
        await self._take_over(holder, made)
        holder.changing = True
        revoked = await self._do("revoke-key", "--prefix", former.prefix)
        holder.changing, holder.changed_at_s = False, time.monotonic()
        if revoked is not None and made is not None:
            await self._must_be_closed(former)

    async def _take_over(self, holder: Holder, made: str | None) -> None:
        if made is not None:
            told = json.loads(made)
            holder.key = attrs.evolve(holder.key, text=told["key"], prefix=told["prefix"])
        holder.changing, holder.changed_at_s = False, time.monotonic()

    async def _must_be_closed(self, former: Key) -> None:
        for client in self.clients:
            seen = await client.send(chat(Holder(former), openai=False, streamed=False, most=1))
            if seen.status not in {_REVOKED, 0}:
                self.opened += 1

    async def _pause(self) -> None:
        paused = self.who.paused
        paused.changing = True
        await self._do("suspend-tenant", "--tenant", paused.key.tenant)
        await asyncio.sleep(2)
        await self._do("resume-tenant", "--tenant", paused.key.tenant)
        paused.changing, paused.changed_at_s = False, time.monotonic()

    async def _do(self, *words: str) -> str | None:
        """What a command printed; None when it failed, which is noted and ends nothing."""
        try:
            ran = await asyncio.to_thread(cli, self.house.environ, self.house.folder, *words)
        except subprocess.TimeoutExpired:
            self.failed.append(f"{words[0]}: no end within a minute")
            return None
        if ran.returncode == 0:
            return ran.stdout
        last = (ran.stderr.strip().splitlines() or ["(nothing said)"])[-1]
        self.failed.append(f"{words[0]}: {last}")
        return None
