"""Ollama's objects of `/v1/responses` (`openai/responses.go`), as 0.24.0 frames them.

A stream's data are Go maps, so their members stand in alphabetical order; a whole answer is a struct. The text of a
stream comes in deltas and is then repeated as a whole, by part, by item and in the last event. Ids are random numbers
of six digits in Ollama and no more unique here. Reaching the cap still says `completed`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from entrypoints.simulator.decoding import go_json
from entrypoints.simulator.native_voice import call_id
from entrypoints.simulator.voice import Outcome
from entrypoints.simulator.words import Kind, Piece

JSON = "application/json"
SSE = "text/event-stream"
_MOST_IDS = 999_999
_TOOL = dict.fromkeys(("type", "name", "description", "strict", "parameters"))


def _number() -> int:
    return time.monotonic_ns() % _MOST_IDS


def _by_name(value: Any) -> Any:
    """Return the value with the members of its objects in alphabetical order, as Go writes a map."""
    if isinstance(value, dict):
        return {name: _by_name(value[name]) for name in sorted(value)}
    return [_by_name(one) for one in value] if isinstance(value, list) else value


def _usage(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is not None and outcome.hides_counts:
        return None
    prompt, output = (outcome.prompt_tokens, outcome.output_tokens) if outcome else (0, 0)
    return {
        "input_tokens": prompt,
        "output_tokens": output,
        "total_tokens": prompt + output if isinstance(prompt, int) and isinstance(output, int) else prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _content(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class ResponsesVoice:
    """`/v1/responses`. One voice speaks one answer: in a stream the events are numbered and the text is gathered."""

    stream_type = SSE
    plain_type = JSON

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._number = _number()
        self._created = int(time.time())
        self._sequence = 0
        self._index = 0
        self._open: dict[str, Any] | None = None
        self._text = ""
        self._output: list[dict[str, Any]] = []

    # -- streamed -----------------------------------------------------------------------------------------------------

    def piece(self, piece: Piece) -> bytes:
        """The events of one object; the first one's are preceded by those that begin the answer."""
        events = list(self._beginning()) if not self._sequence else []
        match piece.kind:
            case Kind.TOOL_CALL:
                events += [*self._closing(), *self._call(piece)]
            case Kind.THINKING:
                events += self._delta(piece, "reasoning", "rs")
            case Kind.CONTENT:
                events += self._delta(piece, "message", "msg")
        return b"".join(events)

    def final(self, outcome: Outcome) -> bytes:
        """What closes the open item, and the last event."""
        events = list(self._beginning()) if not self._sequence else []
        events += self._closing()
        response = self._response("completed", self._output, _usage(outcome)) | {"completed_at": int(time.time())}
        return b"".join([*events, self._event("response.completed", response=response)])

    def failure(self) -> bytes:
        """Nothing: the stream just stops."""
        return b""

    def _event(self, kind: str, **members: Any) -> bytes:
        data = _by_name({**members, "type": kind, "sequence_number": self._sequence})
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), go_json(data))

    def _beginning(self) -> Iterator[bytes]:
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._response("in_progress", [], None))

    def _delta(self, piece: Piece, kind: str, prefix: str) -> Iterator[bytes]:
        if self._open is None or self._open["type"] != kind:
            yield from self._closing()
            self._open = {"id": f"{prefix}_{_number()}", "type": kind}
            yield from self._opening(self._open)
        self._text += piece.text
        where = {"item_id": self._open["id"], "output_index": self._index}
        if kind == "reasoning":
            yield self._event("response.reasoning_summary_text.delta", **where, summary_index=0, delta=piece.text)
        else:
            yield self._event("response.output_text.delta", **where, content_index=0, delta=piece.text, logprobs=[])

    def _opening(self, item: Mapping[str, Any]) -> Iterator[bytes]:
        if item["type"] == "reasoning":
            yield self._event("response.output_item.added", output_index=self._index, item={**item, "summary": []})
            return
        begun = {**item, "status": "in_progress", "role": "assistant", "content": []}
        yield self._event("response.output_item.added", output_index=self._index, item=begun)
        where = {"item_id": item["id"], "output_index": self._index, "content_index": 0}
        yield self._event("response.content_part.added", **where, part=_content(""))

    def _closing(self) -> Iterator[bytes]:
        if self._open is None:
            return
        item, text = self._open, self._text
        self._open, self._text = None, ""
        where = {"item_id": item["id"], "output_index": self._index}
        if item["type"] == "reasoning":
            whole = {**item, "summary": [{"type": "summary_text", "text": text}], "encrypted_content": text}
            yield self._event("response.reasoning_summary_text.done", **where, summary_index=0, text=text)
        else:
            whole = {**item, "status": "completed", "role": "assistant", "content": [_content(text)]}
            yield self._event("response.output_text.done", **where, content_index=0, text=text, logprobs=[])
            yield self._event("response.content_part.done", **where, content_index=0, part=_content(text))
        yield from self._done(whole)

    def _call(self, piece: Piece) -> Iterator[bytes]:
        arguments = go_json(piece.arguments).decode()
        item = {"id": f"fc_{_number()}_0", "type": "function_call", "call_id": call_id(piece), "name": piece.text}
        begun = {**item, "status": "in_progress", "arguments": ""}
        where = {"item_id": item["id"], "output_index": self._index}
        yield self._event("response.output_item.added", output_index=self._index, item=begun)
        yield self._event("response.function_call_arguments.delta", **where, delta=arguments)
        yield self._event("response.function_call_arguments.done", **where, arguments=arguments)
        yield from self._done({**item, "status": "completed", "arguments": arguments})

    def _done(self, item: dict[str, Any]) -> Iterator[bytes]:
        self._output.append(item)
        yield self._event("response.output_item.done", output_index=self._index, item=item)
        self._index += 1

    # -- whole --------------------------------------------------------------------------------------------------------

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        return self._whole(list(self._items(pieces)), _usage(outcome))

    def loaded(self) -> bytes:
        """The answer to an empty input, which only loads the model."""
        return self._whole(list(self._items(())), _usage(None))

    def _whole(self, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        answer = self._response("completed", output, usage) | {"completed_at": int(time.time())}
        return go_json(answer) + b"\n"

    def _items(self, pieces: Sequence[Piece]) -> Iterator[dict[str, Any]]:
        texts = {
            kind: "".join(piece.text for piece in pieces if piece.kind is kind)
            for kind in (Kind.THINKING, Kind.CONTENT)
        }
        if thought := texts[Kind.THINKING]:
            summary = [{"type": "summary_text", "text": thought}]
            yield {
                "id": f"rs_resp_{self._number}",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": thought,
            }
        calls = [piece for piece in pieces if piece.kind is Kind.TOOL_CALL]
        for index, call in enumerate(calls):
            yield {
                "id": f"fc_resp_{self._number}_{index}",
                "type": "function_call",
                "status": "completed",
                "call_id": call_id(call),
                "name": call.text,
                "arguments": go_json(call.arguments).decode(),
            }
        if not calls:
            yield {
                "id": f"msg_{_number()}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_content(texts[Kind.CONTENT])],
            }

    def _response(self, status: str, output: Sequence[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        """Return the object that stands for the answer, with much of the request in it (`buildResponseObject`)."""
        request = self._request
        effort = request.get("reasoning", {}).get("effort")
        return {
            "id": f"resp_{self._number}",
            "object": "response",
            "created_at": self._created,
            "completed_at": None,
            "status": status,
            "incomplete_details": None,
            "model": request.get("model", ""),
            "previous_response_id": None,
            "instructions": request.get("instructions") or None,
            "output": list(output),
            "error": None,
            "tools": [_TOOL | tool for tool in request.get("tools", []) if isinstance(tool, dict)],
            "tool_choice": "auto",
            "truncation": "disabled",
            "parallel_tool_calls": True,
            "text": {"format": request.get("text", {}).get("format") or {"type": "text"}},
            "top_p": request.get("top_p", 1),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": 0,
            "temperature": request.get("temperature", 1),
            "reasoning": {"effort": effort} if effort else None,
            "usage": usage,
            "max_output_tokens": request.get("max_output_tokens"),
            "max_tool_calls": None,
            "store": False,
            "background": False,
            "service_tier": "default",
            "metadata": {},
            "safety_identifier": None,
            "prompt_cache_key": None,
        }
