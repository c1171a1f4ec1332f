"""An abandoned prompt keeps its places for as long as it is likely to be read on."""

from __future__ import annotations

import asyncio

import pytest

from application.afterwork import LONGEST_REST_S, Afterwork
from tests.application.rig import in_no_time

SLOT = ("t", "k", "a")


def test_nothing_is_waited_for_before_anything_is_known() -> None:
    assert Afterwork().rest_s("b", "m", 1000, 0.0) == 0


def test_the_rest_is_what_such_a_prompt_takes_less_what_it_had() -> None:
    afterwork = Afterwork()
    afterwork.learn("b", "m", 100, 2.0)

    assert afterwork.rest_s("b", "m", 100, 0.5) == pytest.approx(1.5)
    assert afterwork.rest_s("b", "m", 50, 0.5) == pytest.approx(0.5)
    assert afterwork.rest_s("b", "m", 100, 2.5) == 0
    assert afterwork.rest_s("other", "m", 100, 0.5) == 0


def test_a_slower_observation_is_believed_slowly_and_a_faster_one_at_once() -> None:
    afterwork = Afterwork()
    afterwork.learn("b", "m", 100, 1.0)
    afterwork.learn("b", "m", 100, 2.0)
    afterwork.learn("b", "m", 0, 99.0)

    assert afterwork.rest_s("b", "m", 100, 0.0) == pytest.approx(1.1)
    afterwork.learn("b", "m", 100, 0.5)
    assert afterwork.rest_s("b", "m", 100, 0.0) == pytest.approx(0.5)


def test_no_place_stays_taken_for_ever() -> None:
    afterwork = Afterwork()
    afterwork.learn("b", "m", 1, 1000.0)

    assert afterwork.rest_s("b", "m", 100, 0.0) == LONGEST_REST_S


def test_without_a_rest_it_is_let_go_at_once() -> None:
    let_go: list[str] = []
    afterwork = Afterwork()

    afterwork.later(0.0, lambda: let_go.append("now"), SLOT)

    assert let_go == ["now"]
    assert not afterwork.slots


def test_with_a_rest_its_slot_is_renewed_until_then() -> None:
    async def story() -> None:
        let_go: list[str] = []
        afterwork = Afterwork()
        afterwork.later(5.0, lambda: let_go.append("later"), SLOT)

        await asyncio.sleep(4.9)
        assert afterwork.slots == [SLOT]
        assert not let_go
        await asyncio.sleep(0.2)
        assert afterwork.slots == []
        assert let_go == ["later"]

    in_no_time(story())
