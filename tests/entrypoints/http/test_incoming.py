import asyncio
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope

from domain.keys import read_key
from domain.refusals import Code, Refusal
from entrypoints.http.incoming import (
    ClientGone,
    Intake,
    address_of,
    credential_of,
    header,
    read_body,
    require_plain_framing,
)
from tests.builders import PEPPER
from tests.domain.test_keys import KEY

TEXT = KEY.secret.unwrap()
RAW = TEXT.encode()
Headers = list[tuple[bytes, bytes]]


def scope(headers: Headers, peer: str | None = "192.0.2.1") -> Scope:
    return {"type": "http", "headers": headers, "client": None if peer is None else (peer, 1234)}


def known(headers: Headers) -> bool:
    """Whether these headers present the key."""
    credential = credential_of(scope(headers))
    return credential is not None and read_key(credential.unwrap(), [PEPPER]) is not None


# -- credentials ----------------------------------------------------------------------------------------------------
AUTH, KEY_HEADER = b"authorization", b"x-api-key"
GOOD: dict[str, Headers] = {
    "Bearer": [(AUTH, b"Bearer " + RAW)],
    "bearer": [(AUTH, b"bearer " + RAW)],
    "BEARER": [(AUTH, b"BEARER " + RAW)],
    "x-api-key": [(KEY_HEADER, RAW)],
    "the same key in both": [(AUTH, b"Bearer " + RAW), (KEY_HEADER, RAW)],
    "with other headers": [(b"accept", b"*/*"), (AUTH, b"Bearer " + RAW), (b"cookie", b"a=b")],
}
BAD: dict[str, Headers] = {
    "two Authorization": [(AUTH, b"Bearer " + RAW), (AUTH, b"Bearer other")],
    "two Authorization, other first": [(AUTH, b"Bearer other"), (AUTH, b"Bearer " + RAW)],
    "the same Authorization twice": [(AUTH, b"Bearer " + RAW)] * 2,
    "two x-api-key": [(KEY_HEADER, RAW), (KEY_HEADER, b"other")],
    "the same x-api-key twice": [(KEY_HEADER, RAW)] * 2,
    "both, differing": [(AUTH, b"Bearer " + RAW), (KEY_HEADER, b"nz_other")],
    "both, the other differing": [(AUTH, b"Bearer other"), (KEY_HEADER, RAW)],
    "both, one empty": [(AUTH, b"Bearer " + RAW), (KEY_HEADER, b"")],
    "both, one Basic": [(AUTH, b"Basic YTpi"), (KEY_HEADER, RAW)],
    "no scheme": [(AUTH, RAW)],
    "empty": [(AUTH, b"")],
    "Bearer alone": [(AUTH, b"Bearer")],
    "Bearer and a space": [(AUTH, b"Bearer ")],
    "Basic": [(AUTH, b"Basic " + RAW)],
    "Digest": [(AUTH, b'Digest username="' + RAW + b'"')],
    "Token": [(AUTH, b"Token " + RAW)],
    "Key": [(AUTH, b"Key " + RAW)],
    "ApiKey": [(AUTH, b"ApiKey " + RAW)],
    "Bearer:": [(AUTH, b"Bearer: " + RAW)],
    "Bearer=": [(AUTH, b"Bearer=" + RAW)],
    "tab": [(AUTH, b"Bearer\t" + RAW)],
    "two spaces": [(AUTH, b"Bearer  " + RAW)],
    "leading space": [(AUTH, b" Bearer " + RAW)],
    "trailing space": [(AUTH, b"Bearer " + RAW + b" ")],
    "trailing tab": [(AUTH, b"Bearer " + RAW + b"\t")],
    "trailing newline": [(AUTH, b"Bearer " + RAW + b"\n")],
    "trailing NUL": [(AUTH, b"Bearer " + RAW + b"\0")],
    "comma list": [(AUTH, b"Bearer " + RAW + b", Bearer other")],
    "comma list, other first": [(AUTH, b"Bearer other, Bearer " + RAW)],
    "trailing comma": [(AUTH, b"Bearer " + RAW + b",")],
    "parameter": [(AUTH, b"Bearer token=" + RAW)],
    "quoted": [(AUTH, b'Bearer "' + RAW + b'"')],
    "in angle brackets": [(AUTH, b"Bearer <" + RAW + b">")],
    "scheme twice": [(AUTH, b"Bearer Bearer " + RAW)],
    "another text in front": [(AUTH, b"x Bearer " + RAW)],
    "percent-encoded": [(AUTH, b"Bearer nz%5f" + RAW[3:])],
    "upper case": [(AUTH, b"Bearer " + RAW.upper())],
    "cut": [(AUTH, b"Bearer " + RAW[:-1])],
    "longer": [(AUTH, b"Bearer " + RAW + b"0")],
    "doubled": [(AUTH, b"Bearer " + RAW * 2)],
    "prefix only": [(AUTH, b"Bearer " + RAW[:11])],
    "Arabic digits in UTF-8": [(AUTH, b"Bearer " + TEXT.replace("1", "\u0661").encode())],
    "no-break space": [(AUTH, b"Bearer\xa0" + RAW)],
    "trailing no-break space": [(AUTH, b"Bearer " + RAW + b"\xa0")],
    "Latin-1": [(AUTH, b"Bearer \xff\xfe")],
    "long": [(AUTH, b"Bearer " + b"A" * 60_000)],
    "x-api-key with a scheme": [(KEY_HEADER, b"Bearer " + RAW)],
    "x-api-key with a space": [(KEY_HEADER, b" " + RAW)],
    "x-api-key, comma list": [(KEY_HEADER, RAW + b"," + RAW)],
    "x-api-key, empty": [(KEY_HEADER, b"")],
}
ELSEWHERE: dict[str, Headers] = {
    "nothing": [],
    "cookie": [(b"cookie", b"authorization=Bearer " + RAW)],
    "proxy-authorization": [(b"proxy-authorization", b"Bearer " + RAW)],
    "x-authorization": [(b"x-authorization", b"Bearer " + RAW)],
    "api-key": [(b"api-key", RAW)],
    "x_api_key": [(b"x_api_key", RAW)],
    "x-goog-api-key": [(b"x-goog-api-key", RAW)],
    "authentication": [(b"authentication", b"Bearer " + RAW)],
}


@pytest.mark.parametrize("headers", GOOD.values(), ids=GOOD.keys())
def test_a_key_is_read(headers: Headers) -> None:
    assert known(headers)


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD.keys())
def test_what_is_not_exactly_one_key_is_a_wrong_key(headers: Headers) -> None:
    assert credential_of(scope(headers)) is not None
    assert not known(headers)


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_key_anywhere_else_is_no_key(headers: Headers) -> None:
    assert credential_of(scope(headers)) is None


@given(st.lists(st.tuples(st.sampled_from([AUTH, KEY_HEADER]), st.binary(max_size=20)), max_size=3))
def test_any_bytes_in_the_headers_are_read_without_failing(headers: Headers) -> None:
    assert not known(headers)


def test_a_credential_is_not_shown() -> None:
    assert TEXT not in repr(credential_of(scope([(KEY_HEADER, RAW)])))


# -- framing --------------------------------------------------------------------------------------------------------
LENGTH, CHUNKED = (b"content-length", b"5"), (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [LENGTH],
        [CHUNKED],
        [(b"content-encoding", b"identity")],
        [(b"content-encoding", b" Identity ")],
        [(b"content-encoding", b"")],
        [(b"content-type", b"application/x-www-form-urlencoded"), (b"expect", b"100-continue")],
        [(b"accept-encoding", b"gzip, zstd")],
    ],
)
def test_plain_framing_is_accepted(headers: Headers) -> None:
    require_plain_framing(scope(headers))


@pytest.mark.parametrize(
    "headers",
    [
        [LENGTH, CHUNKED],
        [CHUNKED, LENGTH],
        [LENGTH, (b"transfer-encoding", b"identity")],
        [LENGTH, (b"transfer-encoding", b"")],
        [(b"content-length", b"0"), CHUNKED],
    ],
)
def test_two_framings_are_refused(headers: Headers) -> None:
    with pytest.raises(Refusal) as met:
        require_plain_framing(scope(headers))

    assert met.value.code is Code.BAD_FRAMING


@pytest.mark.parametrize(
    "value",
    [b"zstd", b"ZSTD", b"gzip", b"x-gzip", b"deflate", b"br", b"compress", b"zstd, gzip", b"identity, zstd", b"\xff"],
)
def test_encoded_bodies_are_refused(value: bytes) -> None:
    for headers in ([(b"content-encoding", value)], [(b"content-encoding", b"identity"), (b"content-encoding", value)]):
        with pytest.raises(Refusal) as met:
            require_plain_framing(scope(headers))
        assert met.value.code is Code.UNSUPPORTED_ENCODING


def test_a_header_given_twice_has_no_one_value() -> None:
    assert header(scope([LENGTH]), b"content-length") == b"5"
    assert header(scope([LENGTH, LENGTH]), b"content-length") is None
    assert header(scope([]), b"content-length") is None


# -- the body -------------------------------------------------------------------------------------------------------
SMALL = Intake(max_body_bytes=10, body_timeout_s=5)


class Client:
    """Sends a body in chunks, then leaves; counts how often it was asked."""

    def __init__(self, chunks: Iterable[bytes], *, ends: bool = True) -> None:
        chunks = list(chunks)
        self._messages: list[Message] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        if ends:
            self._messages.append({"type": "http.request"})
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}


def freely(_size: int) -> None:
    """There is always room."""


async def code_of(headers: Headers, receive: Receive, intake: Intake = SMALL) -> Code:
    with pytest.raises(Refusal) as met:
        await read_body(scope(headers), receive, intake, freely)
    return met.value.code


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"0123456789"], [b"01", b"", b"234567", b"89"], [bytes([c]) for c in b"0123456789"]]
)
async def test_a_body_is_put_together(chunks: list[bytes]) -> None:
    assert await read_body(scope([]), Client(chunks).receive, SMALL, freely) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"0" * 11], [b"0" * 10, b"1"], [b"0"] * 11])
async def test_a_body_is_measured_as_it_comes(chunks: list[bytes]) -> None:
    assert await code_of([], Client(chunks).receive) is Code.BODY_TOO_LARGE


async def test_a_body_without_end_is_read_only_to_the_bound() -> None:
    client = Client([b"0"] * 1000)

    assert await code_of([], client.receive) is Code.BODY_TOO_LARGE
    assert client.asked == 11


@pytest.mark.parametrize("value", [b"11", b"1099511627776", b"9" * 400, b"00000000000000000011"])
async def test_a_body_that_announces_too_much_is_not_read(value: bytes) -> None:
    client = Client([b"0"])

    assert await code_of([(b"content-length", value)], client.receive) is Code.BODY_TOO_LARGE
    assert client.asked == 0


@pytest.mark.parametrize("value", [b"", b"-1", b"1e3", b"+5", b" 5", b"0x5", b"\xd9\xa1", b"five", b"5,5"])
async def test_an_announcement_that_is_no_number_is_not_believed(value: bytes) -> None:
    assert await read_body(scope([(b"content-length", value)]), Client([b"ok"]).receive, SMALL, freely) == b"ok"


async def test_an_announcement_that_lies_does_not_help() -> None:
    assert await code_of([(b"content-length", b"5")], Client([b"0" * 11]).receive) is Code.BODY_TOO_LARGE


async def test_a_client_that_leaves_before_the_end_is_gone() -> None:
    with pytest.raises(ClientGone):
        await read_body(scope([]), Client([b"012"], ends=False).receive, SMALL, freely)


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert await code_of([], never, Intake(max_body_bytes=10, body_timeout_s=0.01)) is Code.BODY_TOO_SLOW


async def test_a_body_that_trickles_is_given_up_in_the_same_time() -> None:
    async def trickle() -> Message:
        await asyncio.sleep(0.002)
        return {"type": "http.request", "body": b"", "more_body": True}

    assert await code_of([], trickle, Intake(max_body_bytes=10, body_timeout_s=0.02)) is Code.BODY_TOO_SLOW


# -- the client's address -------------------------------------------------------------------------------------------
PROXY = "10.0.0.2"


@pytest.mark.parametrize(
    ("came", "seconds"), [(0, 5), (1024, 6), (10 * 1024, 15), (25 * 1024, 30), (4 * 1024 * 1024, 30)]
)
def test_a_body_has_longer_the_more_of_it_has_come(came: int, seconds: float) -> None:
    assert Intake(max_body_bytes=2**22, body_timeout_s=30).deadline_s(came) == seconds


async def test_a_body_that_comes_below_the_floor_is_too_slow() -> None:
    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    slow = Intake(max_body_bytes=10**6, body_timeout_s=60, body_grace_s=0.05)
    assert await code_of([], trickle, slow) is Code.BODY_TOO_SLOW


BEHIND = Intake(max_body_bytes=10, body_timeout_s=1, trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
XFF = b"x-forwarded-for"


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [(XFF, b"198.51.100.7")], "192.0.2.1"),
        ("192.0.2.1", [(XFF, b"10.0.0.2")], "192.0.2.1"),
        (PROXY, [], PROXY),
        (PROXY, [(XFF, b"198.51.100.7")], "198.51.100.7"),
        (PROXY, [(XFF, b"1.2.3.4, 198.51.100.7")], "198.51.100.7"),
        (PROXY, [(XFF, b"1.2.3.4,198.51.100.7 ")], "198.51.100.7"),
        (PROXY, [(XFF, b"1.2.3.4"), (XFF, b"198.51.100.7")], "198.51.100.7"),
        (PROXY, [(XFF, b"127.0.0.1, 10.0.0.9, 198.51.100.7")], "198.51.100.7"),
        (PROXY, [(XFF, b"2001:db8::1")], "2001:db8::1"),
        ("fd00::1", [(XFF, b"2001:0DB8:0::1")], "2001:db8::1"),
        ("::ffff:10.0.0.2", [(XFF, b"198.51.100.7")], "198.51.100.7"),
        ("::ffff:192.0.2.1", [(XFF, b"198.51.100.7")], "::ffff:192.0.2.1"),
        (PROXY, [(XFF, b"")], PROXY),
        (PROXY, [(XFF, b"198.51.100.7,")], PROXY),
        (PROXY, [(XFF, b"unknown")], PROXY),
        (PROXY, [(XFF, b"localhost")], PROXY),
        (PROXY, [(XFF, b"198.51.100.7:1234")], PROXY),
        (PROXY, [(XFF, b"[2001:db8::1]")], PROXY),
        (PROXY, [(XFF, b"1.2.3")], PROXY),
        (PROXY, [(XFF, b"010.1.1.1")], PROXY),
        (PROXY, [(XFF, b"1.2.3.4\n5.6.7.8")], PROXY),
        (PROXY, [(XFF, b"\xd9\xa1.2.3.4")], PROXY),
        (PROXY, [(XFF, b"<script>")], PROXY),
        (PROXY, [(b"x_forwarded_for", b"198.51.100.7")], PROXY),
        (PROXY, [(b"forwarded", b"for=198.51.100.7")], PROXY),
        (PROXY, [(b"x-real-ip", b"198.51.100.7")], PROXY),
        ("not an address", [(XFF, b"198.51.100.7")], "not an address"),
        (None, [(XFF, b"198.51.100.7")], ""),
    ],
)
def test_only_a_trusted_proxys_own_word_counts(peer: str | None, headers: Headers, expected: str) -> None:
    assert address_of(scope(headers, peer), BEHIND) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", PROXY, "127.0.0.1"])
def test_without_trusted_proxies_the_peer_is_the_client(peer: str) -> None:
    assert address_of(scope([(XFF, b"198.51.100.7")], peer), SMALL) == peer


@given(st.binary(max_size=40))
def test_a_spoofed_beginning_never_shows(spoof: bytes) -> None:
    headers: Any = [(XFF, spoof), (XFF, spoof + b", 198.51.100.7")]

    assert address_of(scope(headers, PROXY), BEHIND) == "198.51.100.7"
