"""Loading, slots and keep-alive, as Ollama's scheduler does them (`server/sched.go`, `llm/server.go`).

There is one runner per set of weights. A request to a cold model, or one that wants another context length, stands in
the load queue, which is serial and holds at most `max_queue` waiting requests (OLLAMA_MAX_QUEUE); more get a 503. A
request to a loaded model skips that queue and waits, without any bound, on the runner's first-in-first-out slots
(OLLAMA_NUM_PARALLEL).

    cold --enter--> loading --load_delay--> loaded --last leave + keep_alive--> cold
                      | loader hangs up                 | keep_alive 0, or unload()
                      v                                 v
                    cold (the next one in line starts over)

A prompt whose client left is computed to its end although its slot is free at once: until then the runner evaluates
no other prompt (seen on 0.24.0).
"""

import asyncio
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from entrypoints.simulator.log import Entry
from entrypoints.simulator.models import Model
from entrypoints.simulator.refusal import Refused

FOR_EVER = timedelta(microseconds=(2**63 - 1) // 1000)  # Go's longest duration, about 292 years


class Slots:
    """A semaphore that serves strictly in order of arrival and says who waits."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    async def take(self) -> None:
        """Wait for a slot; a cancelled waiter leaves the line, and passes on what it was just given."""
        if self.free and not self._line:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            with suppress(ValueError):
                self._line.remove(turn)
            raise

    def give(self) -> None:
        """Give a slot back, to the first in line if there is one."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class Runner:
    """One set of weights: loaded or not, with how many slots taken.

    Time is the event loop's monotonic clock in seconds, except `expires_at`.
    """

    def __init__(self, model: Model, *, num_parallel: int, keep_alive_s: float) -> None:
        self.model = model
        self.context = 0  # tokens; 0 while cold
        self.keep_alive_s = keep_alive_s  # infinite for ever
        self.in_flight = 0
        self.lost = 0  # of those, how many have lost their slot and never leave
        self.slots = Slots(num_parallel)
        self.num_parallel = num_parallel
        self.idle = asyncio.Event()
        self.idle.set()
        self.abandoned_until = 0.0
        self._idle_since = 0.0

    @property
    def slots_taken(self) -> int:
        """How many slots are in use or lost."""
        return self.num_parallel - self.slots.free

    def is_loaded(self) -> bool:
        """Say whether the weights are in memory; expiry is noticed here, no timer runs."""
        if self.context and not self.in_flight and self._now() >= self._idle_since + self.keep_alive_s:
            self.context = 0
        return bool(self.context)

    def expires_at(self) -> datetime:
        """Return when the model will be unloaded if nobody comes."""
        if self.keep_alive_s == float("inf"):
            return datetime.now(UTC) + FOR_EVER
        left_s = self.keep_alive_s - (0 if self.in_flight else self._now() - self._idle_since)
        return datetime.now(UTC) + timedelta(seconds=left_s)

    def loaded(self, context: int) -> None:
        """Note that the weights are in memory now, with a context of so many tokens."""
        self.context = context
        self._idle_since = self._now()

    def entered(self) -> None:
        """Count a request in."""
        self.in_flight += 1
        self.idle.clear()

    def left(self) -> None:
        """Count a request out; the last one starts the keep-alive."""
        self.in_flight -= 1
        self._idle_since = self._now()
        if not self.in_flight:
            self.idle.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Runners:
    """All runners of a server, and the load queue before them."""

    def __init__(self, *, num_parallel: int, max_queue: int, load_delay_s: float, keep_alive_s: float) -> None:
        self.by_digest: dict[str, Runner] = {}
        self.load_waiting = 0
        self._num_parallel = num_parallel
        self._max_queue = max_queue
        self._load_delay_s = load_delay_s
        self._keep_alive_s = keep_alive_s
        self._loading = asyncio.Lock()

    def of(self, model: Model) -> Runner:
        """Return the runner for a model's weights, cold or loaded."""
        runner = self.by_digest.get(model.digest)
        if runner is None:
            runner = Runner(model, num_parallel=self._num_parallel, keep_alive_s=self._keep_alive_s)
            self.by_digest[model.digest] = runner
        return runner

    async def load(self, model: Model, *, context: int, keep_alive_s: float | None, entry: Entry) -> Runner:
        """Make the model loaded with that context; raises Refused (503) when the load queue is full.

        The keep-alive given here sticks to the runner; None leaves it.
        """
        runner = self.of(model)
        if not (runner.is_loaded() and runner.context == context):
            entry.phase = "loading"
            await self._wait_and_load(runner, context)
        if keep_alive_s is not None:
            runner.keep_alive_s = keep_alive_s
        return runner

    async def enter(self, model: Model, *, context: int, keep_alive_s: float | None, entry: Entry) -> Runner:
        """Load if need be and take a slot; whoever got one calls `leave`."""
        runner = await self.load(model, context=context, keep_alive_s=keep_alive_s, entry=entry)
        entry.phase = "queued"
        runner.entered()
        try:
            await runner.slots.take()
        except asyncio.CancelledError:
            runner.left()
            raise
        return runner

    def leave(self, runner: Runner, *, lose_slot: bool = False) -> None:
        """Give the slot back. `lose_slot` never does: the request is in there for ever, so the model stays loaded."""
        if lose_slot:
            runner.lost += 1
            return
        runner.slots.give()
        runner.left()

    def reset(self) -> None:
        """Forget every idle runner, lost slots and abandoned prompts with it."""
        self.by_digest = {digest: runner for digest, runner in self.by_digest.items() if runner.in_flight > runner.lost}

    async def _wait_and_load(self, runner: Runner, context: int) -> None:
        await self._first_in_line()
        try:
            if runner.is_loaded() and runner.context == context:
                return
            await runner.idle.wait()
            runner.context = 0
            await asyncio.sleep(self._load_delay_s)
            runner.loaded(context)
        finally:
            self._loading.release()

    async def _first_in_line(self) -> None:
        if self._loading.locked():
            if self.load_waiting >= self._max_queue:
                raise Refused(503, "server busy, please try again.  maximum pending requests exceeded")
            self.load_waiting += 1
            try:
                await self._loading.acquire()
            finally:
                self.load_waiting -= 1
        else:
            await self._loading.acquire()
