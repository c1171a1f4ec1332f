"""ON_HANG_UP=drain: whoever leaves, the model finishes, and the call costs exactly what its backend counted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import httpx
import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.hang_ups.clients import Caller, Dialect, Leaving, body_of
from tests.e2e.house import House, Key
from tests.e2e.programs import Gateway
from tests.soak.leftovers import await_none

TOKENS, LONG = 60, 400
DRAINING = {"ON_HANG_UP": "drain", "HANG_UP_DRAIN_S": "30"}


@attrs.frozen
class Gateways:
    """One of each kind."""

    house: House
    ours: Gateway
    stock: Gateway
    """Hypercorn's HTTP/1. Its whole stop may take a second."""
    brief: Gateway
    """Its bound is a second."""


@pytest.fixture(scope="module")
def gateways(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    options = ("--token-delay-ms", "30", "--tokens", str(LONG))
    with House.open(stores, tmp_path_factory.mktemp("drain"), *options, **DRAINING) as house:
        made = Gateways(
            house,
            ours=house.add_gateway(),
            stock=house.add_gateway(HTTP_PARSER="h11"),
            brief=house.add_gateway(HANG_UP_DRAIN_S="1"),
        )
        for gateway in house.gateways:
            gateway.wait_ready()
        yield made


def left(
    gateway: Gateway, key: Key, dialect: Dialect, leaving: Leaving, *, streamed: bool = True, cap: int = TOKENS
) -> None:
    """A call whose client leaves when the answer has begun, or before it comes in one piece."""

    async def ask_and_leave() -> None:
        caller = await Caller.ask(
            gateway.url, key, dialect, body_of(dialect, "sim-chat", "Hi", streamed=streamed, cap=cap)
        )
        if streamed:
            await caller.read_until(b"\n", times=12)
        else:
            await asyncio.sleep(0.5)
        caller.leave(leaving)

    asyncio.run(ask_and_leave())


def books_of(house: House, key: Key) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The one row that ends the tenant's call, and what the backend says of it."""
    house.settled(within_s=20)
    (row,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    (entry,) = [one for one in house.simulator.log() if one["request_id"] == row["request_id"].hex]
    return row, entry


@pytest.mark.parametrize("parser", ["ours", "stock"])
@pytest.mark.parametrize(
    ("dialect", "leaving", "streamed"),
    [
        (Dialect.NATIVE, Leaving.FIN, True),
        (Dialect.OPENAI, Leaving.RST, True),
        (Dialect.ANTHROPIC, Leaving.FIN, False),
        (Dialect.RESPONSES, Leaving.RST, False),
    ],
    ids=str,
)
def test_the_model_finishes_and_its_own_count_is_charged(
    gateways: Gateways,
    parser: str,
    dialect: Dialect,
    leaving: Leaving,
    streamed: bool,  # noqa: FBT001  a column
) -> None:
    house, gateway = gateways.house, getattr(gateways, parser)
    key = house.new_key(tenant_policy=Policy(limits=Limits(concurrency=1)))

    left(gateway, key, dialect, leaving, streamed=streamed)
    with httpx.Client(base_url=gateway.url, headers=key.headers, timeout=30) as client:
        meanwhile = client.post("/api/chat", content=body_of(Dialect.NATIVE, "sim-chat", "Hi", streamed=False, cap=1))
    row, entry = books_of(house, key)

    assert meanwhile.status_code == 429, "its slot is kept"
    assert (entry["ended"], entry["output_tokens"]) == ("done", TOKENS)
    assert (row["outcome"], row["code"]) == ("hung_up", None)
    assert (row["prompt_tokens"], row["output_tokens"]) == (entry["prompt_tokens"], TOKENS)
    assert house.used(key) == entry["prompt_tokens"] + TOKENS


def test_a_bound_ends_it_by_half_close(gateways: Gateways) -> None:
    house, key = gateways.house, gateways.house.new_key()

    left(gateways.brief, key, Dialect.NATIVE, Leaving.FIN, cap=LONG)
    row, entry = books_of(house, key)

    assert (entry["ended"], entry["hang_up_by"], row["outcome"]) == ("hang-up", "fin", "hung_up")
    made = entry["prompt_tokens"] + entry["output_tokens"]
    assert made <= row["prompt_tokens"] + row["output_tokens"] < row["held_tokens"]


def test_a_stop_lets_it_finish_within_the_drain(gateways: Gateways) -> None:
    house, key = gateways.house, gateways.house.new_key()
    gateway = house.add_gateway()
    gateway.wait_ready()

    left(gateway, key, Dialect.NATIVE, Leaving.FIN)
    gateway.send(signal.SIGTERM)
    assert gateway.wait(20) == 0
    row, entry = books_of(house, key)

    assert (entry["ended"], row["outcome"]) == ("done", "hung_up")
    assert (row["prompt_tokens"], row["output_tokens"]) == (entry["prompt_tokens"], TOKENS)


def test_a_stop_waits_for_it_no_longer_than_for_others(gateways: Gateways) -> None:
    house, key = gateways.house, gateways.house.new_key()
    gateway = house.add_gateway(DRAIN_TIMEOUT_S="1")
    gateway.wait_ready()

    left(gateway, key, Dialect.NATIVE, Leaving.FIN, cap=LONG)
    gateway.send(signal.SIGTERM)
    assert gateway.wait(20) == 0
    row, entry = books_of(house, key)

    assert (entry["ended"], entry["hang_up_by"], row["outcome"]) == ("hang-up", "fin", "hung_up")
    assert entry["prompt_tokens"] + entry["output_tokens"] <= row["prompt_tokens"] + row["output_tokens"]
    assert await_none(house, 10) == []
