"""What strangers have cost, as the gateway, the stores and the operating system tell it."""

from __future__ import annotations

import urllib.request

import attrs
import redis
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.accounts import rss_bytes
from tests.e2e.house import House
from tests.e2e.programs import eventually


@attrs.frozen(kw_only=True)
class Toll:
    """Counts so far; their differences are what was done in between."""

    argon2: int
    """Runs of the slow hash."""
    turned_away: int
    """By the keyed check."""
    looked_up: int
    """Keys that were asked for in memory, in Redis or in PostgreSQL."""
    redis_reads: int
    """GET commands, by the server's count: the copies of callers are read by it."""
    refused: int
    """Refusals of unknown keys on record."""
    rss_bytes: int

    def since(self, former: Toll) -> Toll:
        """The differences."""
        mine, others = attrs.asdict(self), attrs.asdict(former)
        return Toll(**{name: mine[name] - others[name] for name in mine})


def toll(house: House, metrics_url: str, pid: int) -> Toll:
    """What it is now."""
    counted: dict[str, float] = {}
    with urllib.request.urlopen(metrics_url, timeout=10) as answer:  # noqa: S310  our own gateway's
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                name = " ".join([sample.name, *sample.labels.values()])
                counted[name] = counted.get(name, 0) + sample.value
    checks = {
        name.split()[1]: count for name, count in counted.items() if name.startswith("neuronetz_key_checks_total")
    }
    with redis.Redis.from_url(house.redis_url) as store:
        commands = store.info("commandstats")
    rows = house.rows(
        "select coalesce(sum(count), 0)::bigint as n from audit where event = 'refused' and code = 'invalid_api_key'"
    )
    return Toll(
        argon2=int(counted["neuronetz_argon2_verifications_total"]),
        turned_away=int(checks.pop("turned_away")),
        looked_up=int(sum(checks.values())),
        redis_reads=int(commands.get("cmdstat_get", {}).get("calls", 0)),
        refused=int(rows[0]["n"]),
        rss_bytes=rss_bytes(pid),
    )


def cost_since(before: Toll, house: House, metrics_url: str, pid: int, refused: int) -> Toll:
    """What was done since, once so many more refusals are on record; the audit is written a moment later."""
    cost = toll(house, metrics_url, pid).since(before)
    for _ in eventually(30):
        if cost.refused >= refused:
            break
        cost = toll(house, metrics_url, pid).since(before)
    return cost
