"""The end of every history: whoever lives pays, the dead are reaped; then nothing is held and everybody is served."""

from __future__ import annotations

from datetime import timedelta

from application.rooms.identify import TRIES
from domain.budgets import NO_BUDGETS
from domain.calls import Bounds
from domain.limits import NO_LIMITS
from domain.policies import TenantState
from domain.ports.limit_store import Empty
from tests.histories.gateways import Call, Ends, Stage
from tests.histories.house import House, Key, new_call


def close(house: House) -> None:
    """Ends a history."""
    _end_all(house)
    nothing_is_held(house)
    no_slot_is_taken(house)
    every_good_key_is_served(house)


def _end_all(house: House) -> None:
    for process in house.processes:
        house.books.beat(process.id)
        house.send(process)
        house.send(process)
        for call in process.calls:
            if call.stage is Stage.HELD:
                call.ends(Ends.WHOLE, reported=1)
        house.send(process)
        house.deliver(process)
    house.time.advance(timedelta(seconds=61))
    for process in house.processes:
        house.books.beat(process.id)
    house.books.reap()
    house.look()


def nothing_is_held(house: House) -> None:
    """Neither by calls that have ended nor by processes that have died."""
    assert [hold for hold in house.seen.holds if hold.state == "open"] == []
    assert [one for one in house.seen.windows if one.held] == []


def no_slot_is_taken(house: House) -> None:
    """I7. Nothing has been renewed for 61 s."""
    for kept in house.kept:
        assert all(one.leases == frozenset() for one in kept)


def every_good_key_is_served(house: House) -> None:
    """Whatever has happened, a call that no limit forbids is granted within the tries of one request."""
    for key in house.keys:
        if key.revoked or (key.expires_at is not None and key.expires_at <= house.time.now):
            continue
        key.tenant.state = TenantState.ACTIVE
        house.books.set_state(key.tenant.id, TenantState.ACTIVE)
        for scope in (key, key.tenant):
            house.change(scope, limits=NO_LIMITS, budgets=NO_BUDGETS)
        assert _serve(house, key), "a tenant is shut out for good"


def _serve(house: House, key: Key) -> Call | None:
    """As `Pipeline._enter` and `Admit` do it."""
    process = house.processes[0]
    for attempt in range(TRIES):
        if attempt > 0:
            process.callers.pop(key.prefix, None)
        caller = house.identify(process, key)
        assert caller is not None
        call = new_call(process, caller, Bounds(prompt=1, output=1))
        if isinstance(house.ask(call), Empty):
            house.read_facts(process, key.tenant)
            house.restore(process, key.tenant)
            house.ask(call)
        house.send(process)
        if call.stage is Stage.HELD:
            return call
        if attempt > 0 and call.verdict is not None and call.verdict.epoch == key.tenant.filled:
            house.read_facts(process, key.tenant)
            house.restore(process, key.tenant)
    return None
