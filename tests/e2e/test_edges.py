"""What comes in is bounded: size, time, framing, encoding. Raw sockets, because clients are too polite."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually

BODY = json.dumps({"model": "sim-chat", "stream": False, "messages": [{"role": "user", "content": "Hi"}]})


@pytest.fixture(scope="module", params=["httptools", "h11"])
def edge_house(
    request: pytest.FixtureRequest, stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    bounds = {"MAX_BODY_BYTES": "5000", "BODY_TIMEOUT_S": "1", "HTTP_PARSER": request.param}
    with House.open(stores, tmp_path_factory.mktemp("edges"), **bounds) as opened:
        opened.add_gateway().wait_ready()
        yield opened


@pytest.fixture(scope="module")
def key(edge_house: House) -> Key:
    return edge_house.new_key()


def exchange(house: House, request: bytes, *, wait_s: float = 5) -> bytes:
    with socket.create_connection(("127.0.0.1", house.gateways[0].port), timeout=wait_s) as connection:
        connection.sendall(request)
        return answer_on(connection)


def answer_on(connection: socket.socket) -> bytes:
    """As much of one answer as comes in time."""
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
            if b"\r\n\r\n" in answer and b"100 Continue" not in answer.split(b"\r\n")[0]:
                head, _, body = answer.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if length and len(body) >= int(length[0].split(b":")[1]):
                    return answer
    except TimeoutError:
        pass
    return answer


def post(key: Key, *headers: str, body: str = BODY, path: str = "/api/chat") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: g", f"Authorization: Bearer {key.text}", *headers, "", body]
    return "\r\n".join(lines).encode()


def code_of(answer: bytes) -> str:
    lines = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"x-error-code:")]
    return lines[0].split(b":")[1].strip().decode() if lines else answer.split(b"\r\n")[0].decode()


def test_a_body_larger_than_announced_bound_is_413_at_once(edge_house: House, key: Key) -> None:
    answer = exchange(edge_house, post(key, "Content-Length: 1000000000", body="{"))

    assert answer.startswith(b"HTTP/1.1 413")
    assert code_of(answer) == "body_too_large"


def test_a_chunked_body_is_counted_as_it_comes(edge_house: House, key: Key) -> None:
    chunk = "3e8\r\n" + "x" * 1000 + "\r\n"

    assert code_of(exchange(edge_house, post(key, "Transfer-Encoding: chunked", body=chunk * 10))) == "body_too_large"


def test_a_chunked_body_is_accepted(edge_house: House, key: Key) -> None:
    body = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"

    assert exchange(edge_house, post(key, "Transfer-Encoding: chunked", body=body)).startswith(b"HTTP/1.1 200")


def test_a_refused_key_does_not_cost_its_connection(edge_house: House) -> None:
    asked = (
        f"POST /api/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer no\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    )
    last = asked.replace("Host: g", "Host: g\r\nConnection: close")

    with socket.create_connection(("127.0.0.1", edge_house.gateways[0].port), timeout=5) as connection:
        connection.sendall(asked.encode())
        first = answer_on(connection)
        connection.sendall(last.encode())
        second = answer_on(connection)

    assert [code_of(first), code_of(second)] == ["invalid_api_key"] * 2
    assert [b"connection: close" in answer.lower() for answer in (first, second)] == [False, True]


def test_a_refused_key_whose_body_is_still_to_come_ends_its_connection(edge_house: House) -> None:
    answer = exchange(edge_house, b"POST /api/chat HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{")

    assert code_of(answer) == "missing_api_key"
    assert b"connection: close" in answer.lower()


def test_a_body_that_does_not_come_is_408(edge_house: House, key: Key) -> None:
    began = time.monotonic()

    answer = exchange(edge_house, post(key, "Content-Length: 100", body="{"))

    assert code_of(answer) == "body_too_slow"
    assert time.monotonic() - began < 3


def test_both_framings_are_400(edge_house: House, key: Key) -> None:
    body = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
    answer = exchange(edge_house, post(key, f"Content-Length: {len(body)}", "Transfer-Encoding: chunked", body=body))

    assert code_of(answer) == "bad_framing"
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate", "br", "gzip, gzip", "identity, zstd"])
def test_an_encoded_body_is_415(edge_house: House, key: Key, coding: str) -> None:
    request = post(key, f"Content-Encoding: {coding}", f"Content-Length: {len(BODY)}")

    assert code_of(exchange(edge_house, request)) == "unsupported_encoding"


def test_any_content_type_is_read_as_json(edge_house: House, key: Key) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/octet-stream", "text/plain; charset=utf-16"):
        request = post(key, f"Content-Type: {kind}", f"Content-Length: {len(BODY)}")
        assert exchange(edge_house, request).startswith(b"HTTP/1.1 200")


def test_every_answer_names_its_request_and_no_header_of_the_backend(edge_house: House, key: Key) -> None:
    edge_house.simulator.behave({"behaviour": {"echo_header": "Authorization"}, "times": 1})
    answers = [
        exchange(edge_house, post(key, f"Content-Length: {len(BODY)}")),
        exchange(edge_house, post(key, "Content-Length: 2", body="[]")),
        exchange(edge_house, b"GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n"),
    ]

    for answer in answers:
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"x-request-id: req_" in head
        names = {line.split(b":")[0] for line in head.split(b"\r\n")[1:]}
        assert names <= {
            b"content-type", b"x-request-id", b"content-length", b"date", b"x-error-code", b"connection",
        }  # fmt: skip


def test_the_backend_gets_built_headers_only(edge_house: House, key: Key) -> None:
    edge_house.simulator.log(reset=True)
    exchange(
        edge_house,
        post(
            key, "Origin: http://evil.example", "Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "Connection: authorization",
            "Accept-Encoding: gzip", "X-HTTP-Method-Override: DELETE", f"Content-Length: {len(BODY)}",
        ),
    )  # fmt: skip

    (entry,) = [one for one in edge_house.simulator.log() if one["kind"] == "inference"]
    names = {name.lower() for name, _ in entry["headers"]}
    assert names == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "x-request-id",
    }
    assert key.text not in json.dumps(entry)


def test_a_stranger_is_turned_away_before_its_body_is_read(edge_house: House) -> None:
    head = b"POST /api/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer nz_no\r\nContent-Length: 4000\r\n\r\n{"
    began = time.monotonic()

    answer = exchange(edge_house, head)

    assert code_of(answer) == "invalid_api_key"
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < 0.8


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_what_cannot_be_read_is_told_in_the_callers_dialect_and_noted(edge_house: House, key: Key, path: str) -> None:
    answer = exchange(edge_house, post(key, "X_Forwarded_For: 6.6.6.6", f"Content-Length: {len(BODY)}", path=path))
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]

    assert answer.startswith(b"HTTP/1.1 400")
    assert code_of(answer) == "malformed_request"
    assert b"connection: close" in head.lower()
    assert b"x-request-id: req_" in head.lower()
    assert "X_Forwarded_For has an underscore" in (error if path == "/api/chat" else error["message"])
    for _ in eventually(5):
        if edge_house.rows("select 1 from audit where route = '-' and code = 'malformed_request' and status = 400"):
            return


def test_a_body_that_is_refused_early_costs_no_client_its_answer(edge_house: House, key: Key) -> None:
    with socket.create_connection(("127.0.0.1", edge_house.gateways[0].port), timeout=10) as connection:
        connection.sendall(post(key, "Content-Length: 3000000", body="x" * 3_000_000))  # all of it before it listens
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk

    assert code_of(answer) == "body_too_large"


def test_requests_share_a_connection_and_what_is_no_request_ends_it(edge_house: House, key: Key) -> None:
    good = post(key, f"Content-Length: {len(BODY)}")
    with socket.create_connection(("127.0.0.1", edge_house.gateways[0].port), timeout=10) as connection:
        connection.sendall(good * 2 + b"GET / HTTP/1.1\r\n\r\n" + good)
        answers = b""
        while chunk := connection.recv(65536):
            answers += chunk

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.count(b"HTTP/1.1 400") == 1
    assert answers.count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize("early", ["G", "GET / HTTP/1.1\r\nHost: g\r\n\r\n", "x" * 300_000])
def test_no_byte_sent_too_early_hides_a_hang_up(edge_house: House, key: Key, early: str) -> None:
    edge_house.simulator.log(reset=True)
    edge_house.simulator.behave({"behaviour": {"first_byte_delay_s": 20}, "times": 1})
    with socket.create_connection(("127.0.0.1", edge_house.gateways[0].port), timeout=10) as connection:
        connection.sendall(post(key, f"Content-Length: {len(BODY)}"))
        for _ in eventually(10):
            if any(entry["kind"] == "inference" for entry in edge_house.simulator.log()):
                break
        connection.sendall(early.encode())

    for _ in eventually(5):
        (entry,) = [one for one in edge_house.simulator.log() if one["kind"] == "inference"]
        if entry["ended"] == "hang-up":
            return


@pytest.mark.parametrize("path", ["/api/chat", "/api/pull", "/", "/nowhere"])
def test_a_websocket_is_refused_on_every_path(edge_house: House, key: Key, path: str) -> None:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key.text}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    assert exchange(edge_house, request.encode()).startswith(b"HTTP/1.1 403")


def test_a_name_of_megabytes_is_refused_and_not_written_down(edge_house: House, key: Key) -> None:
    body = json.dumps({"model": "x" * 4000, "messages": [{"role": "user", "content": "Hi"}]})

    answer = exchange(edge_house, post(key, f"Content-Length: {len(body)}", body=body))

    assert code_of(answer) == "invalid_request"
    for _ in eventually(3):
        rows = edge_house.rows("select max(length(model)) as most from audit where tenant_id = %s", key.tenant_id)
        if rows[0]["most"] is None or rows[0]["most"] <= 256:
            return


def test_strangers_are_challenged(edge_house: House) -> None:
    without = exchange(edge_house, b"GET /api/tags HTTP/1.1\r\nHost: g\r\n\r\n")
    wrong = exchange(edge_house, b"GET /api/tags HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer nz_no\r\n\r\n")

    assert b'www-authenticate: Bearer realm="neuronetz-gateway"\r\n' in without
    assert b'www-authenticate: Bearer realm="neuronetz-gateway", error="invalid_token"' in wrong
    assert (code_of(without), code_of(wrong)) == ("missing_api_key", "invalid_api_key")


def test_health_needs_no_key_and_readiness_names_every_part(edge_house: House) -> None:
    alive = exchange(edge_house, b"GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n")
    ready = exchange(edge_house, b"GET /readyz HTTP/1.1\r\nHost: g\r\n\r\n")

    assert alive.endswith(b'\r\n\r\n{"status":"ok"}')
    parts = json.loads(ready.split(b"\r\n\r\n")[1])["parts"]
    assert {"postgres", "redis", "ollama", "backend:default", "audit", "process"} == set(parts)
