"""Looks at the catalogue: authenticated, checked, audited, free of charge."""

from __future__ import annotations

import attrs
import pytest

from application.look_up import LookUp
from application.rooms.permit import not_found
from domain.faults import FaultCode, StoreUnavailable
from domain.limits import Limits
from domain.models import canonical
from domain.policies import Policy
from domain.ports.limit_store import Outdated
from domain.ports.model_backend import Survey
from domain.refusals import Code, Refusal
from tests.application.rig import RecordingReply, Rig, RiggedBackend, a_call
from tests.fakes.model_backend import LLAMA

QWEN = attrs.evolve(LLAMA, name="qwen3:4b", canonical=canonical("qwen3:4b"))


async def test_a_look_is_free() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(rpm=1, concurrency=1)))

    callers = [await rig.look_up.enter(rig.present(client.secret, a_call())) for _ in range(5)]

    assert {caller.key_id for caller in callers} == {client.key.id}
    assert [(request.tokens, request.calls) for request in rig.limits.requests[-5:]] == [(0, 0)] * 5
    assert (await rig.serve(client)).reply.told is None
    assert rig.passwords.runs == 1


async def test_an_outdated_looker_is_looked_up_afresh() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.look_up.enter(rig.present(client.secret, a_call()))
    key = await rig.tenants.revoke_key(client.key.prefix, actor="console")
    await rig.limits.announce(client.tenant.id, [(key.id, key.generation)])

    with pytest.raises(Refusal) as refused:
        await rig.look_up.enter(rig.present(client.secret, a_call()))

    assert refused.value.code is Code.API_KEY_REVOKED


async def test_a_looker_that_never_settles_is_given_up() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.scripted.extend([Outdated()] * 9)

    with pytest.raises(StoreUnavailable) as closed:
        await rig.look_up.enter(rig.present(client.secret, a_call()))

    assert closed.value.code is FaultCode.IDENTITY_UNAVAILABLE
    assert len(rig.limits.requests) == 4


async def test_each_caller_sees_what_is_theirs() -> None:
    rig = await Rig.of(RiggedBackend(models=(LLAMA, QWEN)))
    everything = await rig.client()
    one = await rig.client("one", key_policy=Policy(models=frozenset({QWEN.canonical, canonical("gone")})))
    look = rig.look_up
    free = await look.enter(rig.present(everything.secret, a_call()))
    bound = await look.enter(rig.present(one.secret, a_call()))

    assert list(look.models(free)) == [LLAMA, QWEN]
    assert list(look.models(bound)) == [QWEN]
    assert look.model(bound, "QWEN3:4b") == QWEN
    for hidden in ("llama3.2:1b", "gone", "unheard-of"):
        with pytest.raises(Refusal) as refused:
            look.model(bound, hidden)
        assert (refused.value.code, refused.value.sentence) == (Code.MODEL_NOT_FOUND, not_found(hidden).sentence)


class _Versioned(RiggedBackend):
    async def survey(self) -> Survey:
        return attrs.evolve(await super().survey(), version=self.name)


@pytest.mark.parametrize(
    ("versions", "oldest"),
    [
        (["0.33.0"], "0.33.0"),
        (["0.33.0", "0.9.12"], "0.9.12"),
        (["0.33.0-rc1", "0.34"], "0.33.0-rc1"),
        (["0.33.0", ""], "0.33.0"),
        (["0.\u00b2", "0.33.0"], "0.\u00b2"),
        ([""], "0.0.0"),
    ],
)
async def test_the_version_is_the_oldest_of_the_healthy(versions: list[str], oldest: str) -> None:
    rig = await Rig.of(*map(_Versioned, versions))

    assert rig.look_up.version() == oldest
    for version in versions:
        rig.backends.mark_unreachable(version)
    assert rig.look_up.version() == "0.0.0"


async def test_a_look_and_a_refused_look_are_noted() -> None:
    rig = await Rig.of()
    client = await rig.client()
    presented = rig.present(client.secret, a_call())
    caller = await rig.look_up.enter(presented)
    reply = RecordingReply()
    look: LookUp = rig.look_up

    look.note(presented, reply, caller=caller)
    refusal = Refusal(Code.INVALID_API_KEY, "no")
    await reply.refuse(refusal, reply.rates)
    look.note(presented, reply, caller=None, reason=refusal)

    read, refused = rig.journal.notes
    assert (read.event, read.code, read.tenant_id, read.key_id) == ("read", None, client.tenant.id, client.key.id)
    assert (refused.event, refused.code, refused.status, refused.tenant_id) == ("refused", "invalid_api_key", 400, None)
