"""`--profile ROW`: which functions of the gateway the CPU goes to, seen from outside by py-spy.

The gateway carries no hook for this: py-spy reads another program's stacks, and here only those that hold Python's
lock, so waiting is left out, and so is hashing, which gives the lock away. It needs the right to trace (root, or
CAP_SYS_PTRACE).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from tests.bench.contenders import Contender, through
from tests.bench.hot import Size
from tests.bench.load import full_load
from tests.bench.stage import Stage
from tests.bench.tables import Section
from tests.e2e.house import Key

_RATE_PER_S = 200
_MOST_ROWS = 30
_OURS = ("domain/", "application/", "adapters/", "entrypoints/")


class NoProfiler(Exception):
    """py-spy is not there, or may not look."""


def measure(stage: Stage, keys: Sequence[Key], row: str, size: Size, *, for_s: float) -> Iterator[Section]:
    """The tables of a profile; `row` is as native-whole or openai-streamed."""
    kind, _, form = row.partition("-")
    gateway = stage.house.add_gateway()
    gateway.wait_ready()
    raw = stage.house.folder / "profile.raw"
    try:
        one = through(stage, gateway, keys)
        uvloop.run(_under_load(one, gateway.pid, raw, kind, size, streamed=form == "streamed", for_s=for_s))
    finally:
        gateway.stop()
    stacks = _read(raw)
    yield _by_part(stacks, row)
    yield _by_function(stacks, row)


async def _under_load(
    one: Contender, pid: int, raw: Path, kind: str, size: Size, *, streamed: bool, for_s: float
) -> None:
    async def load() -> None:
        while True:
            await full_load(
                one.target,
                {},
                kind=kind,
                streamed=streamed,
                connections=size.connections,
                requests=size.requests // (4 if streamed else 1),
            )

    await full_load(one.target, {}, kind=kind, streamed=streamed, connections=size.connections, requests=500)
    busy = asyncio.create_task(load())
    try:
        await asyncio.to_thread(_watch, pid, raw, for_s)
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


def _watch(pid: int, raw: Path, for_s: float) -> None:
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        raise NoProfiler("py-spy is not installed: pip install py-spy.")
    arguments = ("--pid", str(pid), "--duration", f"{for_s:.0f}", "--rate", str(_RATE_PER_S), "--function", "--gil")
    ran = subprocess.run(
        [program, "record", "--format", "raw", "--output", str(raw), *arguments],
        capture_output=True,
        text=True,
        timeout=for_s + 60,
        check=False,
    )
    if ran.returncode != 0 or not raw.exists():
        raise NoProfiler(
            f"py-spy could not look at the gateway; it needs root or CAP_SYS_PTRACE. It said: {ran.stderr}"
        )


def _read(raw: Path) -> Counter[tuple[str, ...]]:
    """Stacks, outermost first, each with how often it was seen."""
    found: Counter[tuple[str, ...]] = Counter()
    for line in raw.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        found[tuple(frames.split(";"))] += int(count)
    return found


def _place(frame: str) -> str:
    """The file in `function (file)`, from the last folder that tells anything."""
    path = frame.rpartition(" (")[2].rstrip(")").partition(":")[0]
    for marker in ("site-packages/", "lib/python"):
        if marker in path:
            return path.partition(marker)[2]
    return path


def _part_of(frame: str) -> str:
    """Who a frame belongs to: a folder of ours, or a library."""
    place = _place(frame)
    for mine in _OURS:
        if mine in place:
            return "/".join(place[place.find(mine) :].split("/")[:2])
    first = place.partition("/")[0].removesuffix(".py")
    if first in sys.stdlib_module_names or first.startswith("<frozen"):
        return "standard library"
    return "made by attrs" if first.startswith("<attrs") else first


def _by_part(stacks: Counter[tuple[str, ...]], row: str) -> Section:
    parts: Counter[str] = Counter()
    for stack, count in stacks.items():
        parts[_part_of(stack[-1])] += count
    total = sum(parts.values()) or 1
    return Section(
        title=f"profile {row}: by part",
        headings=("part", "share of CPU"),
        rows=[(part, f"{count / total:.1%}") for part, count in parts.most_common(_MOST_ROWS)],
        how="By the innermost Python frame. C code counts for the Python function that called it, so the event loop's "
        "own work is in whoever runs the loop (asyncio, uvloop).",
    )


def _by_function(stacks: Counter[tuple[str, ...]], row: str) -> Section:
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for frame in set(stack):
            whole[frame] += count
    total = sum(own.values()) or 1
    rows = [
        (f"{frame.rpartition(' (')[0]}  {_place(frame)}", f"{count / total:.1%}", f"{whole[frame] / total:.1%}")
        for frame, count in own.most_common(_MOST_ROWS)
    ]
    return Section(
        title=f"profile {row}: the {_MOST_ROWS} functions with most CPU of their own",
        headings=("function", "own", "with what it calls"),
        rows=rows,
        how=f"py-spy, {_RATE_PER_S} looks a second, {total} of them on the CPU.",
    )
