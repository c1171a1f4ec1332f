"""The adapter against the simulated Ollama: the contract, the recordings, hostile answers, storms."""

from __future__ import annotations

import asyncio
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend, probe
from domain.calls import Endpoint
from domain.faults import BackendFailed, BackendFault, BackendUnreachable, FaultCode
from domain.keys import Secret
from domain.models import canonical
from domain.refusals import BackendRejected
from domain.tally import Tally
from entrypoints.simulator.behaviours import Behaviour, Counts, Ending
from entrypoints.simulator.models import DEFAULT_MODELS, Model
from entrypoints.simulator.serving import Running, start
from entrypoints.simulator.world import Settings, World
from tests.adapters.ollama.tapes import RECORDINGS, Tape, call_of, chat, drain, inference_tapes, tapes, upstream_of
from tests.contracts.model_backend import MODEL, ModelBackendContract, pieces_of, tally_of, upstream

CANARY = "s3cret-canary"


@pytest.fixture
async def simulated() -> AsyncIterator[Running]:
    llama = Model(name=MODEL, capabilities=("completion", "tools", "embedding"))
    settings = Settings(models=(llama, *DEFAULT_MODELS), recordings_dir=RECORDINGS, num_parallel=64)
    running = await start(World(settings))
    yield running
    await running.stop()


@pytest.fixture
async def ollama(simulated: Running) -> AsyncIterator[OllamaBackend]:
    backend = OllamaBackend(BackendAddress(name="sim", url=simulated.url, token=Secret(CANARY)))
    yield backend
    await backend.aclose()


class TestTheAdapter(ModelBackendContract):
    @pytest.fixture
    async def backend(self, simulated: Running) -> OllamaBackend:
        self.simulated = simulated
        return OllamaBackend(BackendAddress(name="sim", url=simulated.url))

    async def fail_next(self, how: str) -> None:
        if how == "unreachable":
            await self.simulated.stop()
            return
        behaviour = {
            "rejected": Behaviour(status=400),
            "breaks": Behaviour(ending=Ending.CLOSE, end_after_objects=3, tokens=20),
            "guard": Behaviour(ending=Ending.MISSING_DONE, end_after_objects=3, tokens=20),
            "error": Behaviour(ending=Ending.FAILURE, end_after_objects=3, tokens=20),
            "silent": Behaviour(first_byte_delay_s=60),
            "endless": Behaviour(endless=True),
        }[how]
        self.simulated.world.script(behaviour, times=1)


@pytest.mark.parametrize(
    "one", inference_tapes(streamed=True) + inference_tapes(streamed=False), ids=lambda one: one.name
)
@pytest.mark.parametrize("write_bytes", [(), (7,)], ids=["whole", "in sevens"])
async def test_every_recording_over_the_wire(
    simulated: Running, ollama: OllamaBackend, one: Tape, write_bytes: tuple[int, ...]
) -> None:
    simulated.world.script(Behaviour(replay=one.name, write_bytes=write_bytes))
    answer = await ollama.open(upstream_of(call_of(one), ours=MODEL))
    tally = Tally()

    try:
        while (piece := await answer.read()) is not None:
            tally.see(piece)
    except BackendFailed:
        assert not one.whole_http
    finally:
        answer.close()

    assert tally.ended is ("abort" not in one.name and "killed" not in one.name)
    assert tally.text_bytes or not call_of(one).endpoint.generates


ERRORS = {
    "error-400-no-thinking": (400, "This model does not support thinking."),
    "error-400-no-tools": (400, "This model does not support tools."),
    "error-400-not-json": (400, "The model backend refused the request as invalid."),
    "error-400-not-json-openai": (400, "The model backend refused the request as invalid."),
    "error-404-native-chat": (404, "The model is no longer on the backend that was asked."),
    "error-404-native-embed": (404, "The model is no longer on the backend that was asked."),
    "error-404-native-generate": (404, "The model is no longer on the backend that was asked."),
    "error-404-openai-chat": (404, "The model is no longer on the backend that was asked."),
    "error-404-path": FaultCode.BACKEND_FAILED,
    "error-405": FaultCode.BACKEND_FAILED,
    "error-500-bad-format": (400, "The model backend refused the request as invalid."),
    "error-500-bad-option": (400, 'Option "temperature" must be of type float32.'),
    "error-503-busy-native": FaultCode.BACKEND_BUSY,
    "error-503-busy-openai": FaultCode.BACKEND_BUSY,
}


def test_every_error_recording_of_our_endpoints_is_in_the_table() -> None:
    known = {one.name for one in tapes() if one.status != 200}

    assert known - set(ERRORS) == {"error-404-anthropic", "error-404-responses"}


@pytest.mark.parametrize("name", ERRORS)
async def test_every_error_recording_becomes_ours(simulated: Running, ollama: OllamaBackend, name: str) -> None:
    simulated.world.script(Behaviour(replay=name))
    expected = ERRORS[name]

    with pytest.raises((BackendRejected, BackendFailed)) as caught:
        await ollama.open(upstream_of(chat(MODEL), ours=MODEL))

    found = caught.value
    assert isinstance(found, BackendRejected | BackendFailed)
    if isinstance(found, BackendRejected):
        assert (found.status, found.sentence) == expected
    else:
        assert found.code == expected


HOSTILE = {
    "gzip": Behaviour(gzip=True),
    "gzip bomb": Behaviour(gzip=True, huge_line_bytes=20_000_000),
    "redirect": Behaviour(redirect_to="http://169.254.169.254/latest"),
    "html": Behaviour(body="<html>", content_type="text/html"),
    "wrong type": Behaviour(content_type="application/octet-stream"),
    "garbage line": Behaviour(ending=Ending.GARBAGE, end_after_objects=2, tokens=5),
    "100 MB line": Behaviour(huge_line_bytes=100_000_000),
    "reset": Behaviour(ending=Ending.RESET, end_after_objects=2, tokens=5),
    "close": Behaviour(ending=Ending.CLOSE, end_after_objects=2, tokens=5),
    "500": Behaviour(status=500, body='{"error":"cuda: 0xdead at /usr/lib/ollama"}'),
    "500 html": Behaviour(status=500, body="<html>" * 100_000, content_type="text/html"),
    "401": Behaviour(status=401, body='{"error":"unauthorized","signin_url":"https://x/host"}'),
    "403": Behaviour(status=403, body=""),
    "204": Behaviour(status=204, body=""),
    "echoes the token": Behaviour(status=500, echo_header="Authorization"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_hostile_backend_is_a_fault_in_bounded_memory(
    simulated: Running, ollama: OllamaBackend, what: str, *, streamed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated.world.script(HOSTILE[what], times=1)
    for_both = upstream_of(chat(MODEL, streamed=streamed), ours=MODEL)

    with pytest.raises(BackendFault) as caught:
        await drain(ollama, for_both)

    assert CANARY not in repr(caught.value) + str(caught.value) + capsys.readouterr().out
    assert "/usr" not in caught.value.sentence
    assert tally_of(await pieces_of(await ollama.open(for_both))).ended


async def test_a_hundred_megabytes_in_one_line_are_not_kept(simulated: Running, ollama: OllamaBackend) -> None:
    simulated.world.script(Behaviour(body="x" * 100_000_000, content_type="application/x-ndjson"), times=1)
    answer = await ollama.open(upstream())
    tracemalloc.start()

    with pytest.raises(BackendFailed):
        await answer.read()

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    answer.close()
    assert most < 40_000_000  # the simulated backend lives in this program


@pytest.mark.parametrize("counts", list(Counts))
async def test_lies_about_tokens_are_no_numbers(simulated: Running, ollama: OllamaBackend, counts: Counts) -> None:
    simulated.world.script(Behaviour(counts=counts, tokens=5))

    for endpoint in (Endpoint.NATIVE_CHAT, Endpoint.OPENAI_CHAT):
        tally = tally_of(await pieces_of(await ollama.open(upstream(endpoint))))

        assert tally.ended
        assert tally.objects == 5
        if tally.usage is not None:
            assert 0 <= (tally.usage.prompt or 0) < 100
            assert (tally.usage.output or 0) in (0, 5)


async def test_the_end_of_http_that_never_comes_is_not_waited_for(simulated: Running, ollama: OllamaBackend) -> None:
    simulated.world.script(Behaviour(tokens=3, stall_after_objects=3), times=1)
    answer = await ollama.open(upstream())
    assert await answer.read()

    answer.close()
    await simulated.world.until_idle(timeout_s=2)


async def test_a_survey_is_pruned_and_asks_for_each_model_once(simulated: Running, ollama: OllamaBackend) -> None:
    first = await ollama.survey()
    shows = sum(entry.path == "/api/show" for entry in simulated.world.entries())
    second = await ollama.survey()

    assert shows >= len(first.models)
    assert sum(entry.path == "/api/show" for entry in simulated.world.entries()) == shows
    assert second == first
    everything = repr([attrs.asdict(model) for model in first.models])
    for secret in ("parent_model", "modelfile", "remote_", "license", "/blobs/"):
        assert secret not in everything


async def test_a_loaded_model_says_its_runners_context(simulated: Running, ollama: OllamaBackend) -> None:
    await pieces_of(await ollama.open(upstream()))

    model = next(model for model in (await ollama.survey()).models if model.canonical == canonical(MODEL))

    assert model.loaded
    assert model.context_length == simulated.world.settings.context_length
    assert model.loaded_listing is not None
    assert model.loaded_listing["context_length"] == model.context_length


async def test_a_probe_asks_with_the_token_and_leaves_nothing_open(simulated: Running) -> None:
    survey = await probe(BackendAddress(name="sim", url=simulated.url, token=Secret(CANARY)))

    assert survey.models


@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
@pytest.mark.parametrize("body", ["", "null", "[]", "{", '{"models":3}', "<html>", "[" * 100_000])
async def test_a_malformed_survey_is_a_fault(simulated: Running, path: str, body: str) -> None:
    simulated.world.script(Behaviour(body=body), path=path)

    with pytest.raises(BackendFault):
        await probe(BackendAddress(name="sim", url=simulated.url))


async def test_a_model_that_cannot_be_described_is_left_out(simulated: Running) -> None:
    simulated.world.script(Behaviour(status=500), path="/api/show", times=1)

    fewer = await probe(BackendAddress(name="sim", url=simulated.url))
    every = await probe(BackendAddress(name="sim", url=simulated.url))

    assert len(fewer.models) == len(every.models) - 1


async def test_a_survey_of_nobody_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(BackendUnreachable):
        await probe(BackendAddress(name="none", url=f"http://127.0.0.1:{port}"))


@pytest.mark.storm
async def test_two_thousand_cancelled_streams_leave_nothing(simulated: Running, ollama: OllamaBackend) -> None:
    simulated.world.script(Behaviour(endless=True))
    chance = random.Random(7)  # noqa: S311 -- a repeatable storm
    turns = asyncio.Semaphore(50)

    async def one(number: int) -> None:
        endpoint = (Endpoint.NATIVE_CHAT, Endpoint.OPENAI_CHAT)[number % 2]
        answer: Any = None
        try:
            async with asyncio.timeout(chance.random() * 0.05):
                answer = await ollama.open(upstream(endpoint))
                for _ in range(chance.randrange(5)):
                    await answer.read()
        except TimeoutError:
            pass
        finally:
            if answer is not None:
                answer.close()

    async def limited(number: int) -> None:
        async with turns:
            await one(number)

    await asyncio.gather(*(limited(number) for number in range(2000)))
    await simulated.world.until_idle(timeout_s=10)
    simulated.world.clear_scripts()

    async with asyncio.timeout(10):
        while simulated.world.count_connections() or ollama.parting:  # noqa: ASYNC110 -- counts in two programs have no event
            await asyncio.sleep(0.05)
    assert tally_of(await pieces_of(await ollama.open(upstream()))).ended
    assert not [task for task in asyncio.all_tasks() if "ollama" in repr(task.get_coro())]
