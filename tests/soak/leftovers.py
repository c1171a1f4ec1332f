"""What must be nothing once all calls have ended: holds, slots, turns, and calls at the backend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import redis

from tests.e2e.house import House

_SLOTS, _TURNS, _QUEUE = "nz:{*}:cc*", "nz:{turns}:at:*", "nz:{turns}:queue"


def counted(house: House) -> Mapping[str, int]:
    """How much of each there is now."""
    state = house.simulator.state()
    return {
        "open holds": house.open_holds(),
        "slots": _live_members(house.redis_url, _SLOTS),
        "turns": _live_members(house.redis_url, _TURNS),
        "waiting for a turn": _members(house.redis_url, _QUEUE),
        "in flight at the backend": sum(state["in_flight"].values()),
        "slots taken at the backend": sum(state["slots_taken"].values()),
    }


def await_none(house: House, within_s: float) -> Sequence[str]:
    """Waits until nothing is left; a sentence for each that is, when the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        left = {what: count for what, count in counted(house).items() if count}
        if not left:
            return []
        if time.monotonic() > deadline:
            return [f"{within_s:.0f} s after the last call, {what} are {count}, not 0." for what, count in left.items()]
        time.sleep(0.5)


def _live_members(url: str, pattern: str) -> int:
    """Leases that have not run out, by the server's clock."""
    with redis.Redis.from_url(url) as client:
        seconds, micros = client.time()
        now_ms = seconds * 1000 + micros // 1000
        return sum(client.zcount(key, now_ms, "+inf") for key in client.scan_iter(pattern, count=1000))


def _members(url: str, key: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.zcard(key))
