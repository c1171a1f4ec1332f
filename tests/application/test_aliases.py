"""Calls under an alias: the backend is asked for the model, the caller is answered under its own name for it."""

from __future__ import annotations

import attrs
import pytest
from structlog.testing import capture_logs

from application.rooms.permit import not_found
from domain.limits import Limits
from domain.models import canonical
from domain.policies import Aliases, Policy
from domain.refusals import Code
from tests.application.rig import FORMS, MODEL, Client, Form, Rig, RiggedBackend, a_call
from tests.fakes.model_backend import LLAMA

QWEN = attrs.evolve(LLAMA, name="Qwen3:4b", canonical=canonical("qwen3:4b"))
GPT = "GPT-4o-mini"


async def a_rig(aliases: Aliases, policy: Policy | None = None) -> tuple[Rig, Client]:
    rig = await Rig.of(RiggedBackend(models=(LLAMA, QWEN)))
    client = await rig.client(policy=policy or Policy())
    await rig.tenants.change_aliases(client.tenant.name, lambda _: aliases, actor="op")
    return rig, client


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_the_model_is_asked_and_held_and_told_and_the_call_keeps_the_callers_spelling(form: Form) -> None:
    rig, client = await a_rig({canonical(GPT): QWEN.canonical})

    with capture_logs() as logs:
        served = await rig.serve(client, a_call(form, model=GPT))

    assert served.reply.told is None
    [upstream] = rig.backend.calls
    assert (upstream.model.name, upstream.call.model) == ("Qwen3:4b", GPT)
    assert rig.ledger.requests[-1].model == QWEN.canonical
    assert rig.observer.records[-1].model == "qwen3:4b"
    [line] = [line for line in logs if line["event"] == "call"]
    assert (line["model"], line["asked"]) == ("qwen3:4b", GPT)


async def test_a_tenants_alias_is_no_other_tenants() -> None:
    rig, _ = await a_rig({canonical(GPT): QWEN.canonical})
    other = await rig.client("other")

    refused = (await rig.serve(other, a_call(model=GPT))).reply

    assert refused.code == Code.MODEL_NOT_FOUND
    assert refused.told is not None
    assert refused.told.sentence == not_found(GPT).sentence


@pytest.mark.parametrize(
    ("aliases", "policy"),
    [
        ({canonical(GPT): canonical("gone")}, Policy()),
        ({canonical(GPT): QWEN.canonical}, Policy(models=frozenset({LLAMA.canonical, canonical(GPT)}))),
        ({canonical(GPT): canonical("b"), canonical("b"): QWEN.canonical}, Policy()),
        ({}, Policy()),
    ],
    ids=["gone", "not allowed", "alias of an alias", "no alias"],
)
async def test_an_alias_that_leads_nowhere_is_a_model_that_is_not_there(aliases: Aliases, policy: Policy) -> None:
    rig, client = await a_rig(aliases, policy)

    refused = (await rig.serve(client, a_call(model=GPT))).reply

    assert refused.told is not None
    assert (refused.code, refused.told.sentence) == (Code.MODEL_NOT_FOUND, not_found(GPT).sentence)
    assert rig.backend.calls == []
    assert rig.journal.notes[-1].model == GPT


async def test_an_alias_comes_before_a_model_of_its_name() -> None:
    rig, client = await a_rig({LLAMA.canonical: QWEN.canonical})

    await rig.serve(client, a_call(model=MODEL))

    assert [upstream.model.name for upstream in rig.backend.calls] == ["Qwen3:4b"]


async def test_a_refusal_after_the_model_was_permitted_is_noted_under_the_model() -> None:
    rig, client = await a_rig({canonical(GPT): QWEN.canonical}, Policy(limits=Limits(rpm=1)))

    await rig.serve(client, a_call(model=GPT))
    refused = (await rig.serve(client, a_call(model=GPT))).reply

    assert refused.code == Code.RATE_LIMITED
    assert rig.journal.notes[-1].model == QWEN.canonical


async def test_a_changed_alias_binds_on_the_next_call() -> None:
    rig, client = await a_rig({canonical(GPT): QWEN.canonical})
    await rig.serve(client, a_call(model=GPT))

    tenant = await rig.tenants.change_aliases(
        client.tenant.name, lambda _: {canonical(GPT): LLAMA.canonical}, actor="op"
    )
    await rig.limits.announce(tenant.id, [(tenant.id, tenant.generation)])
    await rig.serve(client, a_call(model=GPT))

    assert [upstream.model.canonical for upstream in rig.backend.calls] == [QWEN.canonical, LLAMA.canonical]
