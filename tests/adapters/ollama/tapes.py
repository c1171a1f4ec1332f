"""Recordings as calls and bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from domain.calls import Bounds, Call, Endpoint
from domain.models import Model, canonical
from domain.ports.model_backend import ModelBackend, UpstreamCall
from domain.tally import Piece, Usage

RECORDINGS = Path(__file__).parents[2] / "recordings"
REQUEST_ID = "0123456789abcdef0123456789abcdef"


@attrs.frozen(kw_only=True)
class Tape:
    name: str
    path: str
    body: dict[str, Any]
    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    whole_http: bool

    @property
    def octets(self) -> bytes:
        return b"".join(self.chunks)


def tape(name: str) -> Tape:
    found = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    response = found["response"]
    return Tape(
        name=name,
        path=found["request"]["path"],
        body=found["request"]["body"] or {},
        status=response["status"],
        headers=tuple((key, value) for key, value in response["headers"]),
        chunks=tuple(text.encode() for _, text in response["chunks"]),
        whole_http=response["end"] == "complete",
    )


def tapes() -> list[Tape]:
    return [tape(path.stem) for path in sorted(RECORDINGS.glob("*.json"))]


def inference_tapes(*, streamed: bool) -> list[Tape]:
    paths = {endpoint.upstream for endpoint in Endpoint}
    return [
        one
        for one in tapes()
        if one.status == 200 and one.path in paths and call_of(one).streamed is streamed and "load" not in one.name
    ]


def call_of(one: Tape, *, model: str | None = None, wants_usage: bool | None = None) -> Call:
    endpoint = Endpoint(one.path)
    native = one.path.startswith("/api/")
    asked = bool(one.body.get("stream_options", {}).get("include_usage"))
    return Call(
        endpoint=endpoint,
        model=one.body.get("model", "m") if model is None else model,
        streamed=bool(one.body.get("stream", native)) and endpoint.generates,
        fields={k: v for k, v in one.body.items() if k not in ("model", "stream", "stream_options", "max_tokens")},
        inputs_bytes=(100,),
        wants_usage=asked if wants_usage is None else wants_usage,
    )


def upstream_of(call: Call, *, ours: str, output: int = 100, request_id: str = REQUEST_ID) -> UpstreamCall:
    cap = output if call.endpoint.generates else 0
    return UpstreamCall(
        request_id=request_id,
        call=call,
        model=Model(name=ours, canonical=canonical(ours)),
        bounds=Bounds(prompt=100, output=cap),
    )


def chat(
    model: str = "llama3.2:1b",
    *,
    endpoint: Endpoint = Endpoint.NATIVE_CHAT,
    streamed: bool = True,
    wants_usage: bool = False,
    text: str = "hello",
) -> Call:
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    if endpoint in (Endpoint.NATIVE_GENERATE, Endpoint.OPENAI_COMPLETIONS, Endpoint.NATIVE_EMBEDDINGS):
        fields = {"prompt": text}
    elif endpoint is Endpoint.RESPONSES or not endpoint.generates:
        fields = {"input": text}
    return Call(
        endpoint=endpoint,
        model=model,
        streamed=streamed and endpoint.generates,
        fields=fields,
        inputs_bytes=(len(text),),
        wants_usage=wants_usage,
    )


async def drain(backend: ModelBackend, call: UpstreamCall) -> None:
    """Reads an answer to its end, whatever that is."""
    answer = await backend.open(call)
    try:
        while await answer.read():
            pass
    finally:
        answer.close()


@attrs.frozen
class Sum:
    """All pieces of an answer together."""

    raw: bytes
    objects: int
    text_bytes: int
    usage: Usage | None
    ended: bool
    error: str | None


def total(pieces: list[Piece]) -> Sum:
    usages = [piece.usage for piece in pieces if piece.usage is not None]
    errors = [piece.error for piece in pieces if piece.error is not None]
    return Sum(
        raw=b"".join(piece.raw for piece in pieces),
        objects=sum(piece.objects for piece in pieces),
        text_bytes=sum(piece.text_bytes for piece in pieces),
        usage=usages[-1] if usages else None,
        ended=any(piece.ended for piece in pieces),
        error=errors[-1] if errors else None,
    )
