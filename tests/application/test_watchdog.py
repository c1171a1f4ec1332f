"""A model that has stopped for good: found by two who waited in vain, left alone, and taken back when it answers."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from application import backends as surveys
from application.examine_limiter import examine_limiter
from application.readiness import Readiness
from application.watchdog import FIRST_PROBE_S, PROBE_EVERY_S, STRIKES, probe_of
from domain.calls import Endpoint
from domain.faults import BackendFailed, BackendUnreachable
from domain.ports.wedge_board import Runner
from domain.refusals import BackendRejected
from tests.application.rig import (
    DEADLINES,
    HEALTHY,
    NATIVE,
    NATIVE_WHOLE,
    Client,
    Form,
    Rig,
    RiggedBackend,
    Served,
    a_call,
    in_no_time,
    scene,
    turns_of_the_loop,
)
from tests.fakes.inspection import HEALTHY_LIMITER
from tests.fakes.model_backend import LLAMA, Scene

LOADED = attrs.evolve(LLAMA, loaded=True)


def silent() -> Scene:
    """No byte ever comes."""
    return Scene(waits=asyncio.Event())


def runner_at(name: str) -> Runner:
    return Runner(name, LLAMA.canonical)


ONE = runner_at("one")


async def rig_of(*names: str) -> Rig:
    return await Rig.of(*(RiggedBackend(name, models=(LOADED,)) for name in names or ("one",)))


async def wait_in_vain(rig: Rig, client: Client, form: Form = NATIVE, *, waits_s: float | None = None) -> Served:
    """A call that gets no byte and is cut at the deadline, or whose client leaves before."""
    rig.backend.play(silent())
    served = rig.start(client, a_call(form))
    await turns_of_the_loop()
    rig.clock.advance(1)
    await rig.backends.survey_all()
    rig.clock.advance(DEADLINES.first_byte_s if waits_s is None else waits_s)
    if waits_s is None:
        rig.live_calls.sweep()
    else:
        served.live.hang_up()
    await served.end()
    return served


async def wedged_rig(*names: str) -> tuple[Rig, Client]:
    rig = await rig_of(*names)
    client = await rig.client()
    for _ in range(STRIKES):
        await wait_in_vain(rig, client)
    return rig, client


async def test_two_who_waited_in_vain_make_it_wedged_and_one_does_not() -> None:
    rig = await rig_of()
    client = await rig.client()

    await wait_in_vain(rig, client)
    assert rig.backends.wedged == frozenset()
    await wait_in_vain(rig, client)

    assert rig.backends.wedged == {ONE}
    assert rig.board.said == {ONE: True}


@pytest.mark.parametrize("survey", ["none", "failed", "late", "good, then failed"])
def test_nobody_waited_in_vain_for_a_model_while_its_backend_was_not_seen_well(survey: str) -> None:
    async def story() -> None:
        rig = await rig_of()
        client = await rig.client()
        for _ in range(STRIKES + 1):
            rig.backend.play(silent())
            served = rig.start(client)
            await turns_of_the_loop()
            rig.clock.advance(1)
            if survey.startswith("good"):
                await rig.backends.survey_all()
            if survey.endswith("failed"):
                rig.backend.survey_fault = BackendFailed()
            if survey == "late":
                rig.backend.surveyed.shut()
            if survey != "none":
                await rig.backends.survey_all()
            rig.clock.advance(DEADLINES.first_byte_s + 1)
            rig.live_calls.sweep()
            await served.end()
            rig.backend.survey_fault = None
            rig.backend.surveyed.open()
            await rig.backends.survey_all()

        assert rig.backends.wedged == frozenset()

    in_no_time(story())


def test_the_first_probe_of_a_wedged_model_is_short_and_the_next_comes_soon() -> None:
    async def story() -> None:
        rig, _ = await wedged_rig()
        loop = asyncio.get_running_loop()
        tried_s: list[float] = []
        while rig.backends.wedged:
            began_s = loop.time()
            rig.clock.advance(PROBE_EVERY_S + 1)
            if len(tried_s) < 6:
                rig.backend.play(silent())
            async with asyncio.TaskGroup() as probes:
                await rig.watchdog.look(probes)
            tried_s.append(loop.time() - began_s)

        waits_s = [FIRST_PROBE_S, 2 * FIRST_PROBE_S, 4 * FIRST_PROBE_S, 8 * FIRST_PROBE_S, PROBE_EVERY_S, PROBE_EVERY_S]
        assert tried_s == pytest.approx([*(2 * wait_s for wait_s in waits_s), 0.0], abs=0.1)

    in_no_time(story())


async def test_with_no_other_backend_callers_are_told_at_once() -> None:
    rig, client = await wedged_rig()

    served = await rig.serve(client)

    rig.assert_settled(served, outcome="not_sent", code="model_wedged", tokens=0, noted=False)
    assert len(rig.backend.calls) == STRIKES


async def test_the_other_backend_takes_its_calls_and_its_other_models_go_on() -> None:
    rig, client = await wedged_rig("one", "two")
    qwen = attrs.evolve(LOADED, name="qwen3:4b", canonical="registry.ollama.ai/library/qwen3:4b")
    rig.backend.models.append(qwen)
    await rig.backends.survey_all()

    served = [await rig.serve(client) for _ in range(3)]
    other = await rig.serve(client, attrs.evolve(a_call(), model="qwen3:4b"))

    assert [rig.settlement(one).backend for one in served] == ["two"] * 3
    assert rig.settlement(other).backend == "one"
    rig.assert_nothing_is_left()


async def test_a_call_in_line_for_it_is_not_sent_there_any_more() -> None:
    rig = await Rig.of(RiggedBackend("one", models=(LOADED,), most_in_flight=2))
    client = await rig.client()
    rig.backend.play(silent(), silent())
    stuck = [rig.start(client) for _ in range(2)]
    await turns_of_the_loop()
    waiting = rig.start(client)
    await turns_of_the_loop()

    rig.clock.advance(1)
    await rig.backends.survey_all()
    rig.clock.advance(DEADLINES.first_byte_s)
    rig.live_calls.sweep()
    for served in (*stuck, waiting):
        await served.end()

    rig.assert_settled(waiting, outcome="not_sent", code="model_wedged", tokens=0, noted=False)


@pytest.mark.parametrize("between", ["an answer", "a piece of a stream that began before"])
async def test_a_model_that_gives_something_to_anybody_is_not_wedged(between: str) -> None:
    rig = await rig_of()
    client = await rig.client()
    stream = None
    if between == "a piece of a stream that began before":
        rig.backend.waits_after = 2
        rig.backend.reading.shut()
        rig.backend.play(scene(NATIVE, 4))
        stream = rig.start(client)
        await turns_of_the_loop()
        rig.backend.waits_after = None

    for _ in range(STRIKES + 1):
        rig.backend.play(silent())
        served = rig.start(client)
        await turns_of_the_loop()
        rig.clock.advance(DEADLINES.next_byte_s)
        if stream is None:
            await rig.serve(client)
        else:
            stream.live.since_s = rig.clock.monotonic_s()  # as if one had just come
        await rig.backends.survey_all()
        rig.clock.advance(DEADLINES.next_byte_s + 1)
        if stream is not None:
            stream.live.since_s = rig.clock.monotonic_s()
        rig.live_calls.sweep()
        await served.end()

    assert rig.backends.wedged == frozenset()
    if stream is not None:
        rig.backend.reading.open()
        await stream.end()
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("trouble", ["it is not loaded", "it was being loaded", "its backend does not answer"])
async def test_what_is_slow_for_another_reason_is_not_wedged(trouble: str) -> None:
    rig = await rig_of()
    client = await rig.client()
    if trouble != "its backend does not answer":
        rig.backend.models = [LLAMA]
        await rig.backends.survey_all()

    for _ in range(STRIKES + 1):
        rig.backend.play(silent())
        served = rig.start(client)
        await turns_of_the_loop()
        if trouble == "it was being loaded":
            rig.backend.models = [LOADED]
            await rig.backends.survey_all()
            rig.backend.models = [LLAMA]
        elif trouble == "its backend does not answer":
            rig.backends.mark_unreachable("one")
        rig.clock.advance(DEADLINES.first_byte_s + 1)
        rig.live_calls.sweep()
        await served.end()
        await rig.backends.survey_all()

    assert rig.backends.wedged == frozenset()


def test_a_probe_takes_it_back_when_it_answers() -> None:
    async def story() -> None:
        rig, client = await wedged_rig()
        rig.backend.play(silent())
        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)
        assert rig.backends.wedged == {ONE}, "the probe got no answer"

        rig.clock.advance(PROBE_EVERY_S + 1)
        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)

        assert rig.backends.wedged == frozenset()
        assert rig.board.said == {ONE: False}
        assert [one.bounds.output for one in rig.backend.calls[-2:]] == [1, 1]
        served = await rig.serve(client)
        rig.assert_settled(served, outcome="done", code=None, tokens=HEALTHY, noted=False)
        assert {one.request_id for one in rig.ledger.requests}.isdisjoint(
            one.request_id for one in rig.backend.calls[-3:-1]
        ), "a probe is no tenant's call"

    in_no_time(story())


async def test_a_model_that_is_not_loaded_any_more_is_well_without_a_probe() -> None:
    rig, _ = await wedged_rig()
    calls = len(rig.backend.calls)
    rig.backend.models = [LLAMA]  # its server has restarted
    await rig.backends.survey_all()

    async with asyncio.TaskGroup() as probes:
        await rig.watchdog.look(probes)

    assert rig.backends.wedged == frozenset()
    assert len(rig.backend.calls) == calls


@pytest.mark.parametrize("form", [NATIVE, NATIVE_WHOLE], ids=str)
def test_callers_who_leave_before_the_deadline_do_not_hide_it(form: Form) -> None:
    async def story() -> None:
        rig = await rig_of()
        await wait_in_vain(rig, await rig.client(), form, waits_s=DEADLINES.first_byte_s / 2)
        assert rig.backends.wedged == frozenset()

        for _ in range(STRIKES):
            rig.backend.play(silent())
            async with asyncio.TaskGroup() as probes:
                await rig.watchdog.look(probes)
                await asyncio.sleep(1)
                rig.clock.advance(1)
                await rig.backends.survey_all()

        assert rig.backends.wedged == {ONE}

    in_no_time(story())


@pytest.mark.parametrize("answer", [Scene(refuses=BackendFailed()), Scene(refuses=BackendUnreachable()), None])
def test_a_suspicion_that_a_probe_does_not_confirm_is_dropped(answer: Scene | None) -> None:
    async def story() -> None:
        rig = await rig_of()
        client = await rig.client()
        for _ in range(STRIKES + 1):
            await wait_in_vain(rig, client, waits_s=DEADLINES.first_byte_s / 2)
            if answer is not None:
                rig.backend.play(answer)
            async with asyncio.TaskGroup() as probes:
                await rig.watchdog.look(probes)

        assert rig.backends.wedged == frozenset()
        probed = len(rig.backend.calls)
        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)
        assert len(rig.backend.calls) == probed

    in_no_time(story())


async def test_who_leaves_soon_says_nothing() -> None:
    rig = await rig_of()
    await wait_in_vain(rig, await rig.client(), waits_s=DEADLINES.first_byte_s / 20)

    async with asyncio.TaskGroup() as probes:
        await rig.watchdog.look(probes)

    assert len(rig.backend.calls) == 1


def test_a_refusal_of_the_probe_is_an_answer() -> None:
    async def story() -> None:
        rig, _ = await wedged_rig()
        rig.backend.play(Scene(refuses=BackendRejected(400, "This model does not generate.")))

        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)

        assert rig.backends.wedged == frozenset()

    in_no_time(story())


def test_what_one_gateway_finds_all_know_and_one_of_them_probes() -> None:
    async def story() -> None:
        rig, _ = await wedged_rig()
        other = await rig_of()
        other.watchdog._board = rig.board

        rig.backend.play(silent())
        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)
            await turns_of_the_loop()
            await other.watchdog.look(probes)

        assert other.backends.wedged == {ONE}
        assert not other.backend.calls, "the first one probes"
        rig.board.found_well(ONE)
        async with asyncio.TaskGroup() as probes:
            await other.watchdog.look(probes)
        assert other.backends.wedged == frozenset()

    in_no_time(story())


def test_a_board_that_is_away_or_was_emptied_changes_nothing_here() -> None:
    async def story() -> None:
        rig, _ = await wedged_rig()
        rig.board.said.clear()
        rig.backend.play(silent(), silent())

        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)
        assert rig.board.said == {ONE: True}
        rig.board.away = True
        async with asyncio.TaskGroup() as probes:
            await rig.watchdog.look(probes)

        assert rig.backends.wedged == {ONE}
        assert len(rig.backend.calls) == STRIKES + 2, "without a board each probes"

    in_no_time(story())


async def test_what_is_said_of_backends_of_others_is_not_ours() -> None:
    rig = await rig_of()
    rig.board.found_wedged(runner_at("theirs"))

    async with asyncio.TaskGroup() as probes:
        await rig.watchdog.look(probes)

    assert rig.backends.wedged == frozenset()


async def test_readiness_and_doctor_name_it_and_the_remedy() -> None:
    rig, _ = await wedged_rig("one", "two")
    readiness = Readiness(ledger=rig.ledger, limits=rig.limits, journal=rig.journal, backends=rig.backends)

    parts = await readiness.parts()
    (found,) = [
        finding
        for finding in examine_limiter(attrs.evolve(HEALTHY_LIMITER, wedged=[ONE]), timeout_ms=100)
        if finding.subject.startswith("wedged")
    ]

    assert parts["backend:one"] == "llama3.2:1b does not answer any more: restart Ollama there"
    assert parts["backend:two"] == "ok"
    assert readiness.ready(parts)
    assert (found.subject, found.level) == ("wedged.one", "problem")
    assert "llama3.2:1b" in found.sentence
    assert "Restart Ollama on one" in found.remedy


def test_a_model_that_makes_no_text_is_probed_with_a_vector() -> None:
    embeds = attrs.evolve(LLAMA, capabilities=frozenset({"embedding"}))
    unknown = attrs.evolve(LLAMA, capabilities=frozenset())

    assert probe_of(embeds, "r").call.endpoint is Endpoint.NATIVE_EMBED
    assert probe_of(LLAMA, "r").call.endpoint is Endpoint.NATIVE_GENERATE
    assert probe_of(unknown, "r").call.endpoint is Endpoint.NATIVE_GENERATE


def test_a_backend_that_serves_calls_is_not_taken_out_for_late_surveys() -> None:
    async def story() -> None:
        rig = await rig_of()
        client = await rig.client()
        rig.backend.surveyed.shut()

        async def serve_meanwhile() -> None:
            await asyncio.sleep(surveys.SURVEY_TIMEOUT_S / 2)
            rig.clock.advance(surveys.SURVEY_TIMEOUT_S / 2)
            await rig.serve(client)

        for _ in range(5):
            await asyncio.gather(rig.backends.survey_all(), serve_meanwhile())
            assert rig.backends.any_healthy
        for _ in range(surveys.LATE_AT_MOST + 1):
            rig.clock.advance(surveys.SURVEY_TIMEOUT_S)
            await rig.backends.survey_all()

        assert not rig.backends.any_healthy, "who serves nothing has no excuse"

    in_no_time(story())
