"""Samples of what must not grow: each gateway process by the system's account and its own metrics, and the stores.

Every sample goes to a file of lines `seconds,what,value` at once, so that a run that is broken off leaves what it saw.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import httpx
import redis
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.accounts import children, footprint
from tests.bench.stage import Stage
from tests.soak.slopes import Slope, slope_of

_MIB = 1024 * 1024
_KIB_IN_MIB = 1024
_MINUTE_S = 60.0
_OWN_METRICS = (
    "neuronetz_in_flight",
    "neuronetz_asyncio_tasks",
    "neuronetz_settlements_waiting",
    "neuronetz_notes_waiting",
    "neuronetz_prompts_waiting",
)
_TABLES = ("audit", "holds", "budget_windows", "processes", "prompts")


@attrs.frozen(kw_only=True)
class Tolerance:
    """When a figure that grows is a leak: its slope is surely above this, after it has had time to settle."""

    per_hour: float
    part_per_hour: float = 0.0
    """Of the figure itself, if that is more."""
    settles_s: float = 10 * _MINUTE_S

    def above(self, value: float) -> float:
        """What a figure of this size may grow by in an hour."""
        return max(self.per_hour, self.part_per_hour * value)


TOLERANCES: Mapping[str, Tolerance] = {
    "rss MiB": Tolerance(per_hour=6.0),
    "pss MiB": Tolerance(per_hour=6.0),
    "fds": Tolerance(per_hour=8.0),
    "threads": Tolerance(per_hour=1.0),
    "neuronetz_asyncio_tasks": Tolerance(per_hour=8.0),
    "neuronetz_settlements_waiting": Tolerance(per_hour=5.0),
    "neuronetz_notes_waiting": Tolerance(per_hour=50.0),
    # Redis remembers each request for 15 minutes, so it grows that long.
    "redis keys": Tolerance(per_hour=2000.0, part_per_hour=0.05, settles_s=20 * _MINUTE_S),
    "redis memory MiB": Tolerance(per_hour=4.0, part_per_hour=0.05, settles_s=20 * _MINUTE_S),
    "valkey resident MiB": Tolerance(per_hour=6.0, part_per_hour=0.05, settles_s=20 * _MINUTE_S),
    "postgres connections": Tolerance(per_hour=2.0),
    "open holds": Tolerance(per_hour=20.0),
}
"""By the end of a figure's name. What is not named here may grow: the audit must."""
LEAST_JUDGED_S = 15 * _MINUTE_S
"""Shorter than this, a slope by the hour says nothing."""


@attrs.frozen(kw_only=True)
class Row:
    """One figure over the run."""

    what: str
    first: float
    last: float
    slope: Slope | None
    leaks: bool


class Samples:
    """All samples of a run."""

    def __init__(self, place: Path) -> None:
        self.points: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._place = place
        place.write_text("seconds,what,value\n")

    def add(self, at_s: float, values: Mapping[str, float]) -> None:
        """Takes in what was seen at one time."""
        for what, value in values.items():
            self.points[what].append((at_s, value))
        with self._place.open("a") as file:
            file.writelines(f'{at_s:.1f},"{what}",{value:.6g}\n' for what, value in values.items())

    def rows(self, until_s: float) -> Iterator[Row]:
        """Each figure's line, warm-up left out; of a short run, a third of it is warm-up."""
        for what, points in sorted(self.points.items()):
            tolerance = tolerance_of(what)
            settles_s = min(tolerance.settles_s if tolerance else 10 * _MINUTE_S, until_s / 3)
            settled = [point for point in points if point[0] >= settles_s] or points
            slope = slope_of(settled)
            long_enough = settled[-1][0] - settled[0][0] >= LEAST_JUDGED_S
            leaks = bool(long_enough and tolerance and slope and slope.at_least > tolerance.above(settled[0][1]))
            yield Row(what=what, first=settled[0][1], last=settled[-1][1], slope=slope, leaks=leaks)


def tolerance_of(what: str) -> Tolerance | None:
    """The one for a figure, if it must not grow."""
    return next((tolerance for end, tolerance in TOLERANCES.items() if what.endswith(end)), None)


@attrs.frozen(kw_only=True)
class Sampler:
    """Looks at everything once."""

    stage: Stage
    gateways: Callable[[], Sequence[int]]
    """The processes that serve, by pid, in a steady order."""
    metrics_urls: Sequence[str] = ()

    def look(self) -> Mapping[str, float]:
        """What can be seen now; a part that does not answer is left out."""
        found: dict[str, float] = {}
        for part in (self._processes, self._own_metrics, self._redis, self._postgres, self._backend):
            with contextlib.suppress(OSError, httpx.HTTPError, redis.RedisError, ValueError):
                found |= part()
        return found

    def _processes(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for number, pid in enumerate(self.gateways(), 1):
            with contextlib.suppress(OSError):
                held = footprint(pid)
                found |= {
                    f"gateway {number} rss MiB": held.rss_kib / _KIB_IN_MIB,
                    f"gateway {number} pss MiB": held.pss_kib / _KIB_IN_MIB,
                    f"gateway {number} fds": held.fds,
                    f"gateway {number} threads": held.threads,
                }
        return found

    def _own_metrics(self) -> Mapping[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        for number, url in enumerate(self.metrics_urls, 1):
            for family in text_string_to_metric_families(httpx.get(url, timeout=10).text):
                for sample in family.samples:
                    if sample.name in _OWN_METRICS and not math.isnan(sample.value):
                        found[f"gateway {sample.labels.get('process', number)} {sample.name}"] += sample.value
        return dict(found)

    def _redis(self) -> Mapping[str, float]:
        with redis.Redis.from_url(self.stage.house.redis_url, socket_timeout=10) as client:
            return {
                "redis memory MiB": client.info("memory")["used_memory"] / _MIB,
                "redis keys": float(client.dbsize()),
                "redis connections": float(client.info("clients")["connected_clients"]),
                "valkey resident MiB": footprint(self.stage.stores.valkey.pid).rss_kib / _KIB_IN_MIB,
            }

    def _postgres(self) -> Mapping[str, float]:
        house = self.stage.house
        sizes = house.rows(
            "select t as name, coalesce((select sum(pg_total_relation_size(relid))"
            " from pg_partition_tree(t::regclass)), 0)::bigint as size from unnest(%s::text[]) t"
            " where to_regclass('neuronetz.' || t) is not null",
            list(_TABLES),
        )
        connections = house.rows("select count(*) as n from pg_stat_activity where datname = current_database()")
        postmaster = self.stage.stores.postgres.pid
        shares = [footprint(pid).pss_kib for pid in (postmaster, *children(postmaster))]
        return {
            "postgres connections": float(connections[0]["n"]),
            "postgres resident MiB": sum(shares) / _KIB_IN_MIB,
            "open holds": float(house.open_holds()),
            **{f"table {row['name']} MiB": row["size"] / _MIB for row in sizes},
        }

    def _backend(self) -> Mapping[str, float]:
        state = self.stage.house.simulator.state()
        return {
            "backend in flight": float(sum(state["in_flight"].values())),
            "backend connections": float(state["open_connections"]),
        }


@attrs.define
class Clock:
    """Seconds since the run began."""

    _began_s: float = attrs.field(factory=time.monotonic)

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began_s
