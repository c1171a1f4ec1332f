"""What an honest backend would say, in each dialect, streamed and whole. A new dialect is one more voice."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs

AT: Final = "2026-11-23T09:20:43.883131814Z"
CANARY: Final = "question-5b1e07d94c2f"
"""A word of every question: must be seen in no log, metric or audit."""
ASKED: Final = f"Tell me of the sea, {CANARY}"
CAP: Final = 32
"""Tokens of output that every call asks for at most."""


@attrs.frozen(kw_only=True, eq=False)
class Voice:
    """One dialect and mode."""

    name: str
    path: str
    streamed: bool = False
    question_fields: dict[str, Any]
    """What is asked, and how this dialect says how long an answer may be."""
    content_type: str = "application/json"
    start: str = ""
    """With MODEL in it: all events before the first text."""
    before: bytes = b""
    """What stands before an object of a stream, when nothing else is said."""
    after: bytes = b""
    text_object: str
    """With MODEL and TEXT in it."""
    text_event: bytes = b""
    """The line that names the event of a text."""
    last_object: str
    """With MODEL, TEXT, PROMPT and OUTPUT in it. In a whole answer, all there is."""
    before_last: bytes = b""
    """Events between the last text and the object that ends an answer, and that one's name."""
    end_mark: bytes = b""
    beside: bytes = b',"created'
    """A mark of every answer before which another member may stand."""
    generates: bool = True
    """Whether the answer is text."""

    def question(self, model: str) -> dict[str, Any]:
        """A caller's request."""
        return {"model": model, **self.question_fields, **({"stream": self.streamed} if self.generates else {})}

    def framed(self, octets: bytes) -> bytes:
        """Those bytes where an object belongs."""
        return self.before + octets + self.after

    def begun(self, model: str) -> bytes:
        """What stands before the first text."""
        return self.start.replace("MODEL", model).encode()

    def text(self, model: str, inside: bytes = b"word") -> bytes:
        """An object that carries text, given as it stands between the quotes of a JSON string."""
        head, _, tail = self.text_object.replace("MODEL", model).partition("TEXT")
        return self.text_event + self.framed(head.encode() + inside + tail.encode())

    def last(
        self, model: str, *, text: bytes | None = None, prompt: str = "7", output: str = "2", **more: object
    ) -> bytes:
        """What ends an answer, with its counts as they stand in JSON. Whole answers have their text in it."""
        spoken = (b"" if self.streamed else b"word word") if text is None else text
        filled = self.last_object.replace("MODEL", model).replace("PROMPT", prompt).replace("OUTPUT", output)
        if more:
            filled = f"{filled[:-1]},{json.dumps(more)[1:]}"
        head, mark, tail = filled.partition("TEXT")
        octets = head.encode() + (spoken if mark else b"") + tail.encode()
        said_before = self.text(model, spoken) if spoken and self.streamed and not mark else b""
        return said_before + self.before_last + self.framed(octets) + self.end_mark

    def failure(self, said: str) -> bytes:
        """An error where an object belongs."""
        return self.framed(json.dumps({"error": said}).encode())

    def honest(self, model: str) -> bytes:
        """A good answer."""
        return (self.begun(model) + self.text(model) * 2 if self.streamed else b"") + self.last(model)


def event(name: str, data: str) -> str:
    """One event, as Ollama writes it for Anthropic's and OpenAI's newer clients."""
    return f"event: {name}\ndata: {data}\n\n"


_CHAT: Final = {"messages": [{"role": "user", "content": ASKED}]}
_PROMPT: Final = {"prompt": ASKED}
_INPUT: Final = {"input": ASKED}
_NATIVE_CAP: Final = {"options": {"num_predict": CAP}}


_NATIVE_TEXT = f'{{"model":"MODEL","created_at":"{AT}","message":{{"role":"assistant","content":"TEXT"}},"done":false}}'
_NATIVE_LAST = (
    f'{{"model":"MODEL","created_at":"{AT}","message":{{"role":"assistant","content":"TEXT"}},"done":true,'
    '"done_reason":"stop","total_duration":5,"prompt_eval_count":PROMPT,"eval_count":OUTPUT}'
)
_OPENAI_TEXT = (
    '{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1795425643,"model":"MODEL",'
    '"system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"TEXT"},'
    '"finish_reason":null}]}'
)
_OPENAI_USAGE = '"usage":{"prompt_tokens":PROMPT,"completion_tokens":OUTPUT,"total_tokens":9}}'
_OPENAI_LAST_CHUNK = (
    '{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1795425643,"model":"MODEL",'
    '"system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":"stop"}],'
    + _OPENAI_USAGE
)
_OPENAI_WHOLE = (
    '{"id":"chatcmpl-7","object":"chat.completion","created":1795425643,"model":"MODEL",'
    '"system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":"assistant","content":"TEXT"},'
    '"finish_reason":"stop"}],' + _OPENAI_USAGE
)

_GENERATE_TEXT = f'{{"model":"MODEL","created_at":"{AT}","response":"TEXT","done":false}}'
_GENERATE_LAST = (
    f'{{"model":"MODEL","created_at":"{AT}","response":"TEXT","done":true,"done_reason":"stop","context":[1,2],'
    '"total_duration":5,"prompt_eval_count":PROMPT,"eval_count":OUTPUT}'
)
_COMPLETION_HEAD = '{"id":"cmpl-7","object":"text_completion","created":1795425856,"choices":[{"text":"TEXT","index":0,'
_COMPLETION_TEXT = (
    _COMPLETION_HEAD + '"finish_reason":null}],"model":"MODEL","system_fingerprint":"fp_ollama",'
    '"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}'
)
_COMPLETION_LAST = (
    _COMPLETION_HEAD + '"finish_reason":"stop"}],"model":"MODEL","system_fingerprint":"fp_ollama",' + _OPENAI_USAGE
)
_MESSAGE_START = event(
    "message_start",
    '{"type":"message_start","message":{"id":"msg_7","type":"message","role":"assistant","model":"MODEL",'
    '"content":[],"usage":{"input_tokens":3,"output_tokens":0}}}',
) + event(
    "content_block_start",
    '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
)
_MESSAGE_USAGE = '"usage":{"input_tokens":PROMPT,"output_tokens":OUTPUT}}'
_MESSAGE_WHOLE = (
    '{"id":"msg_7","type":"message","role":"assistant","model":"MODEL","content":[{"type":"text","text":"TEXT"}],'
    '"stop_reason":"end_turn",' + _MESSAGE_USAGE
)
_RESPONSE_USAGE = '"usage":{"input_tokens":PROMPT,"output_tokens":OUTPUT,"total_tokens":9}}'
_RESPONSE_START = event(
    "response.created",
    '{"response":{"created_at":1795425857,"error":null,"id":"resp_7","model":"MODEL","object":"response","output":[],'
    '"status":"in_progress","usage":null},"sequence_number":0,"type":"response.created"}',
) + event(
    "response.output_item.added",
    '{"item":{"content":[],"id":"msg_7","role":"assistant","status":"in_progress","type":"message"},"output_index":0,'
    '"sequence_number":1,"type":"response.output_item.added"}',
)
_RESPONSE_TEXT = (
    '{"content_index":0,"delta":"TEXT","item_id":"msg_7","logprobs":[],"output_index":0,"sequence_number":2,'
    '"type":"response.output_text.delta"}'
)
_RESPONSE_DONE = event(
    "response.output_text.done",
    '{"content_index":0,"item_id":"msg_7","logprobs":[],"output_index":0,"sequence_number":3,"text":"word word",'
    '"type":"response.output_text.done"}',
)
_RESPONSE_WHOLE = (
    '{"id":"resp_7","object":"response","created_at":1795425857,"status":"completed","model":"MODEL",'
    '"output":[{"id":"msg_7","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text",'
    '"text":"TEXT","annotations":[],"logprobs":[]}]}],"error":null,"tools":[],' + _RESPONSE_USAGE
)
_RESPONSE_LAST = (
    '{"response":{"created_at":1795425857,"error":null,"id":"resp_7","model":"MODEL","object":"response",'
    '"output":[{"content":[{"annotations":[],"logprobs":[],"text":"word word","type":"output_text"}],"id":"msg_7",'
    '"role":"assistant","status":"completed","type":"message"}],"status":"completed",' + _RESPONSE_USAGE
    + ',"sequence_number":4,"type":"response.completed"}'
)  # fmt: skip
_EMBED = '{"model":"MODEL","embeddings":[[0.25,-0.5]],"total_duration":5,"load_duration":1,"prompt_eval_count":PROMPT}'
_EMBEDDINGS = (
    '{"object":"list","data":[{"object":"embedding","embedding":[0.25,-0.5],"index":0}],"model":"MODEL",'
    '"usage":{"prompt_tokens":PROMPT,"total_tokens":9}}'
)
_SSE = "text/event-stream"

CHATS: Final = (
    Voice(
        name="native-streamed", path="/api/chat", streamed=True, question_fields=_CHAT | _NATIVE_CAP,
        content_type="application/x-ndjson", after=b"\n", text_object=_NATIVE_TEXT, last_object=_NATIVE_LAST,
    ),
    Voice(
        name="native-whole", path="/api/chat", question_fields=_CHAT | _NATIVE_CAP,
        content_type="application/json; charset=utf-8", text_object=_NATIVE_TEXT, last_object=_NATIVE_LAST,
    ),
    Voice(
        name="openai-streamed", path="/v1/chat/completions", streamed=True,
        question_fields=_CHAT | {"max_tokens": CAP}, content_type=_SSE, before=b"data: ", after=b"\n\n",
        text_object=_OPENAI_TEXT, last_object=_OPENAI_LAST_CHUNK, end_mark=b"data: [DONE]\n\n",
    ),
    Voice(
        name="openai-whole", path="/v1/chat/completions", question_fields=_CHAT | {"max_tokens": CAP},
        text_object=_OPENAI_TEXT, last_object=_OPENAI_WHOLE,
    ),
)  # fmt: skip
"""The two dialects that play every script."""
MESSAGES: Final = Voice(
    name="anthropic-streamed", path="/v1/messages", streamed=True, question_fields=_CHAT | {"max_tokens": CAP},
    content_type=_SSE, start=_MESSAGE_START, before=b"data: ", after=b"\n\n",
    text_object='{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}',
    text_event=b"event: content_block_delta\n",
    last_object='{"type":"message_delta","delta":{"stop_reason":"end_turn"},' + _MESSAGE_USAGE,
    before_last=(
        event("content_block_stop", '{"type":"content_block_stop","index":0}') + "event: message_delta\n"
    ).encode(),
    end_mark=event("message_stop", '{"type":"message_stop"}').encode(), beside=b',"delta"',
)  # fmt: skip
RESPONSES: Final = Voice(
    name="responses-streamed", path="/v1/responses", streamed=True,
    question_fields=_INPUT | {"max_output_tokens": CAP}, content_type=_SSE, start=_RESPONSE_START, before=b"data: ",
    after=b"\n\n", text_object=_RESPONSE_TEXT, text_event=b"event: response.output_text.delta\n",
    last_object=_RESPONSE_LAST, before_last=(_RESPONSE_DONE + "event: response.completed\n").encode(),
    beside=b',"sequence_number"',
)  # fmt: skip
EMBED: Final = Voice(
    name="native-embed", path="/api/embed", question_fields=_INPUT, content_type="application/json; charset=utf-8",
    text_object=_EMBED, last_object=_EMBED, beside=b',"total_duration"', generates=False,
)  # fmt: skip
EMBEDDINGS: Final = Voice(
    name="openai-embeddings", path="/v1/embeddings", question_fields=_INPUT, text_object=_EMBEDDINGS,
    last_object=_EMBEDDINGS, beside=b',"model"', generates=False,
)  # fmt: skip
LEGACY: Final = attrs.evolve(EMBED, name="native-embeddings", path="/api/embeddings", question_fields=_PROMPT)
"""Answered from `/api/embed`, whose voice the backend speaks."""
VOICES: Final = (
    *CHATS,
    MESSAGES,
    attrs.evolve(
        MESSAGES, name="anthropic-whole", streamed=False, content_type="application/json", start="", before=b"",
        after=b"", text_event=b"", before_last=b"", end_mark=b"", last_object=_MESSAGE_WHOLE, beside=b',"role"',
    ),
    RESPONSES,
    attrs.evolve(
        RESPONSES, name="responses-whole", streamed=False, content_type="application/json", start="", before=b"",
        after=b"", text_event=b"", before_last=b"", last_object=_RESPONSE_WHOLE, beside=b',"created_at"',
    ),
    Voice(
        name="generate-streamed", path="/api/generate", streamed=True, question_fields=_PROMPT | _NATIVE_CAP,
        content_type="application/x-ndjson", after=b"\n", text_object=_GENERATE_TEXT, last_object=_GENERATE_LAST,
    ),
    Voice(
        name="generate-whole", path="/api/generate", question_fields=_PROMPT | _NATIVE_CAP,
        content_type="application/json; charset=utf-8", text_object=_GENERATE_TEXT, last_object=_GENERATE_LAST,
    ),
    Voice(
        name="completions-streamed", path="/v1/completions", streamed=True,
        question_fields=_PROMPT | {"max_tokens": CAP}, content_type=_SSE, before=b"data: ", after=b"\n\n",
        text_object=_COMPLETION_TEXT, last_object=_COMPLETION_LAST, end_mark=b"data: [DONE]\n\n",
    ),
    Voice(
        name="completions-whole", path="/v1/completions", question_fields=_PROMPT | {"max_tokens": CAP},
        text_object=_COMPLETION_TEXT, last_object=_COMPLETION_LAST,
    ),
    EMBED,
    LEGACY,
    EMBEDDINGS,
)  # fmt: skip


def voice_of(path: str, *, streamed: bool) -> Voice:
    """The voice that a request asks for."""
    return next(voice for voice in VOICES if (voice.path, voice.streamed) == (path, streamed))
