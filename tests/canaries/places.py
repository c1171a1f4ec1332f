"""Where a text may have got to: every place that outlives a call, read as plainly as it can be."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis
from psycopg import sql

PIECE = 12
"""Characters of a key's secret that must not be seen together."""


def pieces(text: str) -> Iterator[str]:
    """Every part of a secret that is long enough to matter."""
    for start in range(len(text) - PIECE + 1):
        yield text[start : start + PIECE]


def written(text: str) -> Iterator[bytes]:
    """The ways in which a text may be written down: plain, escaped, in hex, in base64 wherever it begins."""
    octets = text.encode()
    yield octets
    yield quote(text, safe="").encode()
    yield octets.hex().encode()
    for start in range(3):
        encoded = base64.b64encode(b"\0" * start + octets)
        yield encoded[4 if start else 0 : -4]


def found(secrets: Mapping[str, Iterable[str]], places: Mapping[str, bytes]) -> list[str]:
    """What was seen where: the name of the secret and of the place, never the secret itself."""
    hits = []
    for name, texts in secrets.items():
        needles = {form for text in texts for form in written(text)}
        for place, seen in places.items():
            needle = next((one for one in needles if one in seen), None)
            if needle is not None:
                hits.append(f"{name} in {place}: ...{_around(seen, needle)}...")
    return hits


def _around(seen: bytes, needle: bytes) -> str:
    at = seen.index(needle)
    return seen[max(0, at - 120) : at].decode(errors="replace")


def in_tables(database_url: str) -> bytes:
    """Every row of every table that is not PostgreSQL's own, and what its connections have asked last."""
    rows = []
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            rows += connection.execute(sql.SQL("select t::text from {} t").format(sql.SQL(table))).fetchall()
        rows += connection.execute("select query from pg_stat_activity where query is not null").fetchall()
    return "\n".join(text for (text,) in rows).encode()


def in_redis(url: str) -> bytes:
    """Every key with its value, whatever its type. Not `DUMP`, which compresses."""
    with redis.Redis.from_url(url) as store:
        return b"\n".join(b"%b %b" % (name, repr(_value(store, name)).encode()) for name in store.scan_iter())


def _value(store: redis.Redis, name: bytes) -> Any:
    match store.type(name):
        case b"string":
            return store.get(name)
        case b"hash":
            return store.hgetall(name)
        case b"zset":
            return store.zrange(name, 0, -1)
        case b"list":
            return store.lrange(name, 0, -1)
        case b"set":
            return store.smembers(name)
        case kind:
            raise AssertionError(f"a type that nobody looks into: {kind!r}")


def in_files(folder: Path, *, but: Iterable[Path] = ()) -> dict[str, bytes]:
    """Every file below a folder, by its name."""
    left_out = set(but)
    files = [file for file in folder.rglob("*") if file.is_file() and file not in left_out]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def in_command_lines() -> bytes:
    """What any user of this machine can see of every program."""
    lines = []
    for program in Path("/proc").iterdir():
        if program.name.isdigit():
            try:
                lines.append((program / "cmdline").read_bytes())
            except OSError:  # it has ended
                continue
    return b"\n".join(lines)
