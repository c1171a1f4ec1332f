"""Room 4: all rate windows and slots of key and tenant, all or nothing, and whether the caller is still who it was.

When the store has lost a tenant's windows, they are restored from the ledger first. Restoring starts a new epoch, and
the ledger refuses holds that were admitted under a former one, so that a call admitted before the loss and not yet on
record cannot slip past the restored windows. Should the epoch start and the restoring never come, `renew` heals it.
"""

from __future__ import annotations

from functools import partial

from application.single_flight import SingleFlight
from domain.faults import FaultCode, StoreUnavailable
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.limit_store import Admission, AdmissionRequest, Admitted, Empty, LimitStore

TRIES = 3


def admission_request(
    caller: Caller, request_id: str, *, tokens: int, calls: int, attempt: int = 0
) -> AdmissionRequest:
    """What the store is asked for a caller."""
    return AdmissionRequest(
        request_id=request_id,
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        tenant_generation=caller.tenant_generation,
        key_generation=caller.key_generation,
        tenant_limits=caller.tenant_policy.limits,
        key_limits=caller.key_policy.limits,
        tokens=tokens,
        calls=calls,
        attempt=attempt,
    )


class Admit:
    """Asks the limit store, and restores it when it is empty."""

    def __init__(self, *, limits: LimitStore, ledger: BudgetLedger) -> None:
        self._limits = limits
        self._ledger = ledger
        self._restoring = SingleFlight[str, None]()

    async def __call__(self, request: AdmissionRequest) -> Admission:
        """The store's verdict; never `Empty`.

        Raises:
            StoreUnavailable: closed.
        """
        for _ in range(TRIES):
            verdict = await self._limits.admit(request)
            if not isinstance(verdict, Empty):
                return verdict
            await self._restoring.run(request.tenant_id, partial(self._restore, request.tenant_id))
        raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "The rate limiter is being restored. Please try again.")

    async def renew(self, question: AdmissionRequest, epoch: int) -> None:
        """Restores windows whose admissions the ledger refuses. Whoever read newer facts may have died before it
        restored them; then the ledger is an epoch ahead of the windows, and nobody would find them empty.

        Args:
            question: a look, which costs nothing.
            epoch: the one that was refused; windows of another are left alone.

        Raises:
            StoreUnavailable: closed.
        """
        verdict = await self._limits.admit(question)
        if isinstance(verdict, Admitted) and verdict.epoch == epoch:
            await self._restoring.run(question.tenant_id, partial(self._restore, question.tenant_id))

    async def _restore(self, tenant_id: str) -> None:
        facts = await self._ledger.tenant_facts(tenant_id)
        await self._limits.restore(tenant_id, facts)
