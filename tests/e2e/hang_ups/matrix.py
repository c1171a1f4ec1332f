"""The cells of the matrix, and how all of them are played at once: about as long as the slowest takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import product
from typing import Any

import attrs
import httpx

from tests.bench.stage import make_keys
from tests.e2e.hang_ups.clients import Caller, Dialect, Leaving, body_of
from tests.e2e.hang_ups.stage import NARROW_CAP, PROMPT, Entry, Stage
from tests.e2e.house import Key
from tests.soak.leftovers import await_none

CAP, CAP_OF_POURING = 500, 8000
"""Tokens. What pours must be allowed its bytes."""
_CALM_WITHIN_S = 40.0
_KEYS_AT_ONCE = 8
_HOLDER = "holder"


class Phase(StrEnum):
    """Where a call is when its client leaves."""

    QUEUED = "queued"
    LOADING = "loading"
    PROMPT = "prompt"
    STREAMING = "streaming"
    WHOLE = "whole"
    """An answer that is not streamed."""


_MODELS = {
    Phase.QUEUED: ("narrow", "narrow-pours"),
    Phase.LOADING: ("cold", "cold-pours"),
    Phase.PROMPT: ("reader", "reader-pours"),
    Phase.STREAMING: ("writer", "writer-pours"),
    Phase.WHOLE: ("writer", "whole-pours"),
}


@attrs.frozen
class Cell:
    """A call, and how its client leaves it."""

    phase: Phase
    dialect: Dialect
    leaving: Leaving

    def __str__(self) -> str:
        return f"{self.phase}-{self.dialect.name.lower()}-{self.leaving}"

    @property
    def stalls(self) -> bool:
        """Whether the client stays and reads nothing: it is cut once the answer has filled all that lies between."""
        return self.leaving is Leaving.STALL

    @property
    def tenant(self) -> str:
        """By name. Who leaves the queue has one of its own, because no backend can tell its request id."""
        return str(self) if self.phase is Phase.QUEUED and not self.stalls else self.phase

    @property
    def streamed(self) -> bool:
        """Whether the answer is."""
        return self.phase is not Phase.WHOLE

    @property
    def cap(self) -> int:
        """M: tokens."""
        return CAP_OF_POURING if self.stalls else CAP

    def body(self) -> bytes:
        """The request; its prompt begins with the cell's name."""
        text = f"{self} {PROMPT if self.phase is Phase.PROMPT else 'Hi'}"
        return body_of(self.dialect, _MODELS[self.phase][self.stalls], text, streamed=self.streamed, cap=self.cap)


CELLS = tuple(Cell(*parts) for parts in product(Phase, Dialect, Leaving))


def _leaving(phase: Phase) -> Sequence[Cell]:
    """Those of a phase whose clients go."""
    return [cell for cell in CELLS if cell.phase is phase and not cell.stalls]


@attrs.frozen(kw_only=True)
class Played:
    """What became of a cell, by its backend and by the audit."""

    left_at_s: float
    entry: Entry | None
    closing: Sequence[Mapping[str, Any]]
    """The audit's rows that end it."""


@attrs.frozen(kw_only=True)
class Matrix:
    """All cells, and what was seen beside them."""

    played: Mapping[Cell, Played]
    kept_turns: int
    """Turns at the backend that reads prompts, half a second after all clients there had left."""
    kept_slots: int
    """Slots of their tenants, then."""
    left: Sequence[str]
    """What was not given back in the end."""
    served: Sequence[int]
    """Statuses of as many calls at once as the narrow backend takes, afterwards."""


def play(stage: Stage) -> Matrix:
    """Every cell."""
    tenants = {cell.tenant: None for cell in CELLS}
    keys = {key.tenant: key for key in make_keys(stage.house, [*tenants.items(), (_HOLDER, None)])}
    played = _Play(stage, keys)
    try:
        return asyncio.run(played.matrix())
    finally:
        for caller in (*played.callers.values(), *played.holders):
            caller.connection.close()


@attrs.define
class _Play:
    stage: Stage
    keys: Mapping[str, Key]
    """By tenant."""
    callers: dict[Cell, Caller] = attrs.field(factory=dict)
    holders: Sequence[Caller] = ()
    kept_turns: int = 0
    kept_slots: int = 0

    async def matrix(self) -> Matrix:
        await self._verify_keys()
        async with asyncio.TaskGroup() as groups:
            for group in (self._queued, self._loading, self._prompts, self._answering):
                groups.create_task(group())
        # What pours holds up the gateway for a moment, so it pours only when all others have left.
        for holder in self.holders:
            holder.leave(Leaving.FIN)
        await self._ask(*(cell for cell in CELLS if cell.stalls and cell not in self.callers))
        left = await asyncio.to_thread(await_none, self.stage.house, _CALM_WITHIN_S)
        served = await asyncio.gather(*(self._served_after() for _ in range(NARROW_CAP)))
        return Matrix(
            played=await asyncio.to_thread(self._join),
            kept_turns=self.kept_turns,
            kept_slots=self.kept_slots,
            left=left,
            served=served,
        )

    async def _verify_keys(self) -> None:
        """Once each, so that no cell waits for it: Argon2id takes its time."""
        places = asyncio.Semaphore(_KEYS_AT_ONCE)

        async def verify(client: httpx.AsyncClient, key: Key) -> None:
            async with places:
                (await client.get("/api/version", headers=key.headers)).raise_for_status()

        async with httpx.AsyncClient(base_url=self.stage.house.url, timeout=30) as client:
            await asyncio.gather(*(verify(client, key) for key in self.keys.values()))

    # -- the phases ---------------------------------------------------------------------------------------------

    async def _ask(self, *cells: Cell) -> None:
        for cell in cells:
            self.callers[cell] = await Caller.ask(
                self.stage.house.url, self.keys[cell.tenant], cell.dialect, cell.body(), small_buffer=cell.stalls
            )

    async def _meet(self, phase: str, *cells: Cell) -> None:
        """Asks, waits until their backend has all of them in this phase, and leaves."""
        await self._ask(*cells)
        await self.stage.until(lambda: self.stage.in_phase([str(cell) for cell in cells], phase))
        self._leave(cells)

    def _leave(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self.callers[cell].leave(cell.leaving)

    async def _answering(self) -> None:
        await self._meet("generating", *_leaving(Phase.STREAMING), *_leaving(Phase.WHOLE))

    async def _loading(self) -> None:
        await self._meet("loading", *_leaving(Phase.LOADING))

    async def _queued(self) -> None:
        stage, names = self.stage, [f"holder-{number}" for number in range(NARROW_CAP)]
        self.holders = [
            await Caller.ask(
                stage.house.url,
                self.keys[_HOLDER],
                Dialect.NATIVE,
                body_of(Dialect.NATIVE, "narrow", f"{name} Hi", streamed=True, cap=CAP_OF_POURING),
            )
            for name in names
        ]
        await stage.until(lambda: stage.in_phase(names, "generating"))
        queued = [cell for cell in CELLS if cell.phase is Phase.QUEUED]
        going = _leaving(Phase.QUEUED)
        await self._ask(*queued)
        await stage.until(lambda: stage.waiting() == len(queued))
        self._leave(going)
        await stage.until(lambda: stage.waiting() == len(queued) - len(going))

    async def _prompts(self) -> None:
        stage, reads = self.stage, self.stage.simulators["reads"]
        async with httpx.AsyncClient(base_url=reads.url, timeout=30) as client:  # an empty prompt only loads
            for model in _MODELS[Phase.PROMPT]:
                (await client.post("/api/generate", json={"model": model, "prompt": ""})).raise_for_status()
        await stage.until(lambda: self._surveyed("reader"))
        await self._lesson()
        going = _leaving(Phase.PROMPT)
        await self._meet("prompt", *going)
        await asyncio.sleep(0.5)
        self.kept_turns = stage.turns_at("reads")
        self.kept_slots = stage.slots_of(self.keys[Phase.PROMPT].tenant_id)

    def _surveyed(self, model: str) -> bool:
        """Whether the gateway has seen that it is loaded."""
        with self.stage.house.client(self.keys[_HOLDER]) as client:
            return any(one["name"].startswith(model) for one in client.get("/api/ps").json()["models"])

    async def _lesson(self) -> None:
        """Teaches the gateway how long such a prompt takes, on the very model that will be asked."""
        body = body_of(Dialect.NATIVE, "reader", f"lesson-of-prompts-00 {PROMPT}", streamed=True, cap=CAP)
        async with self._as_holder() as client:
            (await client.post(Dialect.NATIVE, content=body)).raise_for_status()

    def _as_holder(self) -> httpx.AsyncClient:
        headers = self.keys[_HOLDER].headers
        return httpx.AsyncClient(base_url=self.stage.house.url, timeout=30, headers=headers)

    # -- afterwards ---------------------------------------------------------------------------------------------

    async def _served_after(self) -> int:
        body = body_of(Dialect.NATIVE, "narrow", "after Hi", streamed=False, cap=2)
        async with self._as_holder() as client:
            return (await client.post(Dialect.NATIVE, content=body)).status_code

    def _join(self) -> Mapping[Cell, Played]:
        """By request id; by tenant where the call never came to a backend."""
        rows = self.stage.house.rows(
            "select request_id, tenant_id, event, outcome, prompt_tokens, output_tokens, held_tokens,"
            " extract(epoch from at)::float8 as at_s from audit"
            " where event in ('finished', 'reaped', 'corrected', 'refused')"
        )
        entries = self.stage.entries()

        def closing(cell: Cell) -> Sequence[Mapping[str, Any]]:
            entry = entries.get(str(cell))
            if entry is not None:
                return [
                    row
                    for row in rows
                    if row["request_id"] is not None and row["request_id"].hex == entry["request_id"]
                ]
            return [row for row in rows if str(row["tenant_id"]) == str(self.keys[cell.tenant].tenant_id)]

        return {
            cell: Played(left_at_s=self.callers[cell].left_at_s, entry=entries.get(str(cell)), closing=closing(cell))
            for cell in CELLS
        }
