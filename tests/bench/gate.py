"""`--only gate`: what it costs to read a request, to hold it against its table and to build what goes upstream.

The very functions of the door and of the backend adapter, without sockets and stores. CPU is this process's own, best
of several rounds. Meanwhile a watch on the event loop asks every millisecond for its turn; how much too late it gets
it is how long the loop was blocked. Time in which this process had no CPU is not counted: other programs had it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from statistics import median

import attrs
import msgspec
import uvloop

from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend
from domain.calls import Bounds, Call
from domain.models import Model, canonical
from domain.ports.model_backend import UpstreamCall
from entrypoints.http.reading import call_in, take_short_turns
from entrypoints.http.routes import TABLE, Inference
from tests.bench.tables import Section, us

_TICK_S = 0.001
_MODEL = Model(name="llama3.2:1b", canonical=canonical("llama3.2:1b"))
_KIB, _MIB = 1024, 1024 * 1024
_ROUND_S = 0.3
_ROUNDS = 7


def _bytes(value: object) -> bytes:
    return msgspec.json.encode(value)


def _said(text: str) -> bytes:
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": text}]
    options = {"temperature": 0.7, "num_predict": 200, "top_p": 0.9, "seed": 7}
    return _bytes({"model": _MODEL.name, "stream": True, "messages": messages, "options": options})


def _talk(size: int) -> str:
    return ("What is it, and why? " * (size // 20 + 1))[:size]


def _image(size: int) -> str:
    return base64.b64encode(os.urandom(size * 3 // 4)).decode()


def _native_image(size: int) -> bytes:
    message = {"role": "user", "content": "What is it?", "images": [_image(size)]}
    return _bytes({"model": _MODEL.name, "messages": [message]})


def _openai_image(size: int) -> bytes:
    url = {"url": "data:image/png;base64," + _image(size)}
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}]
    return _bytes({"model": _MODEL.name, "stream": True, "messages": [{"role": "user", "content": parts}]})


def _with_tools() -> bytes:
    properties = {f"field{number}": {"type": "string", "description": _talk(60)} for number in range(12)}
    function = {"name": "look", "description": _talk(80), "parameters": {"type": "object", "properties": properties}}
    messages = [{"role": "user", "content": _talk(200)}] * 40
    return _bytes(
        {"model": _MODEL.name, "messages": messages, "tools": [{"type": "function", "function": function}] * 20}
    )


def _cases() -> Mapping[str, tuple[str, bytes]]:
    code = 'def f(a, b): return {"x": [a, "b"]}\n'
    spared = 4 * _KIB
    return {
        "chat, 2 KiB": ("/api/chat", _said(_talk(2 * _KIB - 250))),
        "chat of OpenAI, 2 KiB": ("/v1/chat/completions", _said(_talk(2 * _KIB - 250))),
        "chat with 20 tools": ("/v1/chat/completions", _with_tools()),
        "text, 200 KiB": ("/api/chat", _said(_talk(200 * _KIB))),
        "image, 4 MiB": ("/api/chat", _native_image(4 * _MIB - spared)),
        "image of OpenAI, 4 MiB": ("/v1/chat/completions", _openai_image(4 * _MIB - spared)),
        "code, 4 MiB": ("/api/chat", _said(code * (4 * _MIB // 45))),
        "Chinese, 4 MiB": ("/api/chat", _said("\u4e2d\u6587" * (4 * _MIB // 6 - spared))),
        "512 messages, 4 MiB": (
            "/api/chat",
            _bytes({"model": "m", "messages": [{"role": "user", "content": _talk(8 * _KIB - 64)}] * 512}),
        ),
        "old context of 100,000 tokens": (
            "/api/generate",
            _bytes({"model": "m", "prompt": "p", "context": list(range(100_000))}),
        ),
    }


@attrs.frozen
class _Gate:
    route: Inference
    backend: OllamaBackend
    body: bytes

    async def pass_once(self) -> bytes:
        """From the bytes that came to the bytes that go."""
        call = await call_in(self.body, self.route, "nz_bench")
        return await self.backend._body(_upstream(call))


def _upstream(call: Call) -> UpstreamCall:
    bounds = Bounds(prompt=100, output=100 if call.endpoint.generates else 0)
    return UpstreamCall(request_id="bench", call=call, model=_MODEL, bounds=bounds)


@attrs.define
class _Watch:
    """How long the loop is blocked at most."""

    longest_s: float = 0.0

    async def look(self) -> None:
        """Until it is cancelled."""
        while True:
            due_s, used_s = time.perf_counter() + _TICK_S, time.process_time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            late_s = min(time.perf_counter() - due_s, time.process_time() - used_s)
            self.longest_s = max(self.longest_s, late_s)


async def _cpu_us(gate: _Gate) -> float:
    best_s, count = float("inf"), 0
    for _ in range(_ROUNDS):
        began_s, until_s, count = time.process_time(), time.perf_counter() + _ROUND_S, 0
        while time.perf_counter() < until_s or count == 0:
            await gate.pass_once()
            count += 1
        best_s = min(best_s, (time.process_time() - began_s) / count)
    return best_s * 1e6


async def _blocked_ms(gate: _Gate | None) -> tuple[float, float]:
    """The longest block in each of many passes: the middle one, and the worst."""
    worst = []
    for _ in range(4 * _ROUNDS):
        watch = _Watch()
        watching = asyncio.create_task(watch.look())
        await asyncio.sleep(5 * _TICK_S)
        watch.longest_s = 0.0
        await (gate.pass_once() if gate else asyncio.sleep(10 * _TICK_S))
        await asyncio.sleep(2 * _TICK_S)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        worst.append(watch.longest_s * 1e3)
    return median(worst), max(worst)


async def _rows() -> list[tuple[str, ...]]:
    take_short_turns()
    backend = OllamaBackend(BackendAddress(name="nobody", url="http://127.0.0.1:1"))
    rows: list[tuple[str, ...]] = []
    try:
        idle, worst = await _blocked_ms(None)
        rows.append(("(an idle loop)", "-", "-", f"{idle:.1f} ms", f"{worst:.1f} ms"))
        for name, (path, body) in _cases().items():
            _, route = TABLE[path.encode()]
            if not isinstance(route, Inference):
                raise TypeError(f"{path} leads to no model")
            gate = _Gate(route, backend, body)
            cpu = await _cpu_us(gate)
            middle, worst = await _blocked_ms(gate)
            rows.append((name, f"{len(body):,}", us(cpu), f"{middle:.1f} ms", f"{worst:.1f} ms"))
    finally:
        await backend.aclose()
    return rows


def measure() -> Iterator[Section]:
    """The table."""
    yield Section(
        title="gate: reading, table and the body that goes upstream",
        headings=("request", "bytes", "CPU", "loop blocked", "at worst"),
        rows=uvloop.run(_rows()),
        how="CPU of one request, best of seven rounds; the longest block of the loop in one request, the middle one "
        "and the worst of 28.",
    )
