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
from entrypoints.http.fields import text, wrong
from entrypoints.http.routes import Look
from entrypoints.http.strict_json import read_object


def answer(look: Look, look_up: LookUp, caller: Caller, *, raw_path: bytes, body: bytes) -> bytes:
    """The body of a look.

    Raises:
        Refusal: the model is not there for this caller, or the request is malformed.
    """
    return msgspec.json.encode(_content(look, look_up, caller, raw_path, body))


def _content(look: Look, look_up: LookUp, caller: Caller, raw_path: bytes, body: bytes) -> Mapping[str, Any]:
    match look:
        case Look.VERSION:
            return {"version": look_up.version()}
        case Look.TAGS:
            return {"models": [model.listing for model in look_up.models(caller)]}
        case Look.PS:
            loaded = (model.loaded_listing for model in look_up.models(caller))
            return {"models": [listing for listing in loaded if listing is not None]}
        case Look.SHOW:
            return look_up.model(caller, _asked_model(read_object(body))).description
        case Look.MODELS:
            return {"object": "list", "data": [_openai_model(model) for model in look_up.models(caller)]}
        case Look.MODEL:
            asked = unquote(raw_path.rpartition(b"/")[2].decode("ascii"))
            return _openai_model(look_up.model(caller, asked)) | {"id": asked}
        case _:
            assert_never(look)


def _openai_model(model: Model) -> dict[str, Any]:
    changed = model.listing.get("modified_at", "")
    try:
        created = int(datetime.fromisoformat(changed).timestamp())
    except (ValueError, TypeError, OverflowError):  # the listing is a backend's word
        created = 0
    return {"id": model.listing.get("name", model.name), "object": "model", "created": created, "owned_by": "library"}


def _asked_model(body: Mapping[str, Any]) -> str:
    # Older clients say `name`; some send both, one of them empty.
    asked = body.get("model") or body.get("name")
    if not asked:
        raise wrong("model", "the name of a model")
    return text(asked, "model")
