"""Room 5: the call's tokens held, on every budget window of key and tenant or on none.

The hold is also the audit's first row of the call, in the same transaction: nothing is sent that is not on record.
"""

from __future__ import annotations

import attrs

from application.presented import Presented
from application.rooms.settle import Debts
from domain.calls import Bounds, PermittedCall
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger, Granted, HoldRequest, Spent
from domain.refusals import BudgetHeld, BudgetSpent


async def reserve(
    ledger: BudgetLedger, debts: Debts, presented: Presented, caller: Caller, permitted: PermittedCall, *, epoch: int
) -> Bounds | None:
    """The bounds as granted: the output cap may be lower than wanted. None: caller or admission are out of date.

    Raises:
        BudgetSpent: a window has too little left. Nothing was held.
        BudgetHeld: the same, but only because of calls in flight.
        StoreUnavailable: closed; it may have been held all the same, so it stays a debt.
    """
    wanted = permitted.bounds
    request = HoldRequest(
        request_id=presented.request_id,
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        key_prefix=caller.key_prefix,
        epoch=epoch,
        prompt_tokens=wanted.prompt,
        output_tokens=wanted.output,
        output_factor=wanted.output_factor,
        route=presented.route,
        model=permitted.model.canonical,
        address=presented.address,
    )
    debts.will_hold()
    verdict = await ledger.hold(request)
    if isinstance(verdict, Granted):
        return attrs.evolve(wanted, output=verdict.output_tokens)
    debts.nothing_held()
    if isinstance(verdict, Spent):
        raise _refusal(verdict, request.least_tokens)
    return None


def _refusal(verdict: Spent, tokens: int) -> BudgetSpent | BudgetHeld:
    if verdict.only_held(tokens):
        return BudgetHeld(
            scope=verdict.scope, window=verdict.window, limit=verdict.limit, used=verdict.used, held=verdict.held
        )
    return BudgetSpent(
        scope=verdict.scope,
        window=verdict.window,
        limit=verdict.limit,
        used=verdict.used,
        held=verdict.held,
        ends=verdict.ends,
    )
