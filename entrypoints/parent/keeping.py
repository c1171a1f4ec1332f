"""The parent: starts N children, keeps them, replaces them one by one, and stops them together.

prepared (settings are whole, the database is migrated) -> listening -> the first child -> the others -> kept -> stopped

The first child goes ahead: if it cannot start, none can, and the parent ends instead of trying for ever. Later nothing
but a stop ends the parent.

A replaced child may drain for as long as its longest call, and the next place does not wait for that: there may be two
processes for each place for a while, and never more, however often a rolling restart is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence

import attrs
import structlog

from entrypoints.env_file import EnvFileError
from entrypoints.listening import listen
from entrypoints.observability.listener import OFF, serve_metrics
from entrypoints.parent.child import Child
from entrypoints.parent.merging import merged
from entrypoints.parent.programs import Programs
from entrypoints.parent.slot import Slot, Start
from entrypoints.parent.terminal import has_terminal
from entrypoints.settings import Settings, SettingsError

_MOST_PER_PLACE = 2
_FIXED = ("host", "port", "processes", "metrics_bind")
"""Settings that are the parent's own; they are read once."""
_log = structlog.get_logger("neuronetz")


class NotPrepared(Exception):
    """Something must be mended before a gateway can serve; has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class NoneListens(Exception):
    """The first child could not start."""


class SomeKilled(Exception):
    """Not every child stopped in time."""


@attrs.frozen(kw_only=True)
class Orders:
    """What the parent is told."""

    settings: Settings
    reread: Callable[[], Settings]
    """Reads them again: the environment is the same, the file may have changed."""
    program: Sequence[str]
    """Our own command line, up to the command."""
    stop_margin_s: float = 20.0
    """What a child that stops has beyond its drain time: for the linger before it, and the last settlements after."""
    start_patience_s: float = 60.0
    """For a child to listen: it has the stores to reach, and a machine that may be busy."""


def keep(orders: Orders) -> None:
    """Serves with several processes until a signal says to stop.

    Raises:
        NotPrepared: a setting is wrong, or the database cannot be migrated.
        PortTaken: the port cannot be listened on.
        MetricsPortTaken: nor that of the metrics.
        NoneListens: no child can start.
        SomeKilled: a child did not stop in time.
    """
    asyncio.run(Parent(orders).run())


class Parent:
    """One run of it."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._settings = orders.settings
        self._programs = Programs()
        self._children: set[Child] = set()
        """All that live, those that drain among them."""
        self._watching: set[asyncio.Task[None]] = set()
        self._slots: Sequence[Slot] = ()
        self._stop = asyncio.Event()
        self._roll = asyncio.Event()
        self._one_less = asyncio.Event()
        self._had_terminal = False
        self._killed = 0

    async def run(self) -> None:
        """Until a signal says to stop."""
        self._programs.collect_ends()
        self._hear_signals()
        try:
            await self._unless_stopped(self._serve())
        finally:
            await self._let_all_go()
        if self._killed:
            raise SomeKilled(
                f"{self._killed} of the processes did not stop in time and had to be killed. What they held is closed "
                "by another gateway, or by the next one that starts, after PROCESS_DEAD_AFTER_S."
            )

    # -- signals ------------------------------------------------------------------------------------------------

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        # Whoever started us with SIGHUP ignored wants to outlive the terminal; then it can only mean the other thing.
        self._had_terminal = has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_roll)

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            for child in self._children:
                child.hurry()
        self._stop.set()

    def _told_to_roll(self) -> None:
        if self._had_terminal and not has_terminal():
            self._told_to_stop()  # it was closed
        else:
            self._roll.set()

    # -- serving ------------------------------------------------------------------------------------------------

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> None:
        """Does the work until it fails or a signal says to stop."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if task.done():
            await task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _serve(self) -> None:
        await self._prepare()
        settings = self._settings
        # The parent's copy goes with the block, so that nobody is left waiting in a queue when all have stopped.
        with listen(settings.host, settings.port) as listener:
            async with self._metrics(settings.metrics_bind):
                patience_s, start = self._orders.start_patience_s, self._starter(listener)
                self._slots = [Slot(place + 1, start, patience_s) for place in range(settings.processes)]
                await self._begin()
                _log.info("serving", host=settings.host, port=settings.port, processes=settings.processes)
                async with asyncio.TaskGroup() as group:
                    for slot in self._slots:
                        group.create_task(slot.keep())
                    group.create_task(self._roll_whenever_told())

    async def _prepare(self) -> None:
        """In a program of its own: it reads what is installed now, and the parent stays small.

        Raises:
            NotPrepared: it has sentences to say.
        """
        program = self._programs.start([*self._orders.program, "serve-prepare"], read=True)
        try:
            status = await program.ended()
        except asyncio.CancelledError:
            program.send(signal.SIGTERM)
            raise
        if status != 0:
            told = [line for line in program.output().splitlines() if line]
            raise NotPrepared(told or [f"Preparing failed (exit status {status}); see above."])

    def _metrics(self, bind: str) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext() if bind == OFF else serve_metrics(bind, self._exposition)

    async def _exposition(self) -> bytes:
        children = [slot.child for slot in self._slots if slot.child is not None and slot.child.listening]
        told = await asyncio.gather(*(child.metrics() for child in children))
        known = {child.place: text for child, text in zip(children, told, strict=True) if text is not None}
        return merged(known, running=len(children), restarts=sum(slot.restarts for slot in self._slots))

    async def _begin(self) -> None:
        first, *others = self._slots
        await first.begin()
        if not await first.begun():
            raise NoneListens("No gateway process could be started; what it said stands above.")
        for slot in others:
            await slot.begin()

    def _starter(self, listener: socket.socket) -> Start:
        async def start(place: int, on_news: Callable[[], None], *, must_be_ready: bool) -> Child:
            options = ["--only-when-ready"] if must_be_ready else []
            child = await Child.start(
                self._programs,
                [*self._orders.program, "serve-child", *options],
                listener,
                place=place,
                stop_patience_s=self._settings.drain_timeout_s + self._orders.stop_margin_s,
                on_news=on_news,
            )
            self._children.add(child)
            self._watching.add(watch := asyncio.create_task(self._forget_after(child)))
            watch.add_done_callback(self._watching.discard)
            return child

        return start

    async def _forget_after(self, child: Child) -> None:
        await child.over()
        self._killed += child.killed and self._stop.is_set()
        self._children.discard(child)
        self._one_less.set()

    # -- rolling ------------------------------------------------------------------------------------------------

    async def _roll_whenever_told(self) -> None:
        while True:
            await self._roll.wait()
            self._roll.clear()
            try:
                await self._roll_once()
            except (SettingsError, EnvFileError, NotPrepared, OSError) as error:
                _log.error("rolling_restart_refused", reasons=str(error).splitlines())

    async def _roll_once(self) -> None:
        settings = self._orders.reread()
        changed = [name.upper() for name in _FIXED if getattr(settings, name) != getattr(self._settings, name)]
        if changed:
            _log.warning("settings_wait_for_a_restart", names=changed)
        await self._prepare()
        self._settings = settings
        _log.info("rolling_restart", processes=len(self._slots))
        for slot in self._slots:
            await self._room()
            if not await slot.replace():
                _log.error("rolling_restart_broken_off", process=slot.place)
                return
        _log.info("rolling_restart_done", processes=len(self._slots))

    async def _room(self) -> None:
        """Waits while former children that drain are as many as there are places."""
        while len(self._children) >= _MOST_PER_PLACE * len(self._slots):
            self._one_less.clear()
            await self._one_less.wait()

    # -- stopping -----------------------------------------------------------------------------------------------

    async def _let_all_go(self) -> None:
        if self._children:
            _log.info("stopping", processes=len(self._children))
        for child in self._children:
            child.let_go()
        while self._children:
            self._one_less.clear()
            await self._one_less.wait()
