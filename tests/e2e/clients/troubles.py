"""Everything a caller's library may be told instead of an answer, brought about on a real gateway.

A `Trouble` says how it comes about and what must be seen of it from outside: the status, the stable code, and how many
requests a library may make of one call that is allowed RETRIES.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import attrs
import httpx

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Policy
from tests.e2e.house import House, Key

MODEL = "sim-chat"
RETRIES = 1
"""Instead of the libraries' default of two: the second wait would show nothing that the first does not."""
MOST_BODY_BYTES = 65_536
_HI = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": False}


@attrs.frozen(kw_only=True)
class Scene:
    """What a library is given for its call."""

    url: str
    api_key: str = attrs.field(repr=False)
    model: str = MODEL
    headers: dict[str, str] = attrs.field(factory=dict)
    text: str = "Say hello."


@attrs.frozen(kw_only=True)
class Trouble:
    """One thing that goes wrong."""

    status: int
    code: str
    tries: int
    """Requests of one call by a library that may try again RETRIES times."""
    arrange: Callable[[House], contextlib.AbstractContextManager[Scene]]
    streamed: bool = False
    """Whether it strikes after the answer has begun."""


def _scene(house: House, key: Key | None = None) -> Scene:
    return Scene(url=house.url, api_key=(key or house.new_key()).text)


@contextlib.contextmanager
def _no_key_of_ours(house: House) -> Iterator[Scene]:
    yield attrs.evolve(_scene(house), api_key="nz_nobody")


@contextlib.contextmanager
def _revoked(house: House) -> Iterator[Scene]:
    key = house.new_key()
    house.revoke(key)
    yield _scene(house, key)


@contextlib.contextmanager
def _suspended(house: House) -> Iterator[Scene]:
    key = house.new_key()
    house.suspend(key)
    yield _scene(house, key)


@contextlib.contextmanager
def _unknown_model(house: House) -> Iterator[Scene]:
    yield attrs.evolve(_scene(house), model="nope")


@contextlib.contextmanager
def _too_large(house: House) -> Iterator[Scene]:
    yield attrs.evolve(_scene(house), text="x" * (2 * MOST_BODY_BYTES))


@contextlib.contextmanager
def _encoded(house: House) -> Iterator[Scene]:
    yield attrs.evolve(_scene(house), headers={"Content-Encoding": "zstd"})


@contextlib.contextmanager
def _rate_limited(house: House) -> Iterator[Scene]:
    key = house.new_key(tenant_policy=Policy(limits=Limits(rpm=1)))
    with house.client(key) as client:
        assert client.post("/api/chat", json=_HI).status_code == httpx.codes.OK
    yield _scene(house, key)


@contextlib.contextmanager
def _budget_spent(house: House) -> Iterator[Scene]:
    yield _scene(house, house.new_key(tenant_policy=Policy(budgets=Budgets(daily=1))))


@contextlib.contextmanager
def _budget_held(house: House) -> Iterator[Scene]:
    key = house.new_key(tenant_policy=Policy(budgets=Budgets(daily=4000)))
    house.simulator.behave({"behaviour": {"stall_after_objects": 1, "stall_s": -1}, "times": 1})
    try:
        running = {**_HI, "stream": True, "options": {"num_predict": 4000}}
        with house.client(key) as client, client.stream("POST", "/api/chat", json=running) as answer:
            assert answer.status_code == httpx.codes.OK  # it holds all that is left
            yield _scene(house, key)
    finally:
        house.simulator.behave_normally()
    house.settled()


@contextlib.contextmanager
def _behaving(house: House, behaviour: dict[str, object]) -> Iterator[Scene]:
    house.simulator.behave({"behaviour": behaviour})
    try:
        yield _scene(house)
    finally:
        house.simulator.behave_normally()


def _busy(house: House) -> contextlib.AbstractContextManager[Scene]:
    return _behaving(house, {"status": 503})


_BEGUN = {"stall_after_objects": 3, "stall_s": 0.5, "end_after_objects": 5}
"""The answer is on its way when it breaks off; what comes in one read with its failure is refused by its status."""


def _failing_in_mid_stream(house: House) -> contextlib.AbstractContextManager[Scene]:
    return _behaving(house, _BEGUN | {"ending": "failure"})


def _ending_without_its_end(house: House) -> contextlib.AbstractContextManager[Scene]:
    return _behaving(house, _BEGUN | {"ending": "missing-done"})


def _dying_in_mid_stream(house: House) -> contextlib.AbstractContextManager[Scene]:
    return _behaving(house, _BEGUN | {"ending": "reset"})


TROUBLES: dict[str, Trouble] = {
    "no key of ours": Trouble(status=401, code="invalid_api_key", tries=1, arrange=_no_key_of_ours),
    "a revoked key": Trouble(status=401, code="api_key_revoked", tries=1, arrange=_revoked),
    "a suspended tenant": Trouble(status=403, code="tenant_suspended", tries=1, arrange=_suspended),
    "an unknown model": Trouble(status=404, code="model_not_found", tries=1, arrange=_unknown_model),
    "a body too large": Trouble(status=413, code="body_too_large", tries=1, arrange=_too_large),
    "an encoded body": Trouble(status=415, code="unsupported_encoding", tries=1, arrange=_encoded),
    "a spent budget": Trouble(status=429, code="budget_exhausted", tries=1, arrange=_budget_spent),
    "a budget that a running call holds": Trouble(
        status=429, code="budget_held", tries=1 + RETRIES, arrange=_budget_held
    ),
    "a full minute": Trouble(status=429, code="rate_limited", tries=1 + RETRIES, arrange=_rate_limited),
    "a busy backend": Trouble(status=503, code="backend_busy", tries=1 + RETRIES, arrange=_busy),
    "a failure in mid-stream": Trouble(
        status=200, code="stream_broken", tries=1, arrange=_failing_in_mid_stream, streamed=True
    ),
    "an end without its mark": Trouble(
        status=200, code="stream_broken", tries=1, arrange=_ending_without_its_end, streamed=True
    ),
    "a reset in mid-stream": Trouble(
        status=200, code="stream_broken", tries=1, arrange=_dying_in_mid_stream, streamed=True
    ),
}
REFUSED = {name: trouble for name, trouble in TROUBLES.items() if not trouble.streamed}
BROKEN = {name: trouble for name, trouble in TROUBLES.items() if trouble.streamed}
PATIENT = {name for name, trouble in TROUBLES.items() if trouble.code in ("rate_limited", "budget_held")}
"""Here a library that retries waits for `Retry-After`, which is up to a minute: it is asked for one try only."""
