"""How many bytes an answer may have, by what was asked for: a backend that goes on past that is broken or hostile.

An honest answer is far below: a token is a few bytes of text in an object of about 200, ten times as much with log
probabilities; the final object of `/api/generate` lists every token of prompt and answer (`context`), and an answer of
`/v1/responses` repeats its text in five events and its question in three. So these bounds cost an honest backend
nothing, and a hostile one gets no more of our memory than a call is worth.
"""

from __future__ import annotations

from typing import Final

from domain.ports.model_backend import UpstreamCall

LEAST_BYTES: Final = 64 * 1024
"""For what does not grow with the answer: names, durations, what a box in between adds."""
_TOKEN_BYTES: Final = 2 * 1024
"""The longest tokens known are 256 bytes of white space, which JSON doubles."""
_TOKEN_WITH_ALTERNATIVES_BYTES: Final = 8 * 1024
"""With twenty alternatives, each with its text, its number and its bytes one by one."""
_CONTEXT_NUMBER_BYTES: Final = 8
_ECHOES: Final = 16
"""Times that a byte of the question may come back: three times, each as a six-byte escape at worst."""
_VECTOR_BYTES: Final = 512 * 1024
"""16,384 dimensions, four times what any known model has."""
MOST_EMBEDDING_BYTES: Final = 64 * 1024 * 1024
_ALTERNATIVES: Final = ("logprobs", "top_logprobs")


def most_bytes(upstream: UpstreamCall) -> int:
    """How long the whole answer may be, HTTP's framing left out."""
    call, bounds = upstream.call, upstream.bounds
    if not call.endpoint.generates:
        return min(LEAST_BYTES + len(call.inputs_bytes) * _VECTOR_BYTES, MOST_EMBEDDING_BYTES)
    alternatives = any(call.fields.get(field) for field in _ALTERNATIVES)
    a_token = _TOKEN_WITH_ALTERNATIVES_BYTES if alternatives else _TOKEN_BYTES
    question = bounds.prompt * _CONTEXT_NUMBER_BYTES + sum(call.inputs_bytes) * _ECHOES
    return LEAST_BYTES + question + bounds.output * bounds.output_factor * a_token
