"""Numbers that are cheap to change: a family's series, by their labels, as Prometheus' client collects them.

The client's own counters and histograms cost a lock and a method for each change, 30 to 40 us a call in all; these cost
an addition. They may be, because one thread alone changes them, the event loop's. Rendering may be done by another: it
copies before it looks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import attrs
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adapters.prometheus.families import Family

Labels = tuple[str, ...]
_NO_LABELS: Labels = ()


class Counts(Collector):
    """The series of a counter."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._series: dict[Labels, int] = {}

    def add(self, labels: Labels = _NO_LABELS, amount: int = 1) -> None:
        """Counts on. With an amount of 0 the series is there from now on."""
        self._series[labels] = self._series.get(labels, 0) + amount

    def collect(self) -> Iterable[Metric]:
        """As Prometheus' client asks for it."""
        metric = CounterMetricFamily(self._family.name, self._family.meaning, labels=self._family.labels)
        for labels, count in list(self._series.items()):
            metric.add_metric(labels, count)
        yield metric


@attrs.define
class _Buckets:
    counts: list[int]
    """The last is for what no bound holds."""
    total: float = 0.0


class Histogram(Collector):
    """The series of a histogram."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._bounds = family.bounds
        self._names = [*(f"{bound:.10g}" for bound in family.bounds), "+Inf"]
        self._series: dict[Labels, _Buckets] = {}
        if not family.labels:
            self._series[_NO_LABELS] = self._empty()

    def see(self, value: float, labels: Labels = _NO_LABELS) -> None:
        """Puts a value into its bucket."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._empty()
        series.counts[bisect_left(self._bounds, value)] += 1
        series.total += value

    def collect(self) -> Iterable[Metric]:
        """As Prometheus' client asks for it."""
        metric = HistogramMetricFamily(self._family.name, self._family.meaning, labels=self._family.labels)
        for labels, series in list(self._series.items()):
            metric.add_metric(labels, self._cumulative(list(series.counts)), series.total)
        yield metric

    def _empty(self) -> _Buckets:
        return _Buckets([0] * (len(self._bounds) + 1))

    def _cumulative(self, counts: Sequence[int]) -> Sequence[tuple[str, float]]:
        so_far = 0
        buckets = []
        for name, count in zip(self._names, counts, strict=True):
            so_far += count
            buckets.append((name, float(so_far)))
        return buckets
