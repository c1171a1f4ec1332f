"""One outage from its beginning to the last row in the books; the same for every store and every kind of trouble."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import attrs

from tests.e2e.outages.asking import DIALECTS, refused_well
from tests.e2e.outages.books import begun_between, disagreements
from tests.e2e.outages.probing import Probing
from tests.e2e.outages.site import Site
from tests.figures.record import record
from tests.figures.table import Figure


@attrs.frozen
class Store:
    """What the gateway owes its callers when this store is away."""

    code: str
    serves_again: Figure
    within_s: float


REDIS = Store("limiter_unavailable", Figure.SERVES_AGAIN_REDIS, 2.0)
POSTGRES = Store("ledger_unavailable", Figure.SERVES_AGAIN_POSTGRES, 5.0)


@attrs.frozen(kw_only=True)
class Trouble:
    """How a store is made unusable, and usable again. Both have happened when they return."""

    name: str
    begin: Callable[[Site], None]
    end: Callable[[Site], None]
    in_part: bool = False
    """Whether a call may now and then still be recorded, and is served then."""


def endure(site: Site, store: Store, trouble: Trouble, *, for_s: float) -> None:
    """Breaks the store under probes and streams, mends it, and joins the books.

    Args:
        site: where.
        store: which one it is.
        trouble: what happens to it.
        for_s: seconds that it stays unusable.
    """
    with Probing(site) as probing:
        probing.until(lambda told: any(one.served for one in told))
        with contextlib.ExitStack() as mended:
            mended.callback(trouble.end, site)
            trouble.begin(site)
            broken_s = time.time()
            probing.until(lambda told: {one.path for one in told if one.sent_at_s > broken_s} == set(DIALECTS))
            time.sleep(max(0.0, broken_s + for_s - time.time()))
            mending_s = time.time()
        mended_s = time.time()
        again_s = probing.served_again_s(mended_s)
        streams = probing.streams()
    probes = probing.told()

    begun = begun_between(site.house, [*probes, *streams], broken_s, mending_s)
    if trouble.in_part:
        begun = [one.request_id for one in probes if not one.served and one.request_id in begun]
    away = [one for one in probes if one.sent_at_s > broken_s and one.ended_at_s < mending_s]
    wrong = [fault for one in probes if not one.served and (fault := refused_well(one, store.code))]
    record(
        Figure.ADMITTED_WITHOUT_STORE, str(len(begun)), good=not begun, how=f"{trouble.name}: {len(away)} calls sent"
    )
    record(store.serves_again, f"{again_s:.2f} s", good=again_s <= store.within_s, how=trouble.name)

    assert not begun, begun
    assert {one.path for one in away if not one.served} == set(DIALECTS), away
    assert not wrong, wrong
    assert all(one.whole for one in streams), streams
    assert again_s <= store.within_s, again_s
    unsettled = disagreements(site.house, site.key)
    assert not unsettled, unsettled
