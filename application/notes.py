"""Audit traces of requests that took no hold: refused, or only looking. The holds' own traces are the ledger's."""

from __future__ import annotations

from application.presented import Presented, Reply
from application.rooms.identify import KnownAndRefused
from domain.faults import Fault
from domain.policies import Caller
from domain.ports.usage_journal import Event, Note
from domain.refusals import Refusal


def note_of(
    presented: Presented,
    reply: Reply,
    reason: Refusal | Fault | None,
    caller: Caller | None = None,
    model: str | None = None,
) -> Note:
    """What the audit is told of a request, after its reply. Without a reason it was answered.

    Args:
        presented: the request.
        reply: what it was told.
        reason: why it was not answered.
        caller: whose it was, as far as that is known.
        model: which it asked for: as permitted, in canonical form; before that, as the caller spelt it.
    """
    if isinstance(reason, KnownAndRefused):
        caller = reason.caller
    return Note(
        request_id=presented.request_id,
        event=Event.READ if reason is None else Event.REFUSED,
        route=presented.route,
        address=presented.address,
        status=reply.status,
        code=None if reason is None else reason.code.value,
        tenant_id=caller.tenant_id if caller else None,
        key_id=caller.key_id if caller else None,
        key_prefix=caller.key_prefix if caller else None,
        model=model,
    )
