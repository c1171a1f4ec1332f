"""One body through the gate, and what Go says of it before and behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from adapters.ollama.body import body_of
from domain.calls import Bounds, Call, Endpoint
from domain.models import Model, canonical
from domain.ports.model_backend import UpstreamCall
from domain.refusals import Refusal
from entrypoints.http import strict_json
from entrypoints.http.routes import TABLE, Inference
from entrypoints.http.strict_json import read_object
from tests.fuzz import meaning
from tests.fuzz.oracle import Oracle, Question

OURS = "operators/own:1b"
_CAP = 77
_ENDPOINTS = {str(endpoint.value): endpoint for endpoint in Endpoint}


@attrs.define
class Tally:
    """What has come of many bodies."""

    bodies: int = 0
    accepted: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    by_path: Counter[str] = attrs.field(factory=Counter)
    stricter_there: int = 0
    """Accepted, and refused by Go for the type of a field that we drop."""
    differences: list[str] = attrs.field(factory=list)

    def add(self, other: Tally) -> None:
        """Adds another's."""
        self.bodies += other.bodies
        self.accepted += other.accepted
        self.refused += other.refused
        self.by_path += other.by_path
        self.stricter_there += other.stricter_there
        self.differences += other.differences


@attrs.frozen
class Passed:
    """A body that the gate let through."""

    path: str
    body: bytes
    call: Call
    rebuilt: bytes

    @property
    def upstream_path(self) -> str:
        """Where it goes."""
        return _ENDPOINTS[self.path].upstream


def pass_gate(path: str, body: bytes) -> Passed:
    """The gate: reader, table, body.

    Raises:
        Refusal: it does not pass.
    """
    _, route = TABLE[path.encode()]
    if not isinstance(route, Inference):
        raise TypeError(f"{path} leads to no model")
    call = route.read(read_object(body))
    upstream = UpstreamCall(
        request_id="fuzz",
        call=call,
        model=Model(name=OURS, canonical=canonical(OURS)),
        bounds=Bounds(prompt=1, output=_CAP if call.endpoint.generates else 0),
    )
    return Passed(path, body, call, body_of(upstream))


def compare(questions: Sequence[Question], oracle: Oracle) -> Tally:
    """Sends bodies through the gate, and holds what passes against what Go sees."""
    tally = Tally(bodies=len(questions))
    passed: list[Passed] = []
    for path, body in questions:
        try:
            passed.append(pass_gate(path, body))
        except Refusal as refusal:
            tally.refused[refusal.code.value] += 1
        if not _read_alike(body):
            tally.differences.append(f"the two readers differ on {body!r}")
    before = oracle([(one.path, one.body) for one in passed])
    behind = oracle([(one.upstream_path, one.rebuilt) for one in passed])
    for one, was, is_ in zip(passed, before, behind, strict=True):
        tally.accepted += 1
        tally.by_path[one.path] += 1
        tally.stricter_there += bool(was["error"])
        found = list(differences(one, was, is_))
        if found:
            tally.differences.append(f"{one.path} {'; '.join(found)}: {one.body!r} -> {one.rebuilt!r}")
    return tally


def differences(one: Passed, before: dict[str, Any], behind: dict[str, Any]) -> Iterator[str]:
    """Where Go's reading of the body, our call and Go's reading of the rebuilt body do not agree."""
    if before["error"] == "syntax" or (behind["error"] and not before["error"]):
        yield f"Go refuses: before {before['error']!r}, behind {behind['error']!r}"
        return
    was, is_, call = before["seen"], behind["seen"], one.call
    if meaning.model_of(is_) != OURS:
        yield f"model behind: {meaning.model_of(is_)!r}"
    if forbidden := meaning.forbidden_in(is_):
        yield f"behind the gate there is {forbidden}"
    if call.endpoint.generates:
        yield from _limits_behind(one, is_)
    if before["error"]:
        return  # Ollama answers 400 there, wherever it stopped reading
    if meaning.model_of(was) != call.model:
        yield f"model: {meaning.model_of(was)!r}, ours {call.model!r}"
    if call.endpoint.generates:
        yield from _limits(one, was)
    theirs, ours = meaning.content_of(one.path, was), meaning.content_of(one.upstream_path, is_)
    if meaning.has_blurred_seed(was):
        for content in (theirs, ours):
            content.get("options", {}).pop("seed", None)
    yield from (
        f"{name}: {theirs.get(name)!r}, behind {ours.get(name)!r}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    )


def _limits(one: Passed, was: dict[str, Any]) -> Iterator[str]:
    if meaning.streams(one.path, was) != one.call.streamed:
        yield f"stream: {was.get('stream')}, ours {one.call.streamed}"
    theirs, ours = meaning.cap_of(one.path, was), meaning.plain_cap(one.call.asked_output_tokens)
    newer = read_object(one.body).get("max_completion_tokens") if one.path.startswith("/v1/c") else None
    caps = [cap for cap in (theirs, meaning.plain_cap(newer)) if cap is not None]  # Ollama does not know the newer
    if ours != min(caps, default=None):
        yield f"cap: {theirs} and {newer}, ours {ours}"
    asks = bool((was.get("stream_options") or {}).get("include_usage"))
    if asks != one.call.wants_usage:
        yield f"usage: {asks}, ours {one.call.wants_usage}"


def _limits_behind(one: Passed, is_: dict[str, Any]) -> Iterator[str]:
    if meaning.streams(one.path, is_) != one.call.streamed:
        yield f"stream: ours {one.call.streamed}, behind {is_.get('stream')}"
    if meaning.cap_of(one.path, is_) != _CAP:
        yield f"cap behind: {meaning.cap_of(one.path, is_)}"


def _read_alike(body: bytes) -> bool:
    """Whether the reader of short bodies and that of long ones say the same."""
    try:
        short: Any = strict_json.read_short(body)
    except (ValueError, Refusal):
        short = None
    try:
        long: Any = strict_json.read_long(body)
    except (ValueError, Refusal):
        long = None
    return json.dumps(short) == json.dumps(long)
