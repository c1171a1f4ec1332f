"""Room 3: what this caller may do. Pure."""

from __future__ import annotations

from domain.bounds import OutputCaps, bounds_of
from domain.calls import Call, PermittedCall
from domain.models import Catalogue, canonical
from domain.policies import Caller
from domain.refusals import Code, Refusal


def not_found(model: str) -> Refusal:
    """The same words for a model that is not there and one that is not allowed: what exists is nobody's business."""
    return Refusal(Code.MODEL_NOT_FOUND, f"model '{model}' not found", param="model")


def permit(caller: Caller, call: Call, catalogue: Catalogue, caps: OutputCaps) -> PermittedCall:
    """The call with its bounds.

    Raises:
        Refusal: the model is unknown, not allowed or malformed, or the prompt can never fit the token rate.
    """
    name = canonical(call.model)
    model = catalogue.bound(name)
    if model is None or not caller.may_use(name):
        raise not_found(call.model)
    bounds = bounds_of(call, model, caps, caller.tenant_policy.limits, caller.key_policy.limits)
    return PermittedCall(call=call, model=model, bounds=bounds)
