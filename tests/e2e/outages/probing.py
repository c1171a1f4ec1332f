"""A probe every tenth of a second, whatever became of those before it, and streams that run across an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from types import TracebackType
from typing import Self

import httpx

from tests.e2e.outages.asking import DIALECTS, Told, ask
from tests.e2e.outages.site import TOKEN_DELAY_MS, Site
from tests.e2e.programs import eventually

EVERY_S = 0.1
STREAMS_S = (0.7, 1.5, 2.5)
"""How long the streams run, one in each dialect: some end while the store is away."""
_IN_A_ROW = 5


class Probing:
    """Probes from now on; the streams have begun when the block does."""

    def __init__(self, site: Site, *, paths: Sequence[str] = DIALECTS) -> None:
        """Takes which dialects the probes take turns in."""
        self._site = site
        self._paths = cycle(paths)
        self._stop = threading.Event()
        self._many = ThreadPoolExecutor(max_workers=64)
        self._client = site.house.client(site.key, limits=httpx.Limits(max_connections=None))
        self._thread = threading.Thread(target=self._run)
        self._streams: list[Future[Told]] = []
        self._probes: list[Future[Told]] = []

    def __enter__(self) -> Self:
        for path, length_s in zip(DIALECTS, STREAMS_S, strict=True):
            tokens = round(length_s * 1000 / TOKEN_DELAY_MS)
            self._streams.append(self._many.submit(ask, self._client, path, tokens=tokens, stream=True))
        for _ in eventually(10):
            running = [one for one in self._site.house.simulator.log() if one["ended"] == "running"]
            if sum(one["output_tokens"] > 2 for one in running) == len(DIALECTS):
                break
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._many.shutdown()
        self._client.close()

    def streams(self) -> Sequence[Told]:
        """What the streams were told, once they have ended."""
        return [future.result(30) for future in self._streams]

    def told(self) -> Sequence[Told]:
        """The probes that have ended, in the order of their sending."""
        return [future.result() for future in list(self._probes) if future.done()]

    def until(self, enough: Callable[[Sequence[Told]], bool], within_s: float = 10) -> None:
        """Waits until the probes' answers are so."""
        for _ in eventually(within_s):
            if enough(self.told()):
                return

    def served_again_s(self, since_s: float, within_s: float = 20) -> float:
        """Seconds from `since_s` to the end of the first call sent later that was served; waits until more are."""

        def in_a_row(told: Sequence[Told]) -> bool:
            last = [one for one in told if one.sent_at_s >= since_s][-_IN_A_ROW:]
            return len(last) == _IN_A_ROW and all(one.served for one in last)

        self.until(in_a_row, within_s)
        return min(one.ended_at_s for one in self.told() if one.served and one.sent_at_s > since_s) - since_s

    def _run(self) -> None:
        while not self._stop.is_set():
            self._probes.append(self._many.submit(ask, self._client, next(self._paths)))
            time.sleep(EVERY_S)
