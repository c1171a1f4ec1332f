"""Which programs descend from a server, and whether they are still there.

PostgreSQL's backends each lead a session of their own, so no process group holds the whole server and
signals to "all of it" need its family tree. A pid alone does not name a member of it for long, since pids
are used again: pid and time of birth together do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs

# Positions in /proc/PID/stat counted after the command, which may itself hold spaces. Source: proc_pid_stat(5).
_STATE, _PARENT, _BORN = 0, 1, 19


@attrs.frozen
class Relative:
    """One running program: its pid, and when it was born (in whatever unit the system counts)."""

    pid: int
    born: str


@attrs.frozen
class _Row:
    relative: Relative
    parent: int


def descendants(pid: int) -> frozenset[Relative]:
    """Children, grandchildren and so on of `pid`, without itself and without the already dead."""
    rows = _living()
    found: dict[int, Relative] = {}
    parents = {pid}
    while parents:
        young = {row.relative.pid: row.relative for row in rows if row.parent in parents}
        parents = young.keys() - found.keys()
        found |= young
    return frozenset(found.values())


def living(relatives: frozenset[Relative]) -> frozenset[Relative]:
    """Those of `relatives` that are still running."""
    return relatives & {row.relative for row in _living()}


def is_alive(pid: int) -> bool:
    """Whether a program with this pid is running; one that is dead but not yet collected is not."""
    return any(row.relative.pid == pid for row in _living())


def _living() -> list[_Row]:
    return _from_proc() if sys.platform.startswith("linux") else _from_ps()


def _from_proc() -> list[_Row]:
    rows = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we were looking
        if fields[_STATE] not in {"Z", "X"}:
            rows.append(_Row(Relative(int(stat.parent.name), fields[_BORN]), int(fields[_PARENT])))
    return rows


def _from_ps() -> list[_Row]:
    listing = subprocess.run(
        ["/bin/ps", "-axo", "pid=,ppid=,stat=,lstart="], capture_output=True, text=True, check=True
    )
    rows = []
    for line in listing.stdout.splitlines():
        pid, parent, state, born = line.split(maxsplit=3)
        if not state.startswith("Z"):
            rows.append(_Row(Relative(int(pid), born), int(parent)))
    return rows
