"""What every store of hour keys does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import attrs

from domain.ports.hour_keys import HourKeys, WrappedKey


@attrs.frozen
class KeysBench:
    """A store, and a full hour that is ahead and one that is past by its clock."""

    keys: HourKeys
    ahead: datetime
    past: datetime


def hours_of_this_host() -> tuple[datetime, datetime]:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return hour + timedelta(hours=2), hour


def a_wrapped_key(ends_at: datetime) -> WrappedKey:
    return WrappedKey(id=secrets.token_hex(16), wrapped=secrets.token_bytes(60), ends_at=ends_at)


class HourKeysContract:
    async def test_an_unknown_key_is_not_there(self, bench: KeysBench) -> None:
        assert await bench.keys.get(secrets.token_hex(16)) is None

    async def test_what_was_put_is_there_as_it_was(self, bench: KeysBench) -> None:
        keys = [a_wrapped_key(bench.ahead) for _ in range(250)]

        await bench.keys.put(keys)

        assert await asyncio.gather(*(bench.keys.get(key.id) for key in keys)) == [key.wrapped for key in keys]

    async def test_putting_a_key_again_changes_nothing(self, bench: KeysBench) -> None:
        key = a_wrapped_key(bench.ahead)

        await bench.keys.put([key])
        await bench.keys.put([key])

        assert await bench.keys.get(key.id) == key.wrapped

    async def test_a_destroyed_key_is_not_there_and_the_others_are(self, bench: KeysBench) -> None:
        dead, living = a_wrapped_key(bench.ahead), a_wrapped_key(bench.ahead)
        await bench.keys.put([dead, living])

        await bench.keys.destroy([dead.id, secrets.token_hex(16)])

        assert await bench.keys.get(dead.id) is None
        assert await bench.keys.get(living.id) == living.wrapped

    async def test_a_key_whose_hour_is_over_is_not_there(self, bench: KeysBench) -> None:
        key = a_wrapped_key(bench.past)

        await bench.keys.put([key])

        assert await bench.keys.get(key.id) is None

    async def test_nothing_put_or_destroyed_is_no_error(self, bench: KeysBench) -> None:
        await bench.keys.put([])
        await bench.keys.destroy([])
