"""What the operating system says that programs have used: CPU, memory, descriptors, threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB = 1024

Account = Callable[[], float]
"""Seconds of CPU so far, user and system."""


def _fields(pid: int) -> Sequence[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _own_and_waited_s(pid: int) -> tuple[float, float]:
    """A process's own time with all its threads, and that of its children that have ended."""
    fields = _fields(pid)
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return own / _TICKS_PER_S, waited / _TICKS_PER_S


def children(pid: int) -> Sequence[int]:
    """The children that live now."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                if int(_fields(int(place.name))[1]) == pid:
                    found.append(int(place.name))
    return sorted(found)


def of_program(pid: int) -> Account:
    """One process."""
    return lambda: _own_and_waited_s(pid)[0]


def of_family(pid: int) -> Account:
    """A process with its children, those that have ended too: PostgreSQL, or a gateway of several processes."""

    def spent_s() -> float:
        total_s = sum(_own_and_waited_s(pid))
        for child in children(pid):
            with contextlib.suppress(OSError):
                total_s += sum(_own_and_waited_s(child))
        return total_s

    return spent_s


@attrs.frozen(kw_only=True)
class Footprint:
    """What one process holds now."""

    rss_kib: int
    pss_kib: int
    """Its share of what it shares with others counted once over all."""
    fds: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Reads it; raises OSError when the process is gone."""
    status = _colons(Path(f"/proc/{pid}/status"))
    shares = _colons(Path(f"/proc/{pid}/smaps_rollup"))
    return Footprint(
        rss_kib=int(status["VmRSS"].split()[0]),
        pss_kib=int(shares["Pss"].split()[0]),
        fds=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
    )


def rss_bytes(pid: int) -> int:
    """Memory in use, in bytes."""
    return int(_colons(Path(f"/proc/{pid}/status"))["VmRSS"].split()[0]) * _KIB


def _colons(place: Path) -> Mapping[str, str]:
    lines = (line.partition(":") for line in place.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}
