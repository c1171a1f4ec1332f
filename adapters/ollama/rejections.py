"""A backend's error answers in our words.

Ollama's error texts hold Go type names, paths of the host, driver and memory details (`llm/status.go`), and whatever
a box in front of it adds. So only forms known to be harmless and useful pass, word by word; everything else becomes
a sentence of ours, and what may be logged of the text goes to the log (`loggable`).

| upstream | becomes |
|---|---|
| 400 and other 4xx | BackendRejected with the same status |
| 404 as JSON: the model has vanished since the survey | BackendRejected 404 |
| 401, 403, 404 and 405 of a path, 407: the operator's configuration | BackendFailed |
| 429, 503: busy | BackendFailed with the code `backend_busy` |
| 500 that complains of an option or a format: the caller's mistake under the server's status | BackendRejected 400 |
| everything else: 1xx, 3xx, 5xx | BackendFailed |

Of a 5xx the prompt may have been evaluated, and is paid for; of a 4xx or busy nothing is (`domain/settlement.py`).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec

from adapters.ollama.objects import error_text
from domain.faults import BackendFailed, FaultCode
from domain.refusals import BackendRejected

GENERATION_FAILED: Final = "The model backend failed while it generated the answer."
MOST_ERROR_BYTES: Final = 64 * 1024
_MOST_SENTENCE: Final = 300
_REFUSED: Final = "The model backend refused the request as invalid."
_VANISHED: Final = "The model is no longer on the backend that was asked."

_HARMLESS: Final = (
    re.compile(r"[\w.:/ \"'-]{1,120} does not support [a-z ]{1,40}"),
    re.compile(r"this model is missing data required for image input"),
    re.compile(r"(?:the )?(?:input|prompt)[a-z ]{0,40}(?:exceeds|is longer than|too long)[a-z0-9 ,()]{0,80}"),
    re.compile(r"[a-z ]{0,40}context length[a-z0-9 ,()]{0,80}"),
    re.compile(r"invalid image(?: input| format| type|: unknown format)?"),
    re.compile(r"invalid (?:options|format|tool|think value|role|input type|encoding_format)[a-z0-9 _\"',-]{0,80}"),
    re.compile(r"option \"[a-z_]{1,40}\" must be of type [a-z0-9]{1,20}"),
)
_TELLING: Final = re.compile(r"(?:/[\w.-]+){2,}/|[A-Za-z]:\\|://|\bGo\b|\bstruct\b|sha256|\d+\.\d+\.\d+\.\d+|\*{3}")
_NAME_OF_A_MODEL: Final = re.compile(r"^[\"']?[\w./:-]+[\"']? (?=does not support)")
_CALLERS_MISTAKE: Final = re.compile(r"^(?:option \"|invalid format)")
_OPERATORS_MISTAKE: Final = frozenset({
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
})  # fmt: skip
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def sentence_of_error(text: str) -> str:
    """What a caller may read of an error that a backend reported after its 200."""
    return harmless(text) or GENERATION_FAILED


def harmless(text: str) -> str | None:
    """The text as a sentence if it is of a form that tells nothing of the host; None otherwise."""
    line = _NAME_OF_A_MODEL.sub("this model ", text.strip())
    if len(line) > _MOST_SENTENCE or _TELLING.search(line) or not any(form.fullmatch(line) for form in _HARMLESS):
        return None
    return f"{line[:1].upper()}{line[1:]}."


def text_of(octets: bytes) -> str | None:
    """The error text of an answer's body; None when the body is not Ollama's form."""
    try:
        found = msgspec.json.decode(octets)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    if not isinstance(found, dict) or "error" not in found:
        return None
    return error_text(found["error"])


def rejection_of(status: int, text: str | None) -> BackendRejected | BackendFailed:
    """What an answer that is not 200 means.

    Args:
        status: the backend's.
        text: its error text, None when its body was not Ollama's form.
    """
    if status in _BUSY:
        return BackendFailed("The model backend is busy. Please try again.", FaultCode.BACKEND_BUSY)
    if status == HTTPStatus.NOT_FOUND and text is not None:
        return BackendRejected(status, _VANISHED)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and text is not None and _CALLERS_MISTAKE.match(text):
        return BackendRejected(HTTPStatus.BAD_REQUEST, harmless(text) or _REFUSED)
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return BackendFailed(answered=True)
    if status in _OPERATORS_MISTAKE or status == HTTPStatus.NOT_FOUND:
        return BackendFailed(answered=True, refused=True)
    return BackendRejected(status, harmless(text or "") or _REFUSED)
