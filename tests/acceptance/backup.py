"""`python -m tests.acceptance.backup`: how long a big database takes to dump and to restore, and how big the dump is.

The dump is restored on another server, which has never heard of our roles. Then the books must say what they said.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from adapters.postgres.migrating import upgrade
from entrypoints.embedded import start_stores
from tests.bulk import Size, fill, sums, unbalanced
from tests.dumping import another_database, dump, restore


def main() -> None:
    """Builds, dumps, restores, tells."""
    parser = argparse.ArgumentParser(prog="tests.acceptance.backup", description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=500_000, help="each is two rows of the audit")
    given = parser.parse_args()
    size = Size(tenants=given.tenants, keys=2 * given.tenants, calls=given.calls)
    with tempfile.TemporaryDirectory(prefix="nz-backup-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)  # the servers' own account must be able to pass
        with (
            start_stores(root / "one") as one,
            start_stores(root / "other") as other,
            another_database(other.database_url) as restored,
        ):
            _measure(one.database_url, restored, root / "dump", size)


def _measure(url: str, restored: str, file: Path, size: Size) -> None:
    console, table = Console(), Table("step", "seconds", "megabytes", title="Backup")
    _step(table, "migrate", lambda: upgrade(url))
    _step(table, f"fill: {size.tenants:,} tenants, {2 * size.calls:,} audit rows", lambda: fill(url, size), url)
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        [(snapshot,)] = connection.execute("select pg_export_snapshot()")
        _step(table, "pg_dump --format=custom", lambda: dump(url, file, snapshot=snapshot), file)
        then = sums(connection)
    _step(table, "pg_restore --jobs=2, on another server", lambda: restore(file, restored, jobs=2), restored)
    with psycopg.connect(restored) as connection:
        now, unequal = sums(connection), unbalanced(connection)
    console.print(table)
    console.print(f"books then and now: {'equal' if now == then else 'DIFFERENT'}; do not balance: {unequal}; {now}")
    if now != then or unequal:
        raise SystemExit(1)


def _step(table: Table, name: str, work: Callable[[], object], grown: str | Path | None = None) -> None:
    begun_s = time.perf_counter()
    work()
    spent = f"{time.perf_counter() - begun_s:.1f}"
    table.add_row(name, spent, "" if grown is None else f"{_size_bytes(grown) / 1e6:.0f}")


def _size_bytes(grown: str | Path) -> int:
    if isinstance(grown, Path):
        return grown.stat().st_size
    with psycopg.connect(grown) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    return 0 if row is None else int(row[0])


if __name__ == "__main__":
    main()
