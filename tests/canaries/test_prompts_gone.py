"""Kept prompts after their time, however the gateways that kept them ended: no text, and no key that opens it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis

from entrypoints.embedded import EmbeddedStores
from tests.canaries import places
from tests.e2e.house import House, Key
from tests.e2e.programs import cli, eventually
from tests.figures.record import record
from tests.figures.table import Figure
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

SECRET = {"PROMPT_LOG_KEY": "a-secret-of-prompts-for-tests-that-is-long-enough"}
TTL = timedelta(hours=1)
PROMPT = "mulgara-in-the-prompt"
HOUR_KEYS = "nz:d:*"


@pytest.fixture
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("gone"), "--tokens=3", **SECRET) as opened:
        yield opened


def test_no_prompt_outlives_its_time_by_an_hour_whatever_happens_to_the_gateways(
    house: House, stores: EmbeddedStores
) -> None:
    key = house.new_key()
    done = cli(house.environ, house.folder, "set-prompt-logging", "--key", key.prefix, "--ttl", "1h")
    assert done.returncode == 0, done.stderr
    doomed, other = house.add_gateway(), house.add_gateway()
    doomed.wait_ready()
    other.wait_ready()
    with redis.Redis.from_url(house.redis_url) as store:
        before = set(store.scan_iter(HOUR_KEYS))
        kept = _ask(house, key)
        for name in set(store.scan_iter(HOUR_KEYS)) - before:
            assert 0 < store.pttl(name) <= (2 * TTL + timedelta(minutes=1)).total_seconds() * 1000
            store.delete(name)  # the store loses its memory, and the process that knows the key is killed
        doomed.kill()
        doomed.stop()
        assert "hour key is gone" in _show(house, kept)

        house.gateways.remove(doomed)
        kept_by_other = _ask(house, key, again=1)
        assert PROMPT in _show(house, kept_by_other)
        other.kill()  # nobody is left who purges
        other.stop()
        made = set(store.scan_iter(HOUR_KEYS)) - before
        assert made
        sealed = house.rows("select * from prompts")
        assert len(sealed) == 2

        clock = DatabaseClock(house.database_url)
        asyncio.run(clock.set(datetime.now(UTC) + TTL + timedelta(hours=1)))
        assert "Nothing is kept" in _show(house, kept_by_other)
        house.gateways[:] = [house.add_gateway(PROMPT_LOG_KEY="")]
        for _ in eventually(20):
            if not made & set(store.scan_iter(HOUR_KEYS)):
                break
        for _ in eventually(10):
            if not house.rows("select * from prompt_hour_keys"):
                break

    _make_everything_written(house)
    seen = {"tables": places.in_tables(house.database_url), "Redis": places.in_redis(house.redis_url)}
    seen |= places.in_files(house.folder, but=[house.simulator.truth])
    seen |= places.in_files(stores.postgres.ground.state.cluster)
    wrong = places.found({"a prompt": [PROMPT]}, seen)
    record(Figure.PROMPTS_AFTER_TTL, str(len(wrong)), good=not wrong, how=f"{len(seen)} places, WAL included")
    assert not wrong, "\n".join(wrong)


def _ask(house: House, key: Key, *, again: int = 0) -> str:
    """The request id of a call whose prompt is kept by now, at the first gateway."""
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": f"{PROMPT} {again}"}]}
    with house.client(key) as client:
        answer = client.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    for _ in eventually(10):
        if len(house.rows("select 1 from prompts")) == again + 1:
            break
    return str(answer.headers["x-request-id"])


def _show(house: House, request_id: str) -> str:
    done = cli(house.environ, house.folder, "prompts", "show", request_id)
    return done.stdout + done.stderr


def _make_everything_written(house: House) -> None:
    with psycopg.connect(house.database_url, autocommit=True) as owner:
        owner.execute("vacuum")
        owner.execute("checkpoint")
