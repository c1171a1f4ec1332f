"""Looks at the catalogue: what a caller may know of models and backends. Answered from memory, never from a backend.

A look is authenticated, its key's generation is checked, and it is audited; it takes no slot and no tokens, since
clients look often and cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from application.backends import Backends
from application.notes import note_of
from application.presented import Presented, Reply
from application.rooms.admit import Admit, admission_request
from application.rooms.identify import TRIES, Identify, never_settled
from application.rooms.permit import not_found
from domain.faults import Fault, FaultCode, StoreUnavailable
from domain.keys import PresentedKey
from domain.models import Model, canonical
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.limit_store import Outdated
from domain.ports.usage_journal import UsageJournal
from domain.refusals import Refusal


class LookUp:
    """Identifies callers who look, and shows each what is theirs to see."""

    def __init__(
        self, *, identify: Identify, admit: Admit, ledger: BudgetLedger, journal: UsageJournal, backends: Backends
    ) -> None:
        self._identify = identify
        self._admit = admit
        self._ledger = ledger
        self._journal = journal
        self._backends = backends

    def require_key(self, presented: Presented) -> PresentedKey:
        """The key, as far as its check tells: turns strangers away before anything of theirs is read.

        Raises:
            Refusal: no key of ours was sent.
        """
        return self._identify.read(presented)

    async def enter(self, presented: Presented) -> Caller:
        """The caller, still good.

        Raises:
            Refusal: 401 or 403.
            Fault: it cannot be known now, or a look could not be recorded.
        """
        await self._ledger.ping()
        if self._journal.full:
            raise StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "The audit cannot take more now. Please try again.")
        for attempt in range(TRIES):
            caller = await self._identify(presented, fresh=attempt > 0)
            request = admission_request(caller, presented.request_id, tokens=0, calls=0)
            if not isinstance(await self._admit(request), Outdated):
                return caller
        raise never_settled()

    def models(self, caller: Caller) -> Sequence[Model]:
        """The models this caller may use, each under every name that leads to it: its own, then the aliases."""
        catalogue = self._backends.catalogue
        own = (catalogue.one(name) for name in catalogue.names() if name not in caller.aliases)
        aliased = ((alias, catalogue.one(model)) for alias, model in sorted(caller.aliases.items()))
        named = [
            *(model for model in own if model is not None),
            *(model.under(alias) for alias, model in aliased if model is not None),
        ]
        return [model for model in named if caller.may_use(model.canonical)]

    def model(self, caller: Caller, asked: str) -> Model:
        """One of them.

        Raises:
            Refusal: there is none of that name for this caller.
        """
        name = caller.meant_by(canonical(asked))
        model = self._backends.catalogue.one(name)
        if model is None or not caller.may_use(name):
            raise not_found(asked)
        return model

    def version(self) -> str:
        """The oldest version among the healthy backends; what every one of them can do."""
        versions = [state.version for state in self._backends.states() if state.healthy and state.version]
        return min(versions, key=_release, default="0.0.0")

    def note(
        self, presented: Presented, reply: Reply, *, caller: Caller | None, reason: Refusal | Fault | None = None
    ) -> None:
        """Writes the look to the audit."""
        self._journal.note(note_of(presented, reply, reason, caller))


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdecimal())
