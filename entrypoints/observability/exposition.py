"""All numbers of one gateway process, rendered when they are asked for.

::

    calls, as they end  ->  PrometheusCallObserver  -+
    the living parts    ->  PartsCollector          -+->  registry  ->  render  ->  listener, or the parent of several
    the loop, the process                           -+
"""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from adapters.prometheus.series import Histogram
from entrypoints.observability.live_parts import LiveParts, PartsCollector
from entrypoints.observability.loop_lag import LAG_SECONDS, measure_lag


class Exposition:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry, parts: LiveParts) -> None:
        """Takes the registry that calls are counted into, and adds the rest to it."""
        self._registry = registry
        self._parts = PartsCollector(parts)
        self._lag_s = Histogram(LAG_SECONDS)
        registry.register(self._parts)
        registry.register(self._lag_s)
        ProcessCollector(registry=registry)

    async def render(self) -> bytes:
        """Prometheus' text format. The loop is held up by the looking alone, some 0.1 ms."""
        self._parts.look()
        return await asyncio.to_thread(generate_latest, self._registry)

    async def run(self) -> None:
        """Measures what must be watched all the time. Until cancelled."""
        await measure_lag(self._lag_s)
