"""Backends that break the rules of one dialect alone: Anthropic's events, those of `/v1/responses`, and vectors."""

from __future__ import annotations

import time

from tests.e2e.hostile.backend import Talk, pour
from tests.e2e.hostile.scripts.table import ANSWERED, ERRED, FAILED, MALFORMED, MIB, first, said, script
from tests.e2e.hostile.voices import EMBED, EMBEDDINGS, LEGACY, MESSAGES, RESPONSES, event

INSIDE = "at http://10.0.0.7/x"
"""What only a backend's operator may know."""
VECTORS = (EMBED, LEGACY, EMBEDDINGS)

# -- Anthropic's events --------------------------------------------------------------------------------------------


def empty_events(name: str) -> bytes:
    """Many events that say nothing."""
    return event(name, f'{{"type":"{name}"}}').encode() * 1000


def message_ended(output: int) -> bytes:
    """The event with the counts."""
    return event(
        "message_delta",
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":7,"output_tokens":'
        f"{output}}}}}",
    ).encode()


STOP = event("message_stop", '{"type":"message_stop"}').encode()
ERROR = event("error", f'{{"type":"error","error":{{"type":"api_error","message":"{INSIDE}"}}}}').encode()

said("message-stop-twice", ANSWERED, None, lambda talk: talk.voice.honest(talk.model) + STOP, (MESSAGES,))
said(
    "a-block-that-never-began", ANSWERED, None,
    lambda talk: first(talk).replace(b'"delta","index":0', b'"delta","index":7') + talk.voice.last(talk.model),
    (MESSAGES,),
)  # fmt: skip
said(
    "a-message-ended-twice", ANSWERED, None,
    lambda talk: first(talk) + message_ended(10**9) + message_ended(2) + STOP, (MESSAGES,),
)  # fmt: skip
said(
    "fewer-tokens-than-events", ANSWERED, None,
    lambda talk: first(talk) + talk.voice.text(talk.model) * 19 + talk.voice.last(talk.model, output="1"),
    (MESSAGES, RESPONSES),
)  # fmt: skip
said("an-error-event-then-text", ERRED, None, lambda talk: first(talk) + ERROR + first(talk) + STOP, (MESSAGES,))
said(
    "events-named-otherwise", ANSWERED, None,
    lambda talk: talk.voice.honest(talk.model).replace(b"event: ", b"event: not."), (MESSAGES, RESPONSES),
)  # fmt: skip


@script(MALFORMED, None, (MESSAGES,))
def pings_without_end(talk: Talk) -> None:
    talk.open()
    talk.chunk(first(talk))
    time.sleep(0.2)  # so that the client's answer begins
    pour(talk, empty_events("ping"), 1024 * MIB)


@script(FAILED, None, (MESSAGES, RESPONSES))
def events_that_nobody_knows(talk: Talk) -> None:
    talk.open()
    pour(talk, empty_events("GPU-7"), 1024 * MIB)


# -- events of /v1/responses ---------------------------------------------------------------------------------------


def responded(name: str, old: bytes, new: bytes, *, fails: bool = False) -> None:
    """Puts a script into the table whose events have one thing changed throughout."""
    said(
        name, ERRED if fails else ANSWERED, None,
        lambda talk: talk.voice.honest(talk.model).replace(old, new), (RESPONSES,),
    )  # fmt: skip


WHOLE_FAILURE = f'"error":{{"code":"x","message":"{INSIDE}"}}'

said("completed-twice", ANSWERED, None, lambda talk: talk.voice.honest(talk.model) * 2, (RESPONSES,))
responded("numbers-backwards", b'"sequence_number":2', b'"sequence_number":-1')
responded("numbers-that-are-texts", b'"sequence_number":', b'"sequence_number":"x","n":')
responded("completed-but-cancelled", b'"status":"completed","usage"', b'"status":"cancelled","usage"')
responded("completed-but-failed", b'"status":"completed","usage"', b'"status":"failed","usage"', fails=True)
responded("completed-with-an-error", b'"error":null', WHOLE_FAILURE.encode(), fails=True)
responded("completed-without-usage", b'"usage":{"input_tokens":7,"output_tokens":2,"total_tokens":9}', b'"usage":null')
responded("items-of-somebody-else", b'"item_id":"msg_7"', b'"item_id":"../../\\u0000x"')
responded("text-repeated-longer", b'"text":"word word"', b'"text":"%b"' % (b"word " * 5000))
responded("text-repeated-shorter", b'"text":"word word"', b'"text":""')
said(
    "deltas-after-the-text-was-done", ANSWERED, None,
    lambda talk: first(talk) + talk.voice.last(talk.model).replace(
        b"event: response.completed", talk.voice.text(talk.model) * 5 + b"event: response.completed"
    ),
    (RESPONSES,),
)  # fmt: skip

# -- vectors -------------------------------------------------------------------------------------------------------


def embedded(name: str, vector: bytes, after: bytes = b"", *, legacy_fails: bool = True) -> None:
    """Puts a script into the table whose vector is something else."""
    said(
        name, FAILED, ANSWERED if not after else FAILED,
        lambda talk: talk.voice.last(talk.model).replace(b"[0.25,-0.5]", vector) + after, VECTORS,
        **({"native_embeddings": FAILED} if legacy_fails else {}),
    )  # fmt: skip


embedded("vectors-of-words", b'["a",null,{"x":1}]')
embedded("vectors-in-vectors", b"[[[[1]]]]")
embedded("a-vector-of-nothing", b"[]", legacy_fails=False)
embedded("a-vector-that-is-a-text", b'"AACAPg=="')
embedded("text-after-a-vector", b"[0.25]", b"\n\ngood bye")
embedded("vectors-twice", b"[0.25]", b'{"embeddings":[[1]]}')
said(
    "vectors-uncounted", FAILED, ANSWERED,
    lambda talk: talk.voice.last(talk.model).replace(b',"prompt_eval_count":7', b"").replace(
        b',"usage":{"prompt_tokens":7,"total_tokens":9}', b""
    ),
    VECTORS,
)  # fmt: skip


@script(FAILED, FAILED, VECTORS)
def vectors_without_end(talk: Talk) -> None:
    """64 MiB of numbers, for one short text."""
    head, mark, _ = talk.voice.last(talk.model).partition(b"[0.25")
    talk.open()
    talk.chunk(head + mark)
    pour(talk, b",0.25" * 20_000, 64 * MIB)
