"""A verdict that cannot be read admits nothing."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from adapters.redis.verdicts import admission
from adapters.redis.wire import Reply
from adapters.redis.words import packed
from domain.faults import StoreUnavailable
from domain.limits import Rate, Scope
from domain.ports.limit_store import Admitted, Empty, Full, Outdated, Standing


@pytest.mark.parametrize(
    "reply",
    [
        None, b"", b"A", b"A 1", b"A x - - - - - -", b"A 1 - - - - -", b"A 1 5 x 1 - - -", b"E 1", b"O O", b"Z",
        b"F rpm nobody 5 1 - - - - - -", b"F odd key 5 1 - - - - - -", b"\xff", 1, [b"A"], ResponseError("x"),
    ],
)  # fmt: skip
def test_what_is_no_verdict_closes(reply: Reply) -> None:
    with pytest.raises(StoreUnavailable):
        admission(reply)


def test_verdicts_are_read() -> None:
    standing = Standing(limit=5, remaining=4, reset_s=61)

    assert admission(b"E") == Empty()
    assert admission(b"O") == Outdated()
    assert admission(b"A 3 5 4 61 - - -") == Admitted(epoch=3, rpm=standing, tpm=None)
    assert admission(b"F tpm key 9 7 - - - 5 4 61") == Full(
        rate=Rate.TPM, scope=Scope.KEY, limit=9, retry_after_s=7, rpm=None, tpm=standing
    )


def test_words_are_counted_in_bytes() -> None:
    assert packed("SET", "ä", b"\r\n") == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$2\r\n\r\n\r\n"
