"""What is told to those whose request the server could not read: as the door tells it, in the same form and books."""

from __future__ import annotations

import attrs

from domain.faults import Fault
from domain.ports.call_observer import CallObserver, TurnedAway
from domain.ports.surroundings import Entropy
from domain.ports.usage_journal import Event, Note, UsageJournal
from domain.refusals import Refusal
from entrypoints.http.problems import body_of, headers_of, id_headers, shape_of
from entrypoints.http.reply import JSON
from entrypoints.http.routes import dialect_of
from entrypoints.http1.edge import Answer

_NO_ROUTE = "-"


@attrs.frozen(kw_only=True)
class Unread:
    """Answers for the HTTP edge."""

    journal: UsageJournal
    observer: CallObserver
    entropy: Entropy

    def answer(self, reason: Refusal | Fault, target: bytes, address: str) -> Answer:
        """The answer, counted and noted.

        Args:
            reason: why it is no request.
            target: as far as it was read; nothing of it is written down.
            address: the peer's own, since no header is believed.
        """
        request_id = self.entropy.request_id()
        named = f"req_{request_id}"
        status, code = shape_of(reason).status, reason.code.value
        self.journal.note(
            Note(
                request_id=request_id,
                event=Event.REFUSED,
                route=_NO_ROUTE,
                address=address,
                status=status,
                code=code,
            )
        )
        self.observer.turned_away(TurnedAway(route=_NO_ROUTE, code=code, status=status))
        dialect = dialect_of(target)
        headers = [JSON, *id_headers(dialect, named), *headers_of(reason)]
        return Answer(status, headers, body_of(reason, dialect, named))
