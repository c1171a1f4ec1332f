"""What the same requests are sent to, side by side: each is another program, and each adds a layer to the former.

direct         the simulated backend alone
hello          Hypercorn and Starlette, no upstream
hello, own     the same with our own HTTP/1 class (HTTP_PARSER=httptools)
relay          Hypercorn and Starlette with an upstream, passing bytes through
gateway, h11   the gateway with everything on: keys, limits, budgets, audit; with Hypercorn's HTTP/1 class
gateway        the same with our own
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence

import attrs

from tests.bench.accounts import Account, of_family, of_program
from tests.bench.load import Target
from tests.bench.stage import Stage
from tests.e2e.house import Key
from tests.e2e.programs import Gateway, Program, eventually, free_port, program_environment

_START_S = 30.0


@attrs.frozen(kw_only=True)
class Contender:
    """One of them: where it is, and whose CPU counts besides the load's."""

    target: Target
    accounts: Mapping[str, Account]


@contextlib.contextmanager
def bare(stage: Stage, kind: str, upstream: str = "", *, parser: str = "h11") -> Iterator[Contender]:
    """The bare stack; `kind` is hello or relay."""
    port = free_port()
    arguments = ["-m", "tests.bench.bare", kind, parser, str(port), upstream]
    program = Program(arguments, program_environment(), stage.house.folder, f"{kind}-{port}")
    try:
        _await_port(program, port)
        yield Contender(target=Target(f"http://127.0.0.1:{port}"), accounts={"own": of_program(program.pid)})
    finally:
        program.kill()
        program.stop()


def direct(upstream: str) -> Contender:
    """The backend itself; its own CPU is not of interest."""
    return Contender(target=Target(upstream), accounts={})


def through(stage: Stage, gateway: Gateway, keys: Sequence[Key]) -> Contender:
    """A gateway that is ready, with its stores."""
    accounts = {
        "own": of_family(gateway.pid),
        "postgres": of_family(stage.stores.postgres.pid),
        "valkey": of_program(stage.stores.valkey.pid),
    }
    return Contender(target=Target(gateway.url, [key.text for key in keys]), accounts=accounts)


@contextlib.contextmanager
def all_of(stage: Stage, keys: Sequence[Key], upstream: str, **settings: str) -> Iterator[dict[str, Contender]]:
    """The four, before one backend."""
    gateway = stage.house.add_gateway(OLLAMA_BASE_URL=upstream, **settings)
    gateway.wait_ready()
    try:
        with bare(stage, "hello") as hello, bare(stage, "relay", upstream) as relay:
            yield {
                "direct": direct(upstream),
                "hello": hello,
                "relay": relay,
                "gateway": through(stage, gateway, keys),
            }
    finally:
        gateway.stop()


@contextlib.contextmanager
def by_parser(stage: Stage, keys: Sequence[Key], upstream: str) -> Iterator[dict[str, Contender]]:
    """Two of them once more, each with the other HTTP/1 class than it has among `all_of`."""
    gateway = stage.house.add_gateway(OLLAMA_BASE_URL=upstream, HTTP_PARSER="h11")
    gateway.wait_ready()
    try:
        with bare(stage, "hello", parser="httptools") as hello:
            yield {"hello, own": hello, "gateway, h11": through(stage, gateway, keys)}
    finally:
        gateway.stop()


def _await_port(program: Program, port: int) -> None:
    for _ in eventually(_START_S):
        assert program.running, program.text()[-4000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
