"""Room 3: what this caller may do. Pure."""

from __future__ import annotations

from domain.bounds import OutputCaps, bounds_of
from domain.calls import Call, PermittedCall
from domain.keys import blotted
from domain.models import Catalogue, canonical
from domain.policies import Caller
from domain.refusals import Code, Refusal

TURNED_BY_POLICY = frozenset({Code.MODEL_NOT_FOUND, Code.REQUEST_EXCEEDS_TPM})
"""What another policy or alias of the caller would allow; every other refusal is the call's own fault."""


def not_found(model: str) -> Refusal:
    """The same words for a model that is not there and one that is not allowed: what exists is nobody's business."""
    sentence = f"model '{blotted(model)}' not found: `/api/tags` and `/v1/models` list those you may use"
    return Refusal(Code.MODEL_NOT_FOUND, sentence, param="model")


def permit(caller: Caller, call: Call, catalogue: Catalogue, caps: OutputCaps) -> PermittedCall:
    """The call with its bounds. What may be used is asked of the model, so an alias widens nothing.

    Raises:
        Refusal: the model is unknown, not allowed or malformed, or the prompt can never fit the token rate.
    """
    name = caller.meant_by(canonical(call.model))
    model = catalogue.bound(name)
    if model is None or not caller.may_use(name):
        raise not_found(call.model)
    bounds = bounds_of(call, model, caps, caller.tenant_policy.limits, caller.key_policy.limits)
    return PermittedCall(call=call, model=model, bounds=bounds)
