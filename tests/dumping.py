"""Real `pg_dump` and `pg_restore`, those that belong to the server, and a database to restore into.

Where they are missing, tests that need them are skipped; under CI they fail.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from entrypoints.embedded import EmbeddedError
from entrypoints.embedded.binaries import find_postgres_bin
from tests.logins import url_for

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}


def need_tool(name: str) -> Path:
    """Where one of PostgreSQL's client programs is; a skip without it, and a failure under CI."""
    try:
        tool = find_postgres_bin(os.environ) / name
    except EmbeddedError:
        tool = Path("/nonexistent")
    if not tool.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} must be there under CI")
        pytest.skip(f"there is no {name} here")
    return tool


def dump(url: str, file: Path, *, snapshot: str) -> None:
    """The commands of the documents, at a snapshot that somebody holds open, so that there is something to compare."""
    _run("pg_dump", url, "--format=custom", f"--snapshot={snapshot}", f"--file={file}")


def restore(file: Path, url: str, *, jobs: int = 1) -> None:
    """Into an empty database; then the privileges, which were left out because a new server may lack the roles."""
    options = ("--no-owner", "--no-privileges", "--exit-on-error", f"--jobs={jobs}")
    _run("pg_restore", url, *options, f"--dbname={conninfo_to_dict(url)['dbname']}", str(file))
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("select neuronetz.make_roles()")


@contextmanager
def another_database(url: str) -> Iterator[str]:
    """The URL of an empty database on the same server."""
    place = conninfo_to_dict(url)
    name = sql.Identifier(f"restored_{uuid4().hex}")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("create database {}").format(name))
    try:
        yield url_for(url, str(place["user"]), str(place["password"]), database=name.as_string(None).strip('"'))
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(sql.SQL("drop database {} with (force)").format(name))


def _run(name: str, url: str, *arguments: str) -> None:
    place = conninfo_to_dict(url)
    given = {variable: str(place[word]) for word, variable in _VARIABLES.items() if word in place}
    ran = subprocess.run(
        [str(need_tool(name)), *arguments],
        env={"PATH": os.environ["PATH"]} | given,  # where others see the arguments, there is no password
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if ran.returncode != 0:
        raise AssertionError(f"{name} failed: {ran.stderr[-2000:]}")
