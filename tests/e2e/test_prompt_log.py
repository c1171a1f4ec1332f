"""The life of a logged prompt, with canaries: readable for its time, in plain nowhere, and then for nobody at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import cli, eventually
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

SECRET = {"PROMPT_LOG_KEY": "a-secret-of-prompts-for-tests-that-is-long-enough"}
ASKED = "wombat-in-the-prompt"
QUIET = "quokka-of-another-key"
ANSWERED = "numbat-in-the-answer"
SPOKEN = "".join(
    json.dumps({"model": "sim-chat", "created_at": "2026-01-01T00:00:00Z"} | rest) + "\n"
    for rest in (
        {"message": {"role": "assistant", "content": f"Behold the {ANSWERED}"}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "eval_count": 3},
    )
)
"""A streamed answer of Ollama's native dialect."""


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("prompts"), **SECRET) as opened:
        opened.add_gateway().wait_ready()
        yield opened


def run(house: House, *arguments: str, **environ: str) -> str:
    done = cli(house.environ | environ, house.folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(house: House, *arguments: str, **environ: str) -> str:
    done = cli(house.environ | environ, house.folder, *arguments)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def ask(house: House, key: Key, words: str) -> str:
    """The request id of a streamed call."""
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": words}]}
    with house.client(key) as client:
        answer = client.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


def everything_in(database_url: str) -> str:
    """Every row of every table, as text; what is binary in hex and, as far as it is text, in plain."""
    found = []
    with psycopg.connect(database_url) as connection:
        ours = (
            "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'neuronetz'::regnamespace"
        )
        tables = connection.execute(ours).fetchall()
        for (table,) in tables:
            rows = connection.execute(sql.SQL("select t::text from {} t").format(sql.SQL(table))).fetchall()
            found += [text for (text,) in rows]
    return "\n".join(found)


def everything_in_redis(url: str) -> bytes:
    with redis.Redis.from_url(url) as store:
        return b"\n".join(b"%b %b" % (name, store.dump(name) or b"") for name in store.scan_iter())


def hour_keys_in_redis(url: str) -> set[bytes]:
    with redis.Redis.from_url(url) as store:
        return set(store.scan_iter("nz:d:*"))


def assert_in_plain_nowhere(house: House, word: str) -> None:
    rows = everything_in(house.database_url)
    for form in (word, word.encode().hex()):
        assert form not in rows
    assert word.encode() not in everything_in_redis(house.redis_url)
    assert all(word not in gateway.text() for gateway in house.gateways)


def copied(house: House) -> str:
    """The URL of a copy of the database, as a backup would bring it back."""
    parts = urlsplit(house.database_url)
    name = parts.path.lstrip("/")
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        query = "create database {} template {}"
        connection.execute(sql.SQL(query).format(sql.Identifier(f"{name}_copy"), sql.Identifier(name)))
    return urlunsplit(parts._replace(path=f"/{name}_copy"))


def drop(url: str) -> None:
    parts = urlsplit(url)
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        name = sql.Identifier(parts.path.lstrip("/"))
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


def written(house: House, count: int) -> None:
    for _ in eventually(10):
        if house.rows("select count(*) as n from prompts")[0]["n"] == count:
            return


def kept(house: House) -> Sequence[Mapping[str, Any]]:
    """The days that have a table, and the hours that have a key."""
    days = house.rows("select inhrelid::regclass::text from pg_inherits where inhparent = 'prompts'::regclass")
    return [*days, *house.rows("select id from prompt_hour_keys")]


def test_a_logged_prompt_is_readable_for_its_time_and_then_by_nobody(house: House) -> None:
    logged, quiet = house.new_key("acme"), house.new_key("acme")
    of_others = hour_keys_in_redis(house.redis_url)
    told = run(house, "set-prompt-logging", "--key", logged.prefix, "--ttl", "1h")
    assert "kept for 1h, encrypted" in told
    house.simulator.behave({"behaviour": {"body": SPOKEN, "content_type": "application/x-ndjson"}})
    request_id = ask(house, logged, f"Tell me of the {ASKED}.")
    ask(house, quiet, f"Nobody may keep the {QUIET}.")
    written(house, 1)
    keys = hour_keys_in_redis(house.redis_url) - of_others
    assert keys

    # While its time lasts it is readable, and in plain nowhere.
    listed = json.loads(run(house, "prompts", "list", "--tenant", "acme", "--json"))
    assert [(one["request_id"], one["key"]) for one in listed] == [(request_id, logged.prefix)]
    shown = run(house, "prompts", "show", request_id)
    assert ASKED in shown
    assert ANSWERED in shown
    for word in (ASKED, ANSWERED, QUIET):
        assert_in_plain_nowhere(house, word)
    looks = house.rows("select actor, detail->>'change' as look from audit where detail->>'change' like '%%prompt%%'")
    assert [row["look"] for row in looks].count("show_prompt") == 1
    assert all(row["actor"].startswith("cli:") for row in looks)

    # A copy of the database taken now can be read, as long as the key of its hour is there.
    house.gateways[0].stop()
    copy = copied(house)
    try:
        assert ASKED in run(house, "prompts", "show", request_id, DATABASE_URL=copy)

        # Two days later any gateway forgets, even one that cannot keep prompts itself; and says that it cannot.
        clock = DatabaseClock(house.database_url)
        asyncio.run(clock.set(datetime.now(UTC) + timedelta(days=2)))
        assert "Nothing is kept" in refused(house, "prompts", "show", request_id)
        house.gateways[:] = [house.add_gateway(PROMPT_LOG_KEY="")]
        house.gateways[0].wait_ready()
        for _ in eventually(60):  # a vacuum may hold the table at the first step
            if not keys & hour_keys_in_redis(house.redis_url) and not kept(house):
                break
        body = {"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}]}
        with house.client(logged) as client:
            answer = client.post("/api/chat", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "prompt_log_unavailable")
        ask(house, quiet, "hello")

        assert kept(house) == []
        assert "hour key is gone" in refused(house, "prompts", "show", request_id, DATABASE_URL=copy)
    finally:
        drop(copy)
