"""Calls in three dialects, and what an answer must be while a store cannot be used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs
import httpx

NATIVE, OPENAI, ANTHROPIC = "/api/chat", "/v1/chat/completions", "/v1/messages"
DIALECTS = (NATIVE, OPENAI, ANTHROPIC)
_ENDS = {NATIVE: '"done":true', OPENAI: "data: [DONE]", ANTHROPIC: "message_stop"}


@attrs.frozen(kw_only=True)
class Told:
    """What a client was told of one call."""

    path: str
    sent_at_s: float
    ended_at_s: float
    status: int
    code: str = ""
    retry_after: str = ""
    request_id: str = ""
    """Without hyphens, as the backend was told it."""
    text: str = attrs.field(default="", repr=False)

    @property
    def served(self) -> bool:
        return self.status == 200

    @property
    def whole(self) -> bool:
        """Whether a streamed answer ended as its dialect ends."""
        return self.served and _ENDS[self.path] in self.text and '"error"' not in self.text


def ask(
    client: httpx.Client, path: str, *, tokens: int = 1, stream: bool = False, patience_s: float | None = None
) -> Told:
    """One call, to its end. A connection that breaks is told as status 0."""
    sent_at_s = time.time()
    text = ""
    try:
        with client.stream(
            "POST", path, json=body(path, tokens=tokens, stream=stream), timeout=patience_s or 30
        ) as answer:
            for piece in answer.iter_text():
                text += piece
    except httpx.HTTPError:
        return Told(path=path, sent_at_s=sent_at_s, ended_at_s=time.time(), status=0, text=text)
    return Told(
        path=path,
        sent_at_s=sent_at_s,
        ended_at_s=time.time(),
        status=answer.status_code,
        code=answer.headers.get("x-error-code", ""),
        retry_after=answer.headers.get("retry-after", ""),
        request_id=answer.headers.get("x-request-id", "").removeprefix("req_").replace("-", ""),
        text=text,
    )


def body(path: str, *, tokens: int, stream: bool) -> Mapping[str, Any]:
    """What is asked of the model."""
    cap = {"options": {"num_predict": tokens}} if path == NATIVE else {"max_tokens": tokens}
    return {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": stream, **cap}


def refused_well(told: Told, code: str) -> str:
    """Empty if it is the refusal that its dialect wants; else what is wrong with it."""
    if told.status != 503 or told.code != code:
        return f"{told.path}: {told.status} {told.code} instead of 503 {code}"
    if not (told.retry_after.isdigit() and int(told.retry_after) > 0):
        return f"{told.path}: no Retry-After"
    shape = {NATIVE: f'"code":"{code}"', OPENAI: f'"code":"{code}"', ANTHROPIC: '"type":"error"'}[told.path]
    return "" if shape in told.text.replace('": ', '":') else f"{told.path}: {told.text}"
