"""One child as its parent sees it: a program, and the line to it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence

import attrs
import structlog

from entrypoints.parent.line import Line, Word
from entrypoints.parent.programs import Program, Programs

METRICS_PATIENCE_S = 2.0
_log = structlog.get_logger("neuronetz")


@attrs.define(eq=False)
class Child:
    """One gateway process."""

    place: int
    """1 to N."""
    _program: Program
    _line: Line
    _stop_patience_s: float
    _on_news: Callable[[], None]
    """Is called after each change of what stands below."""
    listening: bool = False
    leaving: bool = False
    ended: bool = False
    killed: bool = False
    """Whether it did not stop in time."""
    _deadline: asyncio.TimerHandle | None = None
    _asked: list[asyncio.Future[bytes]] = attrs.field(factory=list)
    _tasks: list[asyncio.Task[None]] = attrs.field(factory=list)

    @classmethod
    async def start(
        cls,
        programs: Programs,
        arguments: Sequence[str],
        listener: socket.socket,
        *,
        place: int,
        stop_patience_s: float,
        on_news: Callable[[], None],
    ) -> Child:
        """Starts one.

        Args:
            programs: among which it then is.
            arguments: its command line, but for the descriptors that it is given.
            listener: the shared socket.
            place: 1 to N.
            stop_patience_s: after which one that was told to stop is killed.
            on_news: see above.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            line = await Line.over(ours)
            # From here on nothing is awaited: a cancellation would leave a program that nobody knows.
            fds = (listener.fileno(), theirs.fileno())
            options = ["--place", str(place), "--listener-fd", str(fds[0]), "--line-fd", str(fds[1])]
            program = programs.start([*arguments, *options], pass_fds=fds)
        _log.info("process_started", process=place, pid=program.pid)
        child = cls(place, program, line, stop_patience_s, on_news)
        child._tasks = [asyncio.create_task(child._listen()), asyncio.create_task(child._wait())]
        return child

    @property
    def started_s(self) -> float:
        """When, in the event loop's time."""
        return self._program.started_s

    @property
    def gone(self) -> bool:
        """Whether it accepts no connections any more, and never will."""
        return self.leaving or self.ended

    def let_go(self) -> None:
        """Lets it stop in order, if it does not do so already; when its time is over it is killed."""
        if self.listening:
            self._line.say(Word.LEAVE)
        elif self._deadline is None:
            self._program.send(signal.SIGTERM)  # it may be long before it listens to the line, and it serves nobody
        self._begin_to_wait()

    def hurry(self) -> None:
        """Lets it stop without waiting for running calls."""
        self._line.say(Word.HURRY)

    def kill(self) -> None:
        """Ends it as a fault would, with SIGKILL."""
        self._program.send(signal.SIGKILL)

    async def metrics(self) -> bytes | None:
        """Its exposition; None if it does not give it in time."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._line.say(Word.METRICS)
        try:
            async with asyncio.timeout(METRICS_PATIENCE_S):
                return await answer
        except (TimeoutError, EOFError):
            return None

    async def over(self) -> None:
        """Returns after its end."""
        await asyncio.wait(self._tasks)

    def _begin_to_wait(self) -> None:
        if self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._stop_patience_s, self._too_late)

    def _too_late(self) -> None:
        if not self.ended:
            _log.error("process_killed", process=self.place, pid=self._program.pid, after_s=self._stop_patience_s)
            self.killed = True
            self.kill()

    async def _listen(self) -> None:
        async for word, rest in self._line.words():
            match word:
                case Word.LISTENING:
                    self.listening = True
                    _log.info("process_ready", process=self.place, pid=self._program.pid)
                case Word.LEAVING:
                    self.leaving = True
                    self._begin_to_wait()
                case Word.METRICS:
                    self._answered(rest)
                case Word.LEAVE | Word.HURRY:
                    pass  # what a parent says
            self._on_news()
        for waiting in self._asked:
            if not waiting.done():
                waiting.set_exception(EOFError())
        self._line.close()

    def _answered(self, exposition: bytes) -> None:
        # Answers come in the order of the questions; one that nobody waits for any more takes its turn all the same.
        if self._asked:
            waiting = self._asked.pop(0)
            if not waiting.done():
                waiting.set_result(exposition)

    async def _wait(self) -> None:
        status = await self._program.ended()
        self.ended = True
        if self._deadline is not None:
            self._deadline.cancel()
        log = _log.info if status == 0 else _log.warning
        log("process_ended", process=self.place, pid=self._program.pid, **_how(status))
        self._on_news()


def _how(status: int) -> dict[str, int | str]:
    if status >= 0:
        return {"status": status}
    number = -status
    return {"signal": signal.Signals(number).name if number in set(signal.Signals) else str(number)}
