"""Gateways that are killed (SIGKILL) at a chosen await of a call: `python -m tests.canaries.dying`.

Settings come from the environment.

::

    a line "WHERE NTH" on stdin --> fork --> a gateway of its own, killed there
                                              |
                      its port on stdout <----+     then "killed" or "lived", when it has ended

One program forks them all, before it has any thread or loop: loading everything takes longer than each life.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback

import uvloop

from entrypoints.gateway import open_gateway
from entrypoints.launch import run_server
from entrypoints.listening import listen
from entrypoints.observing import set_up_logs
from entrypoints.settings import Settings
from tests.canaries.crashes import Crash, How, Planner


async def _serve(settings: Settings, crash: Crash) -> None:
    planner, stop = Planner(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = listen("127.0.0.1", 0)
    with planner.at_work(loop):
        async with open_gateway(settings) as gateway:
            await gateway.first_survey()
            server = asyncio.create_task(run_server(gateway, settings, listener, stop))
            planner.plan(crash)
            print(listener.getsockname()[1], os.getpid(), flush=True)  # noqa: T201  the answer to the line
            await server


def _live_and_die(where: str, nth: int) -> None:
    settings = Settings.from_environment(os.environ)
    set_up_logs(settings.log_level, settings.log_format)
    try:
        uvloop.run(_serve(settings, Crash(where, nth, How.PROCESS_IS_KILLED)))
    except BaseException:  # noqa: BLE001  nothing of the parent's may run in a child
        traceback.print_exc()
    os._exit(0)


def main() -> None:
    """Until standard input ends."""
    for line in sys.stdin:
        where, nth = line.split()
        child = os.fork()
        if child == 0:
            _live_and_die(where, int(nth))
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "lived", flush=True)  # noqa: T201  the answer to the line


if __name__ == "__main__":
    main()
