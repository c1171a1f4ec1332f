"""Whether the process can serve, part by part."""

from __future__ import annotations

import asyncio

from application.readiness import PROBE_TIMEOUT_S, Readiness
from domain.refusals import Code, Refusal
from tests.application.rig import Rig, RiggedBackend, in_no_time
from tests.fakes.usage_journal import MemoryUsageJournal


def readiness_of(rig: Rig) -> Readiness:
    return Readiness(ledger=rig.ledger, limits=rig.limits, journal=rig.journal, backends=rig.backends)


async def test_one_healthy_backend_is_enough() -> None:
    rig = await Rig.of(RiggedBackend("one"), RiggedBackend("two"))
    readiness = readiness_of(rig)
    rig.backends.mark_unreachable("two")

    parts = await readiness.parts()

    assert readiness.ready(parts)
    assert parts == {
        "postgres": "ok",
        "redis": "ok",
        "ollama": "ok",
        "backend:one": "ok",
        "backend:two": "unavailable",
        "audit": "ok",
        "process": "ok",
    }


async def test_every_other_part_must_be_well() -> None:
    rig = await Rig.of()
    readiness = readiness_of(rig)

    rig.books.unavailable = True
    assert (await readiness.parts())["postgres"] == "unavailable"
    assert not readiness.ready(await readiness.parts())
    rig.books.unavailable = False
    rig.limits.down = True
    assert (await readiness.parts())["redis"] == "unavailable"
    assert not readiness.ready(await readiness.parts())
    rig.limits.down = False
    rig.backends.mark_unreachable("fake")
    assert (await readiness.parts())["ollama"] == "no backend answers"
    assert not readiness.ready(await readiness.parts())
    await rig.backends.survey_all()
    assert readiness.ready(await readiness.parts())
    readiness.stopping = True
    assert (await readiness.parts())["process"] == "stopping"
    assert not readiness.ready(await readiness.parts())


async def test_an_audit_that_loses_notes_closes() -> None:
    rig = await Rig.of()
    rig.journal = MemoryUsageJournal(rig.books, capacity=0)
    readiness = readiness_of(rig)
    presented, reason = rig.present(None, Refusal(Code.INVALID_JSON, "no")), Refusal(Code.INVALID_JSON, "no")
    rig.look_up._journal = rig.journal
    served = await rig.serve(None)

    rig.look_up.note(presented, served.reply, caller=None, reason=reason)

    assert (await readiness.parts())["audit"] == "full"
    assert not readiness.ready(await readiness.parts())


class _NeverPings(Rig):
    async def ping(self) -> None:
        await asyncio.Event().wait()


def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    async def story() -> None:
        rig = await _NeverPings.of()
        rig.ledger.ping = rig.limits.ping = rig.ping  # type: ignore[attr-defined, method-assign]
        began_s = asyncio.get_running_loop().time()

        parts = await readiness_of(rig).parts()

        assert asyncio.get_running_loop().time() - began_s < PROBE_TIMEOUT_S + 0.5
        assert (parts["postgres"], parts["redis"]) == ("unavailable", "unavailable")

    in_no_time(story())
