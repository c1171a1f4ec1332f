"""Which backends are healthy, and what they have between them."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from application import backends as module
from application.backends import Backends
from domain.faults import BackendFailed, BackendUnreachable
from domain.models import canonical
from tests.application.rig import RiggedBackend, in_no_time
from tests.fakes.model_backend import LLAMA

NAME = canonical("llama3.2:1b")
QWEN = attrs.evolve(LLAMA, name="qwen3:4b", canonical=canonical("qwen3:4b"))


async def test_before_a_survey_nothing_is_known() -> None:
    backends = Backends([RiggedBackend("one")])

    assert not backends.any_healthy
    assert backends.healthy_hosts(NAME) == {}
    [state] = backends.states()
    assert (state.name, state.healthy, state.version) == ("one", False, "")


async def test_a_survey_makes_backends_healthy_and_their_models_known() -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two", models=(QWEN,))
    backends = Backends([one, two])

    await backends.survey_all()

    assert backends.any_healthy
    assert dict(backends.healthy_hosts(NAME)) == {"one": LLAMA}
    assert list(backends.catalogue.names()) == [NAME, QWEN.canonical]
    assert [(state.name, state.version) for state in backends.states()] == [("one", "0.33.0"), ("two", "0.33.0")]
    assert backends["two"] is two


@pytest.mark.parametrize("fault", [BackendUnreachable(), BackendFailed(), ValueError("nonsense"), RecursionError()])
async def test_a_backend_that_fails_its_survey_is_out_and_its_models_stay_known(fault: Exception) -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two", models=())
    backends = Backends([one, two])
    await backends.survey_all()
    one.survey_fault = fault
    two.models = [QWEN]

    await backends.survey_all()
    await backends.survey_all()

    assert backends.healthy_hosts(NAME) == {}
    assert backends.catalogue.one(NAME) is not None
    assert dict(backends.healthy_hosts(QWEN.canonical)) == {"two": QWEN}
    one.survey_fault = None
    await backends.survey_all()
    assert dict(backends.healthy_hosts(NAME)) == {"one": LLAMA}


async def test_a_backend_that_never_answered_has_no_models() -> None:
    one = RiggedBackend("one")
    one.survey_fault = BackendUnreachable()
    backends = Backends([one])

    await backends.survey_all()
    await backends.survey_all()

    assert list(backends.catalogue.names()) == []
    assert not backends.any_healthy


async def test_an_unreachable_backend_is_out_until_its_next_good_survey() -> None:
    backends = Backends([RiggedBackend("one")])
    await backends.survey_all()

    backends.mark_unreachable("one")
    backends.mark_unreachable("one")
    assert not backends.any_healthy
    await backends.survey_all()

    assert backends.any_healthy


def test_a_backend_that_does_not_answer_its_survey_holds_up_nobody_for_long() -> None:
    async def story() -> None:
        one, two = RiggedBackend("one"), RiggedBackend("two")
        one.surveyed.shut()
        backends = Backends([one, two])
        began_s = asyncio.get_running_loop().time()

        await backends.survey_all()

        assert asyncio.get_running_loop().time() - began_s < module.SURVEY_TIMEOUT_S + 0.5
        assert [state.healthy for state in backends.states()] == [False, True]

    in_no_time(story())


def test_one_late_survey_does_not_take_a_working_backend_out_and_a_second_does() -> None:
    async def story() -> None:
        one = RiggedBackend("one")
        backends = Backends([one])
        seen = []
        for answers in (True, False, False, True, False):
            one.surveyed.open() if answers else one.surveyed.shut()
            await backends.survey_all()
            seen.append(backends.any_healthy)

        assert seen == [True, True, False, True, True], "a good survey forgives what was before it"

    in_no_time(story())
