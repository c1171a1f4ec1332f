"""Logins of their own for tests, each in one of the roles that the migrations make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict


@contextmanager
def login_in(role: str, owner_url: str) -> Iterator[str]:
    """The URL of the same database for a new login that is a member of `role` and owns nothing."""
    name, password = f"{role}_{uuid4().hex[:8]}", uuid4().hex
    made = sql.SQL("create role {} login password {} in role {}").format(
        sql.Identifier(name), sql.Literal(password), sql.Identifier(role)
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(made)
    try:
        yield url_for(owner_url, name, password)
    finally:
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def url_for(url: str, user: str, password: str, *, database: str | None = None) -> str:
    """The same database for somebody else, or another one of the same server, as a URL."""
    place = conninfo_to_dict(url)
    server: dict[str, str] = {name: str(place[name]) for name in ("host", "port") if name in place}
    query = urlencode(server, quote_via=quote)
    return f"postgresql://{user}:{password}@/{database or place['dbname']}?{query}"
