"""What distinct keys cost in memory: in a gateway that sees one after the other, and in Valkey.

Their hashes are not verified here, at 27 ms each: the callers are put into the shared memory beforehand, as if another
gateway had just seen them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import attrs
import psycopg
import redis
import uvloop
from psycopg.rows import dict_row

from adapters.postgres.rows import KNOWN_KEY, known_key_of
from adapters.redis import names
from adapters.redis.records import RecordSeal
from application.rooms.identify import MOST_REMEMBERED
from domain.keys import MARK, SECRET_LENGTH, mint
from domain.policies import Caller
from tests.bench.accounts import footprint
from tests.bench.load import Target, first_calls
from tests.bench.tables import Section
from tests.e2e.house import House
from tests.e2e.programs import PEPPER, Gateway

_AT_ONCE = 16
_SEEDED = 1000
"""At a time: the shared memory forgets after 30 s."""
_STEPS = 6
_ANY_GOOD = (
    "t.state = 'active' and t.models is null and k.models is null and k.revoked_at is null"
    " and k.prefix like 'nz\\_00%%' limit %(most)s"
)


@attrs.frozen(kw_only=True)
class _Seen:
    keys: int
    gateway_kib: int
    valkey_kib: int


def measure_memory(house: House, gateway: Gateway, distinct: int) -> Iterator[Section]:
    """The table: a gateway that has seen few keys before so many of its full database's."""
    callers = _callers(house, distinct)
    step = max(1, len(callers) // _STEPS)
    with redis.Redis.from_url(house.redis_url) as valkey:
        found = [_look(gateway, valkey, 0)]
        for first in range(0, len(callers), step):
            some = callers[first : first + step]
            for place in range(0, len(some), _SEEDED):
                texts = _made_known(valkey, some[place : place + _SEEDED])
                uvloop.run(first_calls(Target(gateway.url, texts), {}, kind="native", at_once=_AT_ONCE))
            found.append(_look(gateway, valkey, first + len(some)))
    yield _table(found)


def _callers(house: House, most: int) -> Sequence[Caller]:
    query = KNOWN_KEY.replace("k.prefix = %(prefix)s", _ANY_GOOD)
    with psycopg.connect(house.database_url, row_factory=dict_row) as connection:
        return [known_key_of(row).caller for row in connection.execute(query.encode(), {"most": most})]


def _made_known(valkey: redis.Redis, callers: Sequence[Caller]) -> Sequence[str]:
    """Texts of keys that pass as these callers'."""
    pepper = PEPPER.encode()
    seal, texts = RecordSeal([pepper]), []
    for caller in callers:
        key = mint(caller.key_prefix.removeprefix(MARK), secrets.token_hex(SECRET_LENGTH // 2), pepper)
        valkey.set(names.caller(key.fingerprint), seal.seal(key.fingerprint, caller, datetime.now(UTC)), ex=30)
        texts.append(key.secret.unwrap())
    return texts


def _look(gateway: Gateway, valkey: redis.Redis, keys: int) -> _Seen:
    used = int(valkey.info("memory")["used_memory"])
    return _Seen(keys=keys, gateway_kib=footprint(gateway.pid).rss_kib, valkey_kib=used // 1024)


def _table(found: Sequence[_Seen]) -> Section:
    rows = []
    for before, seen in zip([found[0], *found], found, strict=False):
        keys = seen.keys - before.keys
        each = f"{(seen.valkey_kib - before.valkey_kib) / keys:.2f} KiB" if keys else ""
        rows.append((f"{seen.keys:,}", f"{seen.gateway_kib / 1024:.1f} MiB", f"{seen.valkey_kib / 1024:.1f} MiB", each))
    return Section(
        title="growth: memory, one call with each of so many keys",
        headings=("keys so far", "gateway RSS", "Valkey in use", "Valkey, each"),
        rows=rows,
        how=f"A gateway remembers {MOST_REMEMBERED:,} keys at most. Valkey has the limit windows of keys and tenants "
        "that called lately, forgotten when idle, and what each call of the last minutes was answered.",
    )
