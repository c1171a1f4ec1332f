"""The simulator as a program of its own: start, stop, and a log that a SIGKILL cannot spoil."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from entrypoints.simulator.log import Ended, TruthLog, read_log
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import CHAT

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def program(tmp_path: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port_file = tmp_path / "port"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "entrypoints.simulator", "--port-file", str(port_file), *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    line = (await asyncio.wait_for(child.stdout.readline(), 15)).decode()
    try:
        assert line == f"simulated Ollama backend on http://127.0.0.1:{int(port_file.read_text())}\n"
        yield child, line.split()[-1]
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(number: signal.Signals, tmp_path: Path, http: aiohttp.ClientSession) -> None:
    log = tmp_path / "log"

    async with (
        program(tmp_path, "--log", str(log), "--token-delay-ms", "50") as (child, url),
        http.post(f"{url}/api/chat", json=CHAT) as response,
    ):
        await response.content.readline()
        child.send_signal(number)
        assert await asyncio.wait_for(child.wait(), 5) == 0

    assert [entry.ended for entry in read_log(log)] == [Ended.STOPPED]


async def test_the_log_survives_a_kill(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    log = tmp_path / "log"

    async with program(tmp_path, "--log", str(log), "--token-delay-ms", "5", "--tokens", "1000") as (child, url):
        await (await http.post(f"{url}/api/chat", json={**CHAT, "options": {"num_predict": 2}})).read()
        async with http.post(f"{url}/api/chat", json=CHAT, headers={"x-request-id": "r-2"}) as response:
            for _ in range(7):
                await response.content.readline()
            child.kill()
            await child.wait()

    done, killed = read_log(log)
    assert (done.ended, done.output_tokens, done.max_tokens) == (Ended.DONE, 2, 2)
    assert (killed.ended, killed.request_id) == (Ended.DIED, "r-2")
    assert killed.prompt_tokens == 15
    assert killed.output_tokens >= 7
    assert killed.body == CHAT
    assert ("x-request-id", "r-2") in killed.headers


def test_two_servers_may_share_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = [TruthLog(path), TruthLog(path)]

    for log in logs:
        entry = log.start(method="POST", path="/api/chat", kind="inference", headers=[], request_id=None)
        log.received(entry, {"model": "m"})
        log.produced(entry, 3)
        log.end(entry, Ended.DONE)
        log.close()

    entries = read_log(path)
    assert len({entry.id for entry in entries}) == 2
    assert [(entry.output_tokens, entry.ended) for entry in entries] == [(3, Ended.DONE)] * 2
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert {entry.server_pid for entry in entries} == {os.getpid()}


async def test_stopping_cuts_what_is_in_flight(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(token_delay_s=0.05)

    async with http.post(f"{backend.url}/api/chat", json=CHAT) as response:
        await response.content.readline()
        await asyncio.wait_for(backend.stop(), 1)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert [entry.ended for entry in backend.world.entries()] == ["stopped"]


async def test_the_catalogue_may_come_from_a_file(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    models = tmp_path / "models.json"
    models.write_text('[{"name": "m:1b", "capabilities": ["completion"], "natural_tokens": 3}]')

    async with (
        program(tmp_path, "--models", str(models), "--version", "0.24.0") as (_, url),
        http.post(f"{url}/api/chat", json={**CHAT, "model": "m:1b", "stream": False}) as response,
    ):
        assert (await response.json())["eval_count"] == 3
