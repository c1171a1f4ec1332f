"""What is changed in an answer on its way to the caller; everything else stays byte for byte.

* the model's name: upstream echoes the operator's spelling, the caller gets its own back
* OpenAI ids: `chatcmpl-N` with small N repeats within minutes (Ollama v0.33 `middleware/openai.go`, `rand.Intn(999)`)
* Anthropic ids: `msg_<request id>`, so that an answer in a log leads to its call; so too `resp_<request id>`
* the durations of native final objects: the prompt cache of a slot is shared between tenants, so a short
  `prompt_eval_duration` tells one tenant that another sent the same prefix, and `load_duration` that a model was warm
* `remote_model`, `remote_host`: the operator's business

All of it works on bytes. That is sound because inside a JSON string every quote is escaped: `"model":"` with bare
quotes is always a member, and in Ollama's order the top-level one comes before any object that a model could write.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

COARSE_NS: Final = 100_000_000
_MODEL_MARK: Final = b'"model":"'
_ID_MARK: Final = b'{"id":"'
_MESSAGE_MARKS: Final = (b'{"id":"msg_', b'{"type":"message_start","message":{"id":"msg_')
_RESPONSE_MARK: Final = b'"id":"resp_'
_TO_THE_QUOTE: Final = re.compile(rb'(?:[^"\\]|\\.)*')
_REMOTE: Final = re.compile(rb',"remote_(?:model|host)":"(?:[^"\\]|\\.)*"')
_DURATION: Final = re.compile(rb'"(total_duration|load_duration|prompt_eval_duration)":(-?\d{1,19})(?=[,}])')
_DONE_MARK: Final = b'"done":true'


def json_inside(text: str) -> bytes:
    """A text as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(text)[1:-1]


def with_model(octets: bytes, model: bytes, *, last: bool = False) -> bytes:
    """The object with its first (or last) `model` member set to this JSON-escaped text."""
    at = octets.rfind(_MODEL_MARK) if last else octets.find(_MODEL_MARK)
    if at < 0:
        return octets
    start = at + len(_MODEL_MARK)
    found = _TO_THE_QUOTE.match(octets, start)
    if found is None or found[0] == model:
        return octets
    return b"%b%b%b" % (octets[:start], model, octets[found.end() :])


def with_id(octets: bytes, name: bytes) -> bytes:
    """The object with the number of its `id`, which must be its first member, replaced: `chatcmpl-7` to
    `chatcmpl-<name>`.
    """
    if not octets.startswith(_ID_MARK):
        return octets
    end = octets.find(b'"', len(_ID_MARK))
    dash = octets.find(b"-", len(_ID_MARK), end)
    if dash < 0:
        return octets
    return b"%b%b%b" % (octets[: dash + 1], name, octets[end:])


def with_message_id(octets: bytes, name: bytes) -> bytes:
    """An Anthropic message, or the event that begins one, with the id `msg_<name>`."""
    for mark in _MESSAGE_MARKS:
        if octets.startswith(mark):
            return b"%b%b%b" % (mark, name, octets[octets.find(b'"', len(mark)) :])
    return octets


def with_response_id(octets: bytes, name: bytes) -> bytes:
    """An answer of `/v1/responses`, or an event that holds one, with the id `resp_<name>`. Before its id stand only
    numbers and nulls; ids of its items are Ollama's (a random number of six digits, v0.33 `openai/responses.go`).
    """
    at = octets.find(_RESPONSE_MARK)
    if at < 0:
        return octets
    start = at + len(_RESPONSE_MARK)
    return b"%b%b%b" % (octets[:start], name, octets[octets.find(b'"', start) :])


def without_remote(octets: bytes) -> bytes:
    """The object without the members that name a remote server."""
    return _REMOTE.sub(b"", octets, count=2) if b'"remote_' in octets else octets


def with_coarse_durations(octets: bytes) -> bytes:
    """The final native object with the durations that tell of others rounded up to 100 ms."""
    at = octets.rfind(_DONE_MARK)
    if at < 0:
        return octets
    return octets[:at] + _DURATION.sub(_coarse, octets[at:])


def _coarse(found: re.Match[bytes]) -> bytes:
    steps = -(-int(found[2]) // COARSE_NS)
    return b'"%b":%d' % (found[1], steps * COARSE_NS)
