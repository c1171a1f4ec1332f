"""Sockets, start and stop, and the command line of the simulated backend.

SIGTERM and SIGINT end it at once, answers in flight included: Ollama does not drain either.
"""

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
from aiohttp import web

from entrypoints.simulator.app import make_app
from entrypoints.simulator.models import DEFAULT_MODELS, Model
from entrypoints.simulator.world import Settings, World

_BACKLOG = 4096
_SHUTDOWN_S = 0.01


@attrs.frozen(kw_only=True)
class Running:
    """A simulated backend that accepts connections."""

    world: World
    host: str
    port: int
    _runner: web.AppRunner

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Stop listening and cut what is in flight; the log says `stopped` for it."""
        self.world.stopping = True
        await self._runner.cleanup()
        self.world.log.close()


async def start(world: World, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None) -> Running:
    """Start serving a world on an address (port 0: any free one) or on a socket already bound."""
    runner = web.AppRunner(
        make_app(world),
        handler_cancellation=True,  # a hang-up must reach generation at once
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    server = runner.server
    if server is not None:
        world.count_connections = lambda: len(server.connections)
    site: web.BaseSite
    if sock is None:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    else:
        site = web.SockSite(runner, sock, backlog=_BACKLOG)
    await site.start()
    bound_host, bound_port = runner.addresses[0][:2]
    return Running(world=world, host=bound_host, port=bound_port, runner=runner)


def main(argv: Sequence[str], *, prog: str = "python -m entrypoints.simulator", port: int = 0) -> int:
    """Run the backend until SIGTERM or SIGINT; returns the exit status.

    Args:
        argv: the options.
        prog: what it was called by, for its help.
        port: to listen on when the options do not say.
    """
    options = _parser(prog, port).parse_args(argv)
    with asyncio.Runner(loop_factory=_loop_factory()) as loop_runner:
        loop_runner.run(_serve_until_signal(options))
    return 0


async def _serve_until_signal(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await start(World(_settings(options)), options.host, options.port)
    if options.port_file:
        _write_at_once(options.port_file, f"{running.port}\n")
    sys.stdout.write(f"simulated Ollama backend on {running.url}\n")
    sys.stdout.flush()
    try:
        await stop.wait()
    finally:
        await running.stop()


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        version=options.version,
        models=_read_models(options.models) if options.models else DEFAULT_MODELS,
        tokens=options.tokens,
        token_delay_s=options.token_delay_ms / 1000,
        prompt_delay_s_per_token=options.prompt_delay_ms_per_token / 1000,
        load_delay_s=options.load_delay_ms / 1000,
        resets_cost_slots=options.resets_cost_slots,
        num_parallel=options.num_parallel,
        max_queue=options.max_queue,
        keep_alive_s=options.keep_alive_s,
        context_length=options.context_length,
        recordings_dir=options.recordings,
        log_path=options.log,
        log_tokens_per_line=options.log_tokens_per_line,
        keep_entries=options.keep_entries,
        check_host=_is_loopback(options.host),
    )


def _read_models(path: Path) -> tuple[Model, ...]:
    """Read a catalogue, e.g. `[{"name": "llama3:8b", "capabilities": ["completion"], "natural_tokens": 100}]`."""
    listed: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())
    return tuple(Model(**_with_tuples(fields)) for fields in listed)


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not that there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _parser(prog: str, port: int) -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A simulated Ollama: its wire, and no model behind it.",
        formatter_class=_Help,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=port, help="TCP port to listen on; 0 for any free one")
    add("--port-file", type=Path, help="write the port there once connections are accepted")
    add("--log", type=Path, help="append the log of truth there, as JSON lines")
    add("--log-tokens-per-line", type=int, default=defaults.log_tokens_per_line, help="0: no lines per token")
    add("--keep-entries", type=int, default=defaults.keep_entries, help="newest log entries kept in memory")
    add("--recordings", type=Path, help="folder of recordings that can be replayed")
    add("--models", type=Path, help="JSON list of models: objects with the fields of `models.Model`")
    add("--version", default=defaults.version, help="what /api/version says")
    add("--tokens", type=int, default=defaults.tokens, help="natural length of an answer")
    add("--token-delay-ms", type=float, default=0.0, help="milliseconds before each token of an answer")
    add("--prompt-delay-ms-per-token", type=float, default=0.0, help="milliseconds to read each token of a prompt")
    add("--load-delay-ms", type=float, default=0.0, help="milliseconds to load a model")
    add("--resets-cost-slots", action="store_true", help="a reset costs a slot for ever, as Ollama's may")
    add("--num-parallel", type=int, default=defaults.num_parallel, help="slots per model")
    add("--max-queue", type=int, default=defaults.max_queue, help="requests that may wait for a load")
    add("--keep-alive-s", type=float, default=defaults.keep_alive_s, help="idle seconds before an unload")
    add("--context-length", type=int, default=defaults.context_length, help="tokens of context per slot")
    return parser


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def _write_at_once(path: Path, text: str) -> None:
    """Write a file so that no reader ever sees half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
