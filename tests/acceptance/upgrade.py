"""`python -m tests.acceptance.upgrade`: what an upgrade of a big database costs those who are being served meanwhile.

Builds a database of the first release with months in it, lets callers of that release go on through its ledger, and
upgrades it. Prints how long that took, which locks it held on what, and how long a call had to wait at most.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
from rich.console import Console
from rich.table import Table

from adapters.postgres.migrating import upgrade
from entrypoints.embedded import start_stores
from tests.adapters.postgres.former_program import former_program
from tests.bulk import Size, fill, sums, unbalanced

# from the weakest to the strongest; what is weaker than these stops nobody who serves
_MODES = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_LOCKS = """
    select c.relname, l.mode, l.granted from pg_locks l
    join pg_stat_activity a on a.pid = l.pid
    join pg_class c on c.oid = l.relation
    where a.application_name = 'neuronetz-migrate' and c.relnamespace = to_regnamespace('neuronetz')
        and c.relkind in ('r', 'p') and l.mode = any (%s)
"""


class LockWatch:
    """Samples the locks of the migration from another connection."""

    def __init__(self, url: str) -> None:
        self.strongest: dict[str, str] = {}
        self.held_s: dict[str, float] = {}
        self.waited_s: dict[str, float] = {}
        self._url = url

    def run(self, over: threading.Event) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            before_s = time.perf_counter()
            while not over.wait(0.002):
                rows = connection.execute(_LOCKS, (list(_MODES),)).fetchall()
                now_s = time.perf_counter()
                for table, mode, granted in {(str(t), str(m), bool(g)) for t, m, g in rows}:
                    self._see(table, mode, now_s - before_s, granted=granted)
                before_s = now_s

    def _see(self, table: str, mode: str, span_s: float, *, granted: bool) -> None:
        if not granted:
            self.waited_s[table] = self.waited_s.get(table, 0) + span_s
        elif self.strongest.get(table, mode) == mode:
            self.strongest[table] = mode
            self.held_s[table] = self.held_s.get(table, 0) + span_s
        elif _MODES.index(mode) > _MODES.index(self.strongest[table]):
            self.strongest[table], self.held_s[table] = mode, span_s


class Caller:
    """Calls of one key, one after the other, in the way of the former release."""

    def __init__(self, url: str, prefix: str) -> None:
        self.waits_s: list[float] = []
        self.failures: list[str] = []
        self._url = url
        self._prefix = prefix

    def run(self, over: threading.Event) -> None:
        with former_program(self._url) as program:
            [key] = program.ask("select * from neuronetz.api_keys where prefix = %(p)s", p=self._prefix)
            hold = program.hold(key, uuid4().hex)
            program.batch(holds=[hold])
            while not over.is_set():
                following = program.hold(key, uuid4().hex)
                begun_s = time.perf_counter()
                try:
                    program.batch(holds=[following], settles=[program.end(hold)])
                except psycopg.Error as error:
                    self.failures.append(str(error).strip())
                self.waits_s.append(time.perf_counter() - begun_s)
                hold = following
            program.batch(settles=[program.end(hold)])


def main() -> None:
    """Builds, upgrades, tells."""
    parser = argparse.ArgumentParser(prog="tests.acceptance.upgrade", description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=500_000, help="each is two rows of the audit")
    parser.add_argument("--callers", type=int, default=4)
    given = parser.parse_args()
    size = Size(tenants=given.tenants, keys=2 * given.tenants, calls=given.calls)
    with tempfile.TemporaryDirectory(prefix="nz-upgrade-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the servers' own account must be able to pass
        with start_stores(Path(folder) / "state") as stores:
            _measure(stores.database_url, size, given.callers)


def _measure(url: str, size: Size, caller_count: int) -> None:
    steps = Table("step", "seconds", title="Upgrade")
    steps.add_row("build revision 0001", _timed(lambda: upgrade(url, target="0001")))
    steps.add_row(f"fill: {size.tenants:,} tenants, {2 * size.calls:,} audit rows", _timed(lambda: fill(url, size)))
    watch = LockWatch(url)
    callers = [Caller(url, f"nz_{number:08}") for number in range(1, caller_count + 1)]
    over = threading.Event()
    runs = [watch.run, *(caller.run for caller in callers)]
    threads = [threading.Thread(target=run, args=(over,)) for run in runs]
    for thread in threads:
        thread.start()
    time.sleep(1)  # some calls before, for comparison
    calls_before = [len(caller.waits_s) for caller in callers]
    steps.add_row("upgrade to the newest, callers going on", _timed(lambda: upgrade(url)))
    time.sleep(1)
    over.set()
    for thread in threads:
        thread.join()
    _show(steps, watch, callers, calls_before)
    with psycopg.connect(url) as connection:
        Console().print(f"books: {sums(connection)}; windows that do not balance: {unbalanced(connection)}")


def _timed(work: Callable[[], object]) -> str:
    begun_s = time.perf_counter()
    work()
    return f"{time.perf_counter() - begun_s:.2f}"


def _show(steps: Table, watch: LockWatch, callers: list[Caller], calls_before: list[int]) -> None:
    locks = Table("table", "strongest lock", "held (ms)", "waited for (ms)", title="Locks of the upgrade")
    for table in sorted(watch.strongest.keys() | watch.waited_s.keys()):
        held_ms, waited_ms = 1000 * watch.held_s.get(table, 0), 1000 * watch.waited_s.get(table, 0)
        locks.add_row(table, watch.strongest.get(table, ""), f"{held_ms:.0f}", f"{waited_ms:.0f}")
    before = sorted(s for caller, n in zip(callers, calls_before, strict=True) for s in caller.waits_s[:n])
    during = [s for caller, n in zip(callers, calls_before, strict=True) for s in caller.waits_s[n:]]
    console = Console()
    console.print(steps, locks)
    console.print(
        f"ledger calls: {len(before) + len(during):,}, failed: {sum(len(caller.failures) for caller in callers)}; "
        f"longest before: {1000 * before[-1]:.0f} ms, during the upgrade: {1000 * max(during):.0f} ms"
    )


if __name__ == "__main__":
    main()
