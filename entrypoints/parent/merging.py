"""Several processes' metrics as one exposition: every sample is told apart by the label `process`, 1 to N.

Nothing is added up: what may be added is for the query to say, and a counter that restarts with its process is then a
counter that restarts, as Prometheus expects, rather than a sum that falls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def merged(expositions: Mapping[int, bytes], *, running: int, restarts: int) -> bytes:
    """One exposition.

    Args:
        expositions: place of a process -> what it told.
        running: processes that serve.
        restarts: how many were started again since the parent's own start.
    """
    families: dict[str, Metric] = {}
    for place, text in sorted(expositions.items()):
        for family in text_string_to_metric_families(text.decode()):
            kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            kept.samples += [
                sample._replace(labels={**sample.labels, "process": str(place)}) for sample in family.samples
            ]
    registry = CollectorRegistry()
    registry.register(_Families([*families.values(), *_own(running, restarts)]))
    return generate_latest(registry)


def _own(running: int, restarts: int) -> Sequence[Metric]:
    return [
        GaugeMetricFamily("neuronetz_processes", "Gateway processes that serve.", running),
        CounterMetricFamily(
            "neuronetz_process_restarts", "Gateway processes that ended by themselves and were started again.", restarts
        ),
    ]
