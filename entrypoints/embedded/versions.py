"""Whether a server may open what another one wrote.

PostgreSQL's files change with every major version, both ways, and the server says so only in its log.
Valkey's are read by newer servers, but not by older ones once the append-only file was rewritten; and
Redis and Valkey share a format only up to Redis 7.2, where they parted. Both rules are checked before a
server starts, so that the refusal is a sentence with a remedy and nothing has been touched.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from entrypoints.embedded.errors import VersionError

OLDEST_POSTGRES = 15
_LAST_SHARED_FORMAT = (7, 2)


@attrs.frozen(order=False)
class StoreVersion:
    """A Valkey or Redis by product and version."""

    product: str
    number: tuple[int, int]

    def __str__(self) -> str:
        """The record kept in the state directory."""
        return f"{self.product} {self.number[0]}.{self.number[1]}"


def postgres_major(said: str) -> int:
    """Reads the answer of `postgres --version`, such as "postgres (PostgreSQL) 18.6"."""
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise VersionError(f"This is not a PostgreSQL version: {said.strip()!r}.", "Check EMBEDDED_POSTGRES_BIN.")
    return int(found[1])


def store_version(said: str) -> StoreVersion:
    """Reads the answer of `valkey-server --version`, such as "Valkey server v=9.1.2 sha=...", or our record."""
    found = re.search(r"(valkey|redis)(?: server v=| )(\d+)\.(\d+)", said, re.IGNORECASE)
    if found is None:
        raise VersionError(f"This is not a Valkey version: {said.strip()!r}.", "Check EMBEDDED_VALKEY_BIN.")
    return StoreVersion(found[1].lower(), (int(found[2]), int(found[3])))


def check_postgres(cluster: Path, major: int) -> None:
    """Refuses a PostgreSQL that cannot open `cluster`, or is too old for us.

    Raises:
        VersionError: the major versions differ.
    """
    if major < OLDEST_POSTGRES:
        raise VersionError(
            f"PostgreSQL {major} is too old.", f"Install PostgreSQL {OLDEST_POSTGRES} or newer, or embedded-postgres."
        )
    if not cluster.exists():
        return
    record = cluster / "PG_VERSION"
    if not record.exists():
        raise VersionError(f"{cluster} holds no PostgreSQL database.", "Put it aside, or restore what was in it.")
    wrote = record.read_text().strip()
    if wrote != str(major):
        raise VersionError(
            f"{cluster} was written by PostgreSQL {wrote}, and the server found is PostgreSQL {major}.",
            f"Point EMBEDDED_POSTGRES_BIN to a PostgreSQL {wrote}; to move on, dump with that one, "
            "put the directory aside, start once and restore.",
        )


def check_store(record: Path, version: StoreVersion) -> None:
    """Refuses a Valkey or Redis that could not read what the recorded one may have written.

    Raises:
        VersionError: it would be a downgrade, or a change between formats that have parted.
    """
    if not record.exists():
        return
    wrote = store_version(record.read_text())
    if wrote.product == version.product:
        fits = wrote.number <= version.number
    else:
        fits = wrote.product == "redis" and wrote.number <= _LAST_SHARED_FORMAT
    if not fits:
        raise VersionError(
            f"{record.parent / 'valkey'} was written by {wrote}, which {version} cannot read.",
            f"Point EMBEDDED_VALKEY_BIN to {wrote} or newer, or remove that directory and {record.name}: "
            "it holds caches and rate windows, no budgets.",
        )
