"""Room for bodies: counted for all and for one key, refused when full, whole again afterwards."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from domain.faults import FaultCode, Overloaded
from entrypoints.http.body_room import BodyRoom
from entrypoints.http.incoming import ClientGone, Intake, read_body
from entrypoints.http.reading import call_in
from entrypoints.http.routes import TABLE, Inference

CHAT = TABLE[b"/api/chat"][1]
INTAKE = Intake(max_body_bytes=1000, body_timeout_s=5)
SCOPE = {"type": "http", "headers": []}


def chunk(size: int, *, more: bool) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=30))
def test_no_more_is_held_than_there_is_room_for_and_all_of_it_is_given_back(asked: list[tuple[str, int]]) -> None:
    room = BodyRoom(most=100, most_of_one=70)
    places = []
    for key, size in asked:
        place = room.place_of(key)
        places.append(place)
        fits = room.has_room(key, size)
        try:
            place.take(size)
        except Overloaded:
            fits = not fits
        assert fits
        assert room.held <= 100

    for place in places:
        place.leave()
        place.leave()
    assert room == BodyRoom(most=100, most_of_one=70)


def test_one_key_does_not_take_the_room_of_another() -> None:
    room = BodyRoom(most=100, most_of_one=50)
    room.place_of("greedy").take(50)

    with pytest.raises(Overloaded) as full:
        room.place_of("greedy").take(1)
    assert full.value.code is FaultCode.OVERLOADED
    room.place_of("modest").take(50)


async def test_a_body_takes_room_as_it_comes_and_not_as_it_is_announced() -> None:
    room = BodyRoom(most=100, most_of_one=100)
    place = room.place_of("key")
    messages = [chunk(40, more=True), {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(ClientGone):
        await read_body(SCOPE, receive, INTAKE, place.take)
    assert room.held == 40
    place.leave()
    assert room.held == 0


async def test_a_body_for_which_there_is_no_room_is_not_read_on() -> None:
    room = BodyRoom(most=50, most_of_one=50)
    messages = [chunk(40, more=True), chunk(40, more=True), chunk(40, more=False)]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(Overloaded):
        await read_body(SCOPE, receive, INTAKE, room.place_of("key").take)
    assert len(messages) == 1


async def test_the_long_bodies_of_one_key_wait_for_one_another_and_not_those_of_others() -> None:
    assert isinstance(CHAT, Inference)
    text = b"\\n" * 400_000
    body = b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}]}'
    ended: list[str] = []

    async def read(whose: str) -> None:
        await call_in(body, CHAT, whose)
        ended.append(whose)

    flood = [asyncio.create_task(read("greedy")) for _ in range(6)]
    await asyncio.sleep(0)
    await asyncio.gather(*flood, asyncio.create_task(read("modest")))

    assert ended.index("modest") <= 1
