"""Backends whose answers are not what they should be, in perfect HTTP."""

from __future__ import annotations

from tests.e2e.hostile.backend import Talk
from tests.e2e.hostile.scripts.table import (
    ANSWERED,
    CUT_AT_ONCE,
    FAILED,
    MALFORMED,
    SPEAKING,
    Ends,
    first,
    said,
    script,
)
from tests.e2e.hostile.voices import CAP


def told(name: str, inside: bytes, streamed: Ends, whole: Ends) -> None:
    """Puts a script into the table that has those bytes for text, as they stand between the quotes."""
    said(
        name, streamed, whole,
        lambda talk: (
            first(talk) + talk.voice.text(talk.model, inside) + talk.voice.last(talk.model)
            if talk.voice.streamed else talk.voice.last(talk.model, text=inside)
        ),
        SPEAKING,
    )  # fmt: skip


told("text-that-is-not-utf-8", b"\xff\xfe", MALFORMED, FAILED)
told("text-cut-in-a-character", "…".encode()[:2], MALFORMED, FAILED)
told("text-with-a-bare-nul", b"a\x00b", MALFORMED, FAILED)
told("text-with-a-bare-tab", b"a\tb", MALFORMED, FAILED)
told("text-with-a-bad-escape", b"a\\xb", MALFORMED, FAILED)
told("text-with-half-a-surrogate", b"a\\ud800b", MALFORMED, FAILED)
told("text-with-an-escaped-nul", b"a\\u0000b", ANSWERED, ANSWERED)
told("text-like-an-end", b'\\n\\ndata: [DONE]\\n\\n{\\"done\\":true}', ANSWERED, ANSWERED)
told("text-like-a-model", b'\\"model\\":\\"other\\",\\"remote_host\\":\\"x\\"', ANSWERED, ANSWERED)


def changed(name: str, old: bytes, new: bytes, streamed: Ends, whole: Ends | None) -> None:
    """Puts a script into the table that says something honest but for one change."""
    said(
        name, streamed, whole,
        lambda talk: first(talk)
        + talk.voice.honest(talk.model).replace(_put(old, talk), _put(new, talk)),
    )  # fmt: skip


def _put(octets: bytes, talk: Talk) -> bytes:
    return octets.replace(b"MODEL", talk.model.encode()).replace(b"BESIDE", talk.voice.beside)


changed("deep-json", b"BESIDE", b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"BESIDE", MALFORMED, FAILED)
changed("huge-whole-numbers", b"BESIDE", b',"x":' + b"9" * 4000 + b"BESIDE", ANSWERED, ANSWERED)
changed("another-models-name", b'"model":"MODEL"', b'"model":"gpt-9"', ANSWERED, ANSWERED)
changed("a-models-name-in-quotes", b'"model":"MODEL"', b'"model":"a\\"b"', ANSWERED, ANSWERED)
changed("no-models-name", b'"model":"MODEL",', b"", ANSWERED, ANSWERED)
changed("two-models-names", b'"model":"MODEL"', b'"model":"MODEL","model":"gpt-9"', ANSWERED, ANSWERED)
changed("a-model-that-is-a-number", b'"model":"MODEL"', b'"model":7', MALFORMED, FAILED)
changed("a-byte-order-mark", b'{"', b'\xef\xbb\xbf{"', MALFORMED, FAILED)
changed("a-key-that-is-not-utf-8", b"BESIDE", b',"\xff":1BESIDE', MALFORMED, FAILED)
changed("bare-returns-inside", b"BESIDE", b',\r"x":1BESIDE', MALFORMED, ANSWERED)
changed("lines-that-end-in-crlf", b"}\n", b"}\r\n", ANSWERED, None)

said("an-end-said-twice", ANSWERED, None, lambda talk: talk.voice.honest(talk.model) + talk.voice.last(talk.model))
said("text-after-the-end", ANSWERED, None, lambda talk: talk.voice.honest(talk.model) + talk.voice.text(talk.model))
said("two-values", FAILED, FAILED, lambda talk: talk.voice.framed(b"{}{}"))
said("a-list", FAILED, FAILED, lambda talk: talk.voice.framed(b"[1,2,3]"))
said("a-null", FAILED, FAILED, lambda talk: talk.voice.framed(b"null"))
said(
    "an-object-cut-short",
    MALFORMED,
    FAILED,
    lambda talk: talk.voice.honest(talk.model)[: -len(talk.voice.last(talk.model)) // 2],
)
said(
    "more-than-the-cap",
    CUT_AT_ONCE,
    None,
    lambda talk: talk.voice.text(talk.model) * CAP * 3 + talk.voice.last(talk.model),
)


@script(ANSWERED)
def done_and_not_done(talk: Talk) -> None:
    """The last of two equal keys counts, for every reader of JSON that there is."""
    octets = talk.voice.honest(talk.model)
    talk.answer(octets.replace(b'"done":true', b'"done":false,"done":true'))
