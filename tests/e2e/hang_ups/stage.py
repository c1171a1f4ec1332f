"""Four backends behind one gateway, each slow in another phase, so that a call can be met in each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx
import redis

from adapters.redis import names
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import Simulator

SEND_TIMEOUT_S = 2.0
LOAD_S = 20.0
"""Nobody waits for its end."""
NARROW_CAP = 4
LONG_LINE_BYTES = 6_000_000
"""More than all buffers between a backend and a client that does not read."""
POURS = {"behaviour": {"huge_line_bytes": LONG_LINE_BYTES}}
PROMPT = "word " * 80
_PROMPT_S = 3.0

PATIENT = {"LIMITER_TIMEOUT_MS": "2000", "LEDGER_TIMEOUT_S": "3"}
"""Megabytes that pour hold up a busy machine for a moment, which must not refuse a call that is to be met later."""

Entry = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Backend:
    """A simulated backend: its options, its models with their natural lengths in tokens, its cap."""

    name: str
    options: Sequence[str]
    models: Mapping[str, int]
    cap: int = 100


BACKENDS = (
    Backend(
        name="writes",
        options=("--token-delay-ms", "40"),
        models={"writer": 2000, "writer-pours": 2000, "whole-pours": 20},
    ),
    Backend(name="loads", options=("--load-delay-ms", str(LOAD_S * 1000)), models={"cold": 20}),
    Backend(
        name="reads",
        options=("--load-delay-ms", "500", "--prompt-delay-ms-per-token", "30", "--token-delay-ms", "40"),
        models={"reader": 3, "reader-pours": 2000, "cold-pours": 2000},
    ),
    Backend(
        name="narrow",
        options=("--token-delay-ms", "40"),
        models={"narrow": 2000, "narrow-pours": 2000},
        cap=NARROW_CAP,
    ),
)


@attrs.frozen
class Stage:
    """A house whose gateway stands before all four."""

    house: House
    simulators: Mapping[str, Simulator]

    def log(self) -> list[Entry]:
        """What all of them served."""
        return [
            entry for simulator in self.simulators.values() for entry in simulator.log() if entry["kind"] == "inference"
        ]

    def entries(self) -> Mapping[str, Entry]:
        """The same by the name that the call's prompt begins with."""
        return {_name_in(entry["body"]): entry for entry in self.log() if entry["body"] is not None}

    async def until(self, holds: Callable[[], bool], within_s: float = 20.0) -> None:
        """Waits for something to be so, looking beside the loop."""
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  other programs have no event
                await asyncio.sleep(0.05)

    def in_phase(self, names: Sequence[str], phase: str) -> bool:
        """Whether all these calls are there; when they generate, with some tokens made."""
        entries = self.entries()
        found = [entries.get(name) for name in names]
        return all(
            entry is not None and entry["phase"] == phase and (phase != "generating" or entry["output_tokens"] > 2)
            for entry in found
        )

    def members(self, key: str) -> int:
        """Of a sorted set in Redis."""
        with redis.Redis.from_url(self.house.redis_url) as client:
            return int(client.zcard(key))

    def waiting(self) -> int:
        """Calls in line for a turn."""
        return self.members(names.QUEUE[0])

    def turns_at(self, backend: str) -> int:
        """Taken."""
        return self.members(names.turns_at(backend))

    def slots_of(self, tenant_id: str) -> int:
        """Taken."""
        return self.members(names.slots(tenant_id))


@contextlib.contextmanager
def open_stage(stores: EmbeddedStores, folder: Path, **extra: str) -> Iterator[Stage]:
    """The gateway is ready, and nothing is loaded."""
    first, *others = BACKENDS
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(House.open(stores, folder, *_options(first, folder)))
        simulators = {first.name: house.simulator}
        for backend in others:
            simulators[backend.name] = Simulator(folder, *_options(backend, folder), name=backend.name)
            stack.callback(simulators[backend.name].stop)
        for backend in BACKENDS:
            for model in backend.models:
                if model.endswith("-pours"):
                    simulators[backend.name].behave({**POURS, "model": model})
        listed = [{"name": one.name, "url": simulators[one.name].url, "max_in_flight": one.cap} for one in BACKENDS]
        gateway = house.add_gateway(
            OLLAMA_BACKENDS=json.dumps(listed),
            SEND_TIMEOUT_S=f"{SEND_TIMEOUT_S:g}",
            QUEUE_DEPTH="200",
            **PATIENT,
            **extra,
        )
        gateway.wait_ready()
        for _ in range(100):
            if all(state == "ok" for state in httpx.get(f"{gateway.url}/readyz").json()["parts"].values()):
                break
        yield Stage(house, simulators)


def _name_in(body: Any) -> str:
    """The first word of the message."""
    asked = body["input"] if "input" in body else body["messages"][0]["content"] if "messages" in body else ""
    text = asked if isinstance(asked, str) else json.dumps(asked)
    return text.partition(" ")[0]


def _options(backend: Backend, folder: Path) -> Sequence[str]:
    file = folder / f"{backend.name}.models.json"
    listed = [
        {"name": name, "capabilities": ["completion"], "natural_tokens": tokens}
        for name, tokens in backend.models.items()
    ]
    file.write_text(json.dumps(listed))
    return (*backend.options, "--models", str(file), "--num-parallel", "100")
