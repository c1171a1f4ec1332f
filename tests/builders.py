"""Values of the domain with every field filled in, for tests that care about one of them."""

from typing import Any

from domain.bounds import OutputCaps
from domain.calls import Call, Endpoint
from domain.models import Model, canonical
from domain.policies import EVERYTHING, Caller, Change, Policy, TenantState

PEPPER = b"a pepper of thirty-two bytes ok!"
FORMER_PEPPER = b"the pepper that was used before."


def a_call(**changes: Any) -> Call:
    given: dict[str, Any] = {
        "endpoint": Endpoint.NATIVE_CHAT,
        "model": "llama3.2",
        "streamed": True,
        "fields": {},
        "inputs_bytes": (100,),
    }
    return Call(**given | changes)


def a_model(name: str = "llama3.2:latest", **changes: Any) -> Model:
    given: dict[str, Any] = {
        "name": name,
        "canonical": canonical(name),
        "context_length": 4096,
        "template_bytes": 200,
        "capabilities": frozenset({"completion"}),
    }
    return Model(**given | changes)


def a_caller(**changes: Any) -> Caller:
    given: dict[str, Any] = {
        "tenant_id": "tenant-1",
        "tenant_name": "acme",
        "tenant_state": TenantState.ACTIVE,
        "tenant_generation": 1,
        "tenant_policy": EVERYTHING,
        "key_id": "key-1",
        "key_prefix": "nz_abcd1234",
        "key_name": "notebook",
        "key_generation": 1,
        "key_policy": EVERYTHING,
        "revoked_at": None,
        "expires_at": None,
    }
    return Caller(**given | changes)


def caps(*, default: int = 1000, most: int = 4000, unknown_context: int = 131_072) -> OutputCaps:
    return OutputCaps(default=default, most=most, unknown_context=unknown_context)


def to(policy: Policy) -> Change:
    """The change that puts a policy in the place of whatever was."""
    return lambda _former: policy
