"""The pipeline keeps what it serves to keys that are to be logged, of nobody else, and never at the price of a call."""

from __future__ import annotations

import asyncio
import json

import attrs
import pytest

from application.live_calls import HUNG_UP
from application.read_prompts import Opened, ReadPrompts
from application.rooms.keep import Keep
from domain.faults import BackendFailed
from domain.limits import Limits
from domain.policies import Policy
from domain.refusals import Code, Refusal
from domain.settlement import Outcome
from tests.application.rig import FAULT_STATUS, FORMS, NATIVE, STREAMED, Client, Form, Rig, Served, a_call, scene
from tests.fakes.model_backend import Scene

each_form = pytest.mark.parametrize("form", FORMS, ids=str)
each_stream = pytest.mark.parametrize("form", STREAMED, ids=str)


async def logged_client(rig: Rig, tenant: str = "acme", policy: Policy | None = None) -> Client:
    client = await rig.client(tenant, policy=policy or Policy())
    await rig.tenants.set_prompt_log(client.key.prefix, 3600, actor="tests")
    return client


async def kept(rig: Rig, served: Served) -> Opened:
    assert await rig.prompt_log._write_all(again=False)
    reading = ReadPrompts(kept=rig.prompts, hour_keys=rig.hour_keys, encryption=rig.encryption, actor="tests")
    return await reading.one(served.request_id)


@each_form
async def test_what_the_client_was_sent_is_what_is_kept(form: Form) -> None:
    rig = await Rig.of()
    client = await logged_client(rig)

    served = await rig.serve(client, a_call(form))

    opened = await kept(rig, served)
    assert opened.answer == served.reply.body
    assert json.loads(opened.prompt)["model"] == a_call(form).model
    heading = opened.listed.heading
    assert (heading.tenant_id, heading.key_id) == (client.tenant.id, client.key.id)
    assert (heading.route, heading.streamed) == ("/route", a_call(form).streamed)
    rig.assert_nothing_is_left()


@each_form
async def test_of_a_key_that_is_not_logged_nothing_is_kept(form: Form) -> None:
    rig = await Rig.of()

    await rig.serve(await rig.client(), a_call(form))

    assert await rig.prompt_log._write_all(again=False)
    assert (rig.prompts.rows, rig.hour_keys.stored, rig.prompts.writes) == ({}, {}, 0)


@each_stream
async def test_of_an_answer_that_breaks_off_what_came_before_is_kept(form: Form) -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.backend.play(scene(form, 3, breaks=BackendFailed()))

    served = await rig.serve(client, a_call(form))

    opened = await kept(rig, served)
    assert opened.answer.count(b"word") == 3
    assert served.reply.body.startswith(opened.answer)


async def test_of_a_client_that_hangs_up_what_it_was_sent_is_kept() -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.backend.waits_after = 2
    rig.backend.reading.shut()
    served = rig.start(client, a_call(NATIVE))
    await rig.backend.reading.reached.wait()

    served.live.end(HUNG_UP)
    await served.end()

    assert (await kept(rig, served)).answer.count(b"word") == 2
    assert rig.settlement(served).outcome is Outcome.HUNG_UP


async def test_of_a_backend_that_refuses_the_prompt_alone_is_kept() -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.backend.play(Scene(refuses=BackendFailed()))

    opened = await kept(rig, await rig.serve(client))

    assert opened.answer == b""
    assert opened.prompt != b""


async def test_a_refused_call_that_held_nothing_is_not_kept() -> None:
    rig = await Rig.of()
    client = await logged_client(rig, policy=Policy(limits=Limits(rpm=1)))
    first = await rig.serve(client)

    await rig.serve(client)
    await rig.serve(client, Refusal(Code.INVALID_JSON, "The body is not JSON."))

    assert await rig.prompt_log._write_all(again=False)
    assert list(rig.prompts.rows) == [first.request_id]


async def test_a_gateway_that_cannot_keep_them_refuses_the_keys_calls_and_serves_the_others() -> None:
    rig = await Rig.of()
    logged, other = await logged_client(rig), await rig.client("other")
    rig.pipeline._keep = Keep(None, rig.clock)

    refused = await rig.serve(logged)
    served = await rig.serve(other)

    assert refused.reply.code == "prompt_log_unavailable"
    assert refused.reply.status == FAULT_STATUS
    assert "PROMPT_LOG_KEY" in str(refused.reply.told)
    assert rig.note(refused).code == "prompt_log_unavailable"
    assert served.reply.told is None
    assert rig.used(logged) == 0
    rig.assert_nothing_is_left()


async def test_stores_that_are_away_fail_and_delay_no_call() -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.hour_keys.away = True

    served = await rig.serve(client)
    assert not await rig.prompt_log._write_all(again=False)

    assert served.reply.ended
    assert served.reply.told is None
    rig.hour_keys.away = False
    assert (await kept(rig, served)).answer == served.reply.body


async def test_a_full_log_fails_no_call() -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.prompt_log._most_waiting_bytes = 0

    served = await rig.serve(client)

    assert served.reply.told is None
    assert rig.prompt_log.lost == 1
    rig.assert_nothing_is_left()


async def test_a_bug_in_keeping_fails_no_call() -> None:
    rig = await Rig.of()
    client = await logged_client(rig)
    rig.prompt_log._waiting_bytes = "no number"  # type: ignore[assignment]  # the bug

    served = await rig.serve(client)

    assert served.reply.told is None
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=rig.used(client), noted=False)


async def test_prompts_of_calls_at_once_are_not_mixed_up() -> None:
    rig = await Rig.of()
    clients = [await logged_client(rig, f"t{nth}") for nth in range(3)]

    served = await asyncio.gather(
        *(rig.serve(client, attrs.evolve(a_call(), fields={"prompt": client.tenant.name})) for client in clients)
    )

    for client, one in zip(clients, served, strict=True):
        opened = await kept(rig, one)
        assert json.loads(opened.prompt)["prompt"] == client.tenant.name
        assert opened.listed.heading.tenant_id == client.tenant.id
