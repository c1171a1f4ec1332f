"""How late the event loop is: what a timer that is due waits until it runs.

Everything in a gateway process shares one loop, so whatever holds it up holds up every stream at once.
"""

from __future__ import annotations

import asyncio

from adapters.prometheus.families import Family, Kind
from adapters.prometheus.series import Histogram

EVERY_S = 0.5
LAG_SECONDS = Family(
    name="neuronetz_event_loop_lag_seconds",
    kind=Kind.HISTOGRAM,
    meaning="How late the event loop was, looked at twice a second.",
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)


async def measure_lag(lag_s: Histogram) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        lag_s.see(max(0.0, loop.time() - due_s))
