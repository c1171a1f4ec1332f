"""Answers about models and version, in the shapes that clients know, from the gateway's own catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never
from urllib.parse import unquote

import msgspec

from application.look_up import LookUp
from domain.models import Model
from domain.policies import Caller
from domain.refusals import Code, Refusal
from entrypoints.http import native
from entrypoints.http.fields import apply, wrong
from entrypoints.http.openapi import document
from entrypoints.http.routes import Look
from entrypoints.http.strict_json import is_light, read_object

_OPENAPI = document()  # made before the first call: it takes longer than anything may on the event loop


def answer(look: Look, look_up: LookUp, caller: Caller, *, raw_path: bytes, body: bytes) -> bytes:
    """The body of a look.

    Raises:
        Refusal: the model is not there for this caller, or the request is malformed.
    """
    return msgspec.json.encode(_content(look, look_up, caller, raw_path, body))


def _content(look: Look, look_up: LookUp, caller: Caller, raw_path: bytes, body: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any]
    match look:
        case Look.VERSION:
            found = {"version": look_up.version()}
        case Look.TAGS:
            found = {"models": [model.listing for model in look_up.models(caller)]}
        case Look.PS:
            loaded = (model.loaded_listing for model in look_up.models(caller))
            found = {"models": [listing for listing in loaded if listing is not None]}
        case Look.SHOW:
            found = look_up.model(caller, _asked_model(_short_object(body))).description
        case Look.MODELS:
            found = {"object": "list", "data": [_openai_model(model) for model in look_up.models(caller)]}
        case Look.MODEL:
            asked = unquote(raw_path.rpartition(b"/")[2].decode("ascii"))
            found = _openai_model(look_up.model(caller, asked)) | {"id": asked}
        case Look.OPENAPI:
            found = _OPENAPI
        case _:
            assert_never(look)
    return found


def _openai_model(model: Model) -> dict[str, Any]:
    changed = model.listing.get("modified_at", "")
    try:
        created = int(datetime.fromisoformat(changed).timestamp())
    except (ValueError, TypeError, OverflowError):  # the listing is a backend's word
        created = 0
    return {"id": model.name, "object": "model", "created": created, "owned_by": "library"}


def _short_object(body: bytes) -> Mapping[str, Any]:
    if not is_light(body):  # it is read on the event loop
        raise Refusal(Code.INVALID_REQUEST, "This route takes the name of a model: the body is too long for one.")
    return read_object(body)


def _asked_model(body: Mapping[str, Any]) -> str:
    given = apply(native.SHOW, body)
    asked = given.get("model") or given.get("name")
    if not asked:
        raise wrong("model", "the name of a model")
    return str(asked)
