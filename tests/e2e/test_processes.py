"""Several gateway processes behind one port: what clients notice when they come and go, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.acceptance.several import events, living, none_left, send, wait_for
from tests.acceptance.traffic import Told, Traffic
from tests.e2e.house import House
from tests.e2e.programs import Gateway, Program, eventually, free_port, program_environment

STREAMS = 20
OPTIONS = ("--num-parallel", "200", "--tokens", "2000", "--token-delay-ms", "30", "--log-tokens-per-line", "0")
ROOM = {
    "PROCESSES": "2", "BACKEND_MAX_IN_FLIGHT": "200", "LIMITER_TIMEOUT_MS": "3000", "LEDGER_TIMEOUT_S": "3",
    "PROCESS_BEAT_S": "1", "PROCESS_DEAD_AFTER_S": "4",
}  # fmt: skip


@pytest.fixture(scope="module")
def several(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("several"), *OPTIONS, **ROOM) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(several: House) -> Gateway:
    """Two processes that several tests share: each leaves two."""
    return begun(several.add_gateway(DRAIN_TIMEOUT_S="20"))


def begun(gateway: Gateway) -> Gateway:
    gateway.wait_ready()
    wait_for(gateway, "process_ready", 2)
    return gateway


def ready_again(gateway: Gateway, before: int, more: int) -> None:
    wait_for(gateway, "process_ready", before + more)


async def under_traffic(house: House, gateway: Gateway, do: Callable[[], None]) -> Told:
    key = await asyncio.to_thread(house.new_key)
    async with Traffic(gateway.url, key, streams=STREAMS) as traffic:
        await traffic.under_way.wait()
        await asyncio.to_thread(do)
    return traffic.told


async def test_a_rolling_restart_loses_nothing(several: House, pair: Gateway) -> None:
    before = living(pair)
    done = len(events(pair, "rolling_restart_done"))

    def roll() -> None:
        pair.send(signal.SIGHUP)
        wait_for(pair, "rolling_restart_done", done + 1)
        none_left(before)

    told = await under_traffic(several, pair, roll)

    assert (told.lost, told.broken_off) == (0, 0), told
    assert len(living(pair)) == 2
    await asyncio.to_thread(several.settled)


async def test_sigterm_to_one_loses_nothing_and_another_takes_its_place(several: House, pair: Gateway) -> None:
    ready = len(events(pair, "process_ready"))
    (one, _) = living(pair)

    def stop_one() -> None:
        send(one, signal.SIGTERM)
        none_left([one])
        ready_again(pair, ready, 1)

    told = await under_traffic(several, pair, stop_one)

    assert (told.lost, told.broken_off) == (0, 0), told
    assert len(living(pair)) == 2
    await asyncio.to_thread(several.settled)


async def test_kill_9_of_one_breaks_its_own_calls_alone_and_its_holds_are_closed(several: House, pair: Gateway) -> None:
    ready = len(events(pair, "process_ready"))
    (_, one) = living(pair)

    def kill_one() -> None:
        send(one, signal.SIGKILL)
        ready_again(pair, ready, 1)

    told = await under_traffic(several, pair, kill_one)

    assert told.refused == 0, told
    assert told.lost <= STREAMS + 2, told  # what each client had in flight at that moment, at the most
    assert told.broken_off == 0
    assert len(living(pair)) == 2
    await asyncio.to_thread(several.settled, 20)


def streams_begun(
    house: House, gateway: Gateway, count: int, tokens: int = 60
) -> tuple[list[threading.Thread], list[list[str]]]:
    """Streams in both dialects, in the middle of their answers."""
    key = house.new_key()
    answers: list[list[str]] = [[] for _ in range(count)]

    def read(path: str, body: dict[str, object], lines: list[str]) -> None:
        whole = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": True} | body
        with httpx.stream("POST", gateway.url + path, json=whole, headers=key.headers, timeout=60) as answer:
            for line in answer.iter_lines():
                lines.append(line)  # noqa: PERF402  one by one: others look at them meanwhile

    native, openai = (
        ("/api/chat", {"options": {"num_predict": tokens}}),
        ("/v1/chat/completions", {"max_tokens": tokens}),
    )
    readers = [
        threading.Thread(target=read, args=(*(native if number % 2 == 0 else openai), lines))
        for number, lines in enumerate(answers)
    ]
    for reader in readers:
        reader.start()
    for _ in eventually(10):
        if all(answers):
            break
    return readers, answers


def last_words(lines: list[str]) -> str:
    return [line for line in lines if line][-1]


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_when_the_parent_is_killed_the_others_let_the_port_go_and_drain(several: House) -> None:
    gateway = begun(several.add_gateway(DRAIN_TIMEOUT_S="20"))
    pids = living(gateway)
    readers, answers = streams_begun(several, gateway, 6)

    gateway.kill()
    for _ in eventually(3, 0.01):
        if nobody_listens(gateway.port):
            break
    still_running = sum(reader.is_alive() for reader in readers)
    for reader in readers:
        reader.join(20)
    none_left(pids)

    assert still_running > 0
    assert all(json.loads(last_words(lines))["done"] for lines in answers[::2])
    assert [last_words(lines) for lines in answers[1::2]] == ["data: [DONE]"] * 3
    assert several.open_holds() == 0


def test_a_whole_stop_cuts_with_a_word_what_does_not_end_in_time_and_settles_all(several: House) -> None:
    gateway = begun(several.add_gateway(DRAIN_TIMEOUT_S="0.3"))
    pids = living(gateway)
    readers, answers = streams_begun(several, gateway, 10)

    gateway.send(signal.SIGTERM)
    status = gateway.wait(20)
    for reader in readers:
        reader.join(5)

    assert status == 0
    none_left(pids, 0.5)
    assert all(json.loads(last_words(lines))["code"] == "shutting_down" for lines in answers[::2])
    assert all('"shutting_down"' in "".join(lines[-4:]) for lines in answers[1::2])
    assert several.open_holds() == 0


def test_a_signal_to_all_at_once_is_no_haste_and_a_second_one_to_the_parent_is(several: House) -> None:
    gateway = begun(several.add_gateway(DRAIN_TIMEOUT_S="60"))
    pids = living(gateway)
    readers, answers = streams_begun(several, gateway, 6, tokens=2000)

    for pid in [*pids, gateway.pid]:
        send(pid, signal.SIGTERM)
    wait_for(gateway, "stopping", 3)
    seen = [len(lines) for lines in answers]
    for _ in eventually(10):
        if all(len(lines) > before + 10 for lines, before in zip(answers, seen, strict=True)):
            break
    gateway.send(signal.SIGTERM)
    status = gateway.wait(20)
    for reader in readers:
        reader.join(5)

    assert status == 0
    none_left(pids, 0.5)
    assert all(json.loads(last_words(lines))["code"] == "shutting_down" for lines in answers[::2])
    assert several.open_holds() == 0


class FromFile(Gateway):
    """A gateway whose settings are in a file alone, and not in the folder it runs in."""

    def __init__(self, environ: Mapping[str, str], folder: Path, file: Path) -> None:
        self.file = file
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.write(environ)
        arguments = ["-m", "neuronetz_gateway", "--env-file", str(file), "serve", "--processes", "2"]
        bound = ["--host", "127.0.0.1", "--port", str(self.port)]
        Program.__init__(self, [*arguments, *bound], program_environment(), folder, "from-file")

    def write(self, environ: Mapping[str, str]) -> None:
        self.file.write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()))


@pytest.fixture
def from_file(several: House, tmp_path: Path) -> Iterator[FromFile]:
    gateway = FromFile(several.environ, several.folder, tmp_path / "gateway.env")
    begun(gateway)
    yield gateway
    gateway.stop()


def test_sighup_brings_new_settings_and_broken_ones_change_nothing(several: House, from_file: FromFile) -> None:
    before = living(from_file)

    from_file.write(several.environ | {"QUEUE_DEPTH": "many"})
    from_file.send(signal.SIGHUP)
    (refused,) = wait_for(from_file, "rolling_restart_refused", 1)
    after_broken = living(from_file)
    from_file.write(several.environ | {"MAX_BODY_BYTES": "10"})
    from_file.send(signal.SIGHUP)
    wait_for(from_file, "rolling_restart_done", 1)
    none_left(before)
    answer = httpx.post(f"{from_file.url}/api/chat", json={"model": "x"}, headers=several.new_key().headers)

    assert refused["reasons"] == ["QUEUE_DEPTH must be a whole number, and is 'many' (default: 64)."]
    assert after_broken == before
    assert answer.json()["code"] == "body_too_large"
    assert len(living(from_file)) == 2
