"""OpenAI streams: one `data:` line an event, the last one `data: [DONE]`.

The usual event is recognised by its fixed parts, as in `ndjson`, and any other is decoded (v0.33
`middleware/openai.go`).

Two things are Ollama's own:

* A failure in mid-stream loses its text: an ordinary chunk comes with `"model":""` and no text, then a clean end.
* The usage is asked for always, since an unfinished count is a guess. A caller that did not ask gets neither the
  usage chunk nor the zero `usage` that `/v1/completions` then adds to every chunk; one that did ask gets a null there,
  as from OpenAI.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from adapters.ollama import objects, rewrites
from adapters.ollama.events import EventStream
from adapters.ollama.rejections import GENERATION_FAILED, sentence_of_error
from domain.calls import Endpoint
from domain.tally import Piece

_USUAL_FIELD: Final = b'data: {"id":"'
_DONE: Final = b"[DONE]"
_CHAT_MARK: Final = b'"content":"'
_CHAT_TAIL: Final = b'"},"finish_reason":null}]}'
_CHAT_CHOICES: Final = b'","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{'
_TEXT_CHOICES: Final = b',"choices":[{"text":"'
_TEXT_TAIL: Final = b'","index":0,"finish_reason":null}],"model":"'
_ZERO_USAGE: Final = b',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}'
_NO_USAGE_YET: Final = b',"usage":null}'
_TEXT_END: Final = b'"system_fingerprint":"fp_ollama"' + _ZERO_USAGE
_BEFORE_MODEL: Final = re.compile(rb'data: {"id":"[\w-]+","object":"chat\.completion\.chunk","created":\d+,')
_BEFORE_TEXT: Final = re.compile(rb'data: {"id":"[\w-]+","object":"text_completion","created":\d+')
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SAFE_ROLE: Final = b'"role":"assistant",'


class OpenAIStream(EventStream):
    """Bytes of one OpenAI stream to pieces."""

    def __init__(self, endpoint: Endpoint, *, ours: str, theirs: str, request_id: str, wants_usage: bool) -> None:
        """Takes the model's name as the backend spells it and as the caller does."""
        super().__init__()
        self._theirs = rewrites.json_inside(theirs)
        self._request_id = request_id.encode()
        self._wants_usage = wants_usage
        chat = endpoint is Endpoint.OPENAI_CHAT
        prefix = b"chatcmpl-" if chat else b"cmpl-"
        self._new_start = b'%b%b%b"' % (_USUAL_FIELD, prefix, self._request_id)
        model = b'"model":"%b' % rewrites.json_inside(ours)
        self._read_usual = self._usual_chat if chat else self._usual_text
        self._model = model + _CHAT_CHOICES if chat else model + b'",'
        self._new_model = None
        if ours != theirs:
            new_model = b'"model":"%b' % self._theirs
            self._new_model = new_model + _CHAT_CHOICES if chat else new_model + b'",'

    def _usual(self, line: bytes, piece: Piece) -> bytes | None:
        return self._read_usual(line, piece)

    def _usual_chat(self, line: bytes, piece: Piece) -> bytes | None:
        at = line.find(self._model, len(_USUAL_FIELD))
        after_choices = at + len(self._model)
        mark = line.find(_CHAT_MARK, after_choices)
        start = mark + len(_CHAT_MARK)
        end = line.find(b'"', start)
        usual = (
            0 < at < mark
            and end > start  # no text may mean a failure
            and line[end:] == _CHAT_TAIL
            and (mark == after_choices or line[after_choices:mark] == _SAFE_ROLE)
            and _BEFORE_MODEL.fullmatch(line, 0, at)
        )
        if not usual:
            return None
        piece.objects += 1
        piece.text_bytes += objects.unescaped_bytes(line[start:end])
        id_end = line.find(b'"', len(_USUAL_FIELD)) + 1
        if self._new_model is None:
            return self._new_start + line[id_end:]
        return b"%b%b%b%b" % (self._new_start, line[id_end:at], self._new_model, line[after_choices:])

    def _usual_text(self, line: bytes, piece: Piece) -> bytes | None:
        choices = line.find(_TEXT_CHOICES, len(_USUAL_FIELD))
        start = choices + len(_TEXT_CHOICES)
        end = line.find(b'"', start)
        model = end + len(_TEXT_TAIL) - len(b'"model":"')
        usual = (
            choices > 0
            and end > start
            and line.startswith(_TEXT_TAIL, end)
            and line.startswith(self._model, model)
            and line[model + len(self._model) :] == _TEXT_END
            and _BEFORE_TEXT.fullmatch(line, 0, choices)
        )
        if not usual:
            return None
        piece.objects += 1
        piece.text_bytes += objects.unescaped_bytes(line[start:end])
        id_end = line.find(b'"', len(_USUAL_FIELD)) + 1
        before = line[id_end:model]
        after = line[model + len(self._model) :]
        after = after[: -len(_ZERO_USAGE)] + (_NO_USAGE_YET if self._wants_usage else b"}")
        return b"%b%b%b%b" % (self._new_start, before, self._new_model or self._model, after)

    def _decode(self, octets: bytes, piece: Piece) -> bytes | None:
        if octets == _DONE:
            piece.ended = self.over = True
            return b"data: [DONE]"
        found = objects.read_openai(octets)
        text_bytes = found.text_bytes
        failed = found.model == "" and not text_bytes and not found.is_finished
        if found.error is not None or failed:
            self.cause = objects.error_text(found.error) or GENERATION_FAILED
            piece.error = sentence_of_error(self.cause)
            self.over = True
            return None
        if text_bytes:
            piece.objects += 1
            piece.text_bytes += text_bytes
        piece.usage = found.counted or piece.usage
        if found.usage is not None and not self._wants_usage:
            if not found.choices:
                return None
            octets = _without_usage(octets)
        elif found.choices and octets.endswith(_ZERO_USAGE):
            octets = octets[: -len(_ZERO_USAGE)] + _NO_USAGE_YET
        named = rewrites.with_id(rewrites.with_model(octets, self._theirs), self._request_id)
        return b"data: " + named


def _without_usage(octets: bytes) -> bytes:
    if octets.endswith(_ZERO_USAGE):
        return octets[: -len(_ZERO_USAGE)] + b"}"
    members = _MEMBERS.decode(octets)
    members.pop("usage", None)
    return msgspec.json.encode(members)
