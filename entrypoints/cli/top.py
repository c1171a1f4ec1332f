"""The command that shows what happens now, again every second, until q or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator

import attrs
import rich_click as click
from rich.console import Console
from rich.live import Live

from domain.faults import BackendFault, StoreUnavailable
from domain.ports.turns import TurnStanding
from entrypoints.cli.printing import emit_json, examples, json_option
from entrypoints.cli.session import Session
from entrypoints.cli.top_screen import Frame, document, print_frame, screen, tenants_that_fit
from entrypoints.operator_tools import OperatorTools
from entrypoints.settings import Settings

_EVERY_S = 1.0
_PROBE_EVERY_S = 10.0
_PROBE_S = 3.0
_MOST_TENANTS = 50


@click.command("top", epilog=examples("neuronetz-gateway top", "neuronetz-gateway top --once"))
@click.option("--once", is_flag=True, help="Show it once, in plain lines; so it does anyway without a terminal.")
@json_option
@click.pass_obj
def top(session: Session, *, once: bool, as_json: bool) -> None:
    """Show what happens now: calls, queue, backends, tenants. q or Ctrl-C leaves."""
    if as_json or once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        frame = session.run(lambda tools: _one_frame(session, tools))
        if as_json:
            emit_json(document(frame))
        else:
            print_frame(frame)
        return
    with contextlib.suppress(KeyboardInterrupt):
        session.run(lambda tools: _live(session, tools))


async def _one_frame(session: Session, tools: OperatorTools) -> Frame:
    watched = _Watched(session, session.settings)
    await watched.probe_all()
    return await watched.frame(tools, _MOST_TENANTS)


async def _live(session: Session, tools: OperatorTools) -> None:
    console = Console(highlight=False)
    watched = _Watched(session, session.settings)
    frame = await watched.frame(tools, tenants_that_fit(console.height, len(watched.at_once)))
    probing = asyncio.create_task(watched.keep_probing())
    try:
        with q_pressed(sys.stdin.fileno()) as left, Live(console=console, screen=True, auto_refresh=False) as live:
            while not left.is_set():
                live.update(screen(frame, console.height), refresh=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(left.wait(), _EVERY_S)
                frame = await watched.next_frame(tools, frame, tenants_that_fit(console.height, len(watched.at_once)))
    finally:
        probing.cancel()


@attrs.define
class _Watched:
    """What is asked for a frame. Backends are asked seldom and beside, because one that is down answers late."""

    session: Session
    settings: Settings
    healthy: dict[str, bool] = attrs.field(factory=dict)

    @property
    def at_once(self) -> dict[str, int]:
        return {address.name: address.most_in_flight for address in self.settings.addresses}

    async def frame(self, tools: OperatorTools, most_tenants: int) -> Frame:
        activity, standing = await asyncio.gather(
            tools.usage.activity(alive_within_s=self.settings.process_dead_after_s, most_tenants=most_tenants),
            _standing(tools),
        )
        return Frame(activity=activity, standing=standing, at_once=self.at_once, healthy=dict(self.healthy))

    async def next_frame(self, tools: OperatorTools, former: Frame, most_tenants: int) -> Frame:
        """The next, or while PostgreSQL is away the former one, which says so."""
        try:
            return await self.frame(tools, most_tenants)
        except StoreUnavailable as fault:
            return attrs.evolve(former, trouble=f"{fault.sentence} This is how it was before.")

    async def keep_probing(self) -> None:
        while True:
            await self.probe_all()
            await asyncio.sleep(_PROBE_EVERY_S)

    async def probe_all(self) -> None:
        await asyncio.gather(*(self._probe(backend.name) for backend in self.settings.backends))

    async def _probe(self, name: str) -> None:
        address = next(address for address in self.settings.addresses if address.name == name)
        try:
            async with asyncio.timeout(_PROBE_S):
                await self.session.probe(address)
        except (BackendFault, TimeoutError):
            self.healthy[name] = False
        else:
            self.healthy[name] = True


async def _standing(tools: OperatorTools) -> TurnStanding | None:
    if tools.turns is None:
        return None
    try:
        return await tools.turns.standing()
    except StoreUnavailable:
        return None


@contextlib.contextmanager
def q_pressed(keys: int) -> Iterator[asyncio.Event]:
    """Set once q is pressed. The terminal hands keys on at once meanwhile, and shows none."""
    left, loop = asyncio.Event(), asyncio.get_running_loop()
    before = termios.tcgetattr(keys)

    def read() -> None:
        # All that was typed: what `sys.stdin` has read ahead, no selector sees.
        typed = os.read(keys, 1024)
        if not typed or b"q" in typed.lower():
            left.set()

    tty.setcbreak(keys)
    loop.add_reader(keys, read)
    try:
        yield left
    finally:
        loop.remove_reader(keys)
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
