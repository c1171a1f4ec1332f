"""`python -m tests.acceptance.caddy`: what Caddy with TLS adds to the time until the first byte. Nothing is asserted.

The official `openai` client streams, over one kept connection each, in turn directly to the gateway and through Caddy
with the example Caddyfile, so that drift of the machine falls on both. Asked for: less than 10 ms at p50.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.table import Table

from entrypoints.embedded import start_stores
from tests.e2e.house import House, Key
from tests.infra.front import Front
from tests.infra.tools import found

_WARM_UP = 5
_QUESTION: Any = [{"role": "user", "content": "Tell me something about gateways, please."}]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.caddy", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=50, help="of each kind")
    return parser.parse_args()


def first_byte_ms(client: openai.OpenAI) -> float:
    """The time until the first piece of one streamed answer, which is then read to its end."""
    began = time.perf_counter()
    stream = client.chat.completions.create(model="sim-chat", messages=_QUESTION, stream=True, max_tokens=16)
    next(iter(stream))
    took_ms = (time.perf_counter() - began) * 1000
    for _ in stream:
        pass
    return took_ms


def _percentile(times_ms: list[float], share: float) -> float:
    return sorted(times_ms)[min(int(len(times_ms) * share), len(times_ms) - 1)]


def _show(direct: list[float], through: list[float], *, shown_on: Console) -> None:
    table = Table(title=f"time to first byte, {len(direct)} streams each")
    for heading in ("", "p50", "p99"):
        table.add_column(heading, justify="right" if heading else "left")
    shares = (0.50, 0.99)
    rows = {"gateway": direct, "Caddy with TLS, then gateway": through}
    for name, times_ms in rows.items():
        table.add_row(name, *(f"{_percentile(times_ms, share):.1f} ms" for share in shares))
    added = (_percentile(through, share) - _percentile(direct, share) for share in shares)
    table.add_row("added", *(f"{ms:+.1f} ms" for ms in added))
    shown_on.print(table)


@contextlib.contextmanager
def _clients(house: House, front: Front, key: Key) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    believing = openai.DefaultHttpxClient(verify=front.trust())
    with (
        openai.OpenAI(base_url=f"{house.url}/v1", api_key=key.text, max_retries=0) as direct,
        openai.OpenAI(base_url=f"{front.url}/v1", api_key=key.text, max_retries=0, http_client=believing) as through,
    ):
        yield direct, through


def _measure(house: House, requests: int) -> tuple[list[float], list[float]]:
    front = Front(house.gateways[0].port, house.folder)
    measured: tuple[list[float], list[float]] = ([], [])
    try:
        front.wait_ready()
        with _clients(house, front, house.new_key()) as clients:
            for number in range(_WARM_UP + requests):
                for client, times_ms in zip(clients, measured, strict=True):
                    took_ms = first_byte_ms(client)
                    if number >= _WARM_UP:
                        times_ms.append(took_ms)
    finally:
        front.stop()
    return measured


def _passable(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The servers' own account must be able to pass, when we are root."""
    folder.chmod(0o755)
    return contextlib.nullcontext()


def main() -> int:
    """Runs it."""
    options = _arguments()
    if found("caddy") is None:
        print("There is no caddy: install Debian's, or name one with CADDY_TEST_BIN.", file=sys.stderr)  # noqa: T201  a program for a person
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="nzcaddy", dir="/var/tmp") as folder,
        _passable(Path(folder)),
        start_stores(Path(folder) / "state", durable=True) as stores,
        House.open(stores, Path(folder), TRUSTED_PROXIES="127.0.0.1/32") as house,
    ):
        house.add_gateway().wait_ready()
        direct, through = _measure(house, options.requests)
    _show(direct, through, shown_on=Console(width=80))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
