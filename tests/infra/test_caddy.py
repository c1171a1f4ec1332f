"""A real gateway behind a real Caddy with the example Caddyfile: what the TLS border must let through, and what not."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import free_port
from tests.infra.front import ELSEWHERE, Front, inference
from tests.infra.spoofs import ONE_UNDERSCORE, SPOOFS

QUESTION: Any = [{"role": "user", "content": "Say hello."}]
PATHS = ["/api/chat", "/v1/chat/completions"]
FOR_EVER_S = -1


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("behind"), TRUSTED_PROXIES="127.0.0.1/32") as opened:
        opened.add_gateway().wait_ready()
        yield opened


@pytest.fixture(scope="module")
def front(house: House) -> Iterator[Front]:
    caddy = Front(house.gateways[0].port, house.folder)
    try:
        caddy.wait_ready()
        yield caddy
    finally:
        caddy.stop()


@pytest.fixture(scope="module")
def key(house: House) -> Key:
    return house.new_key()


@pytest.fixture
def behaving(house: House) -> Iterator[House]:
    """A house whose backend forgets what it has served, and behaves again afterwards."""
    house.settled()
    house.simulator.log(reset=True)
    yield house
    house.simulator.behave_normally()


def test_a_client_that_trusts_only_the_public_authorities_does_not_connect(front: Front) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(front.url, verify=ssl.create_default_context())


def test_the_openai_client_streams(front: Front, key: Key) -> None:
    http_client = openai.DefaultHttpxClient(verify=front.trust())
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=key.text, http_client=http_client, max_retries=0) as client:
        chunks = list(client.chat.completions.create(model="sim-chat", messages=QUESTION, stream=True))

    assert len(chunks) > 5
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_piece_arrives_before_the_next_is_made(
    behaving: House,
    front: Front,
    key: Key,
    path: str,
    http2: bool,  # noqa: FBT001
) -> None:
    behaving.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": FOR_EVER_S}, "times": 1})
    with (
        front.client(key, http2=http2) as client,
        client.stream("POST", path, json={"model": "sim-chat", "messages": QUESTION, "stream": True}) as answer,
    ):
        lines = (line for line in answer.iter_lines() if line)
        got = [next(lines) for _ in range(3)]

        assert inference(behaving, ended=False)["ended"] == "running"
        assert len(got) == 3
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")


def ask(front: Front, key: Key, path: str) -> ssl.SSLSocket:
    """Sends one streamed call over HTTP/1.1; to hang up is to close the connection."""
    body = json.dumps({"model": "sim-chat", "messages": QUESTION, "stream": True})
    connection = front.connect("http/1.1")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key.text}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


@pytest.mark.parametrize("path", PATHS)
def test_a_hang_up_in_the_middle_reaches_the_backend(behaving: House, front: Front, key: Key, path: str) -> None:
    behaving.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": FOR_EVER_S}, "times": 1})
    with ask(front, key, path) as connection:
        connection.recv(1)

    entry = inference(behaving, ended=True)
    assert entry["ended"] == "hang-up"
    assert entry["hang_up_by"] == "fin"


def test_a_hang_up_before_the_first_byte_reaches_the_backend(behaving: House, front: Front, key: Key) -> None:
    behaving.simulator.behave({"behaviour": {"first_byte_delay_s": 60}, "times": 1})
    with ask(front, key, "/api/chat"):
        inference(behaving, ended=False)

    assert inference(behaving, ended=True)["ended"] == "hang-up"


def test_a_stream_of_http2_that_is_reset_is_a_hang_up_while_its_connection_lives(
    behaving: House, front: Front, key: Key
) -> None:
    behaving.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": FOR_EVER_S}, "times": 1})
    body = json.dumps({"model": "sim-chat", "messages": QUESTION}).encode()
    names = {":method": "POST", ":path": "/api/chat", ":scheme": "https", ":authority": "localhost"}
    with front.connect("h2") as connection:
        speech = H2Connection()
        speech.initiate_connection()
        speech.send_headers(1, [*names.items(), ("authorization", f"Bearer {key.text}")])
        speech.send_data(1, body, end_stream=True)
        connection.sendall(speech.data_to_send())
        inference(behaving, ended=False)
        speech.reset_stream(1, ErrorCodes.CANCEL)
        connection.sendall(speech.data_to_send())

        assert inference(behaving, ended=True)["ended"] == "hang-up"


@pytest.fixture(scope="module")
def unbelieved(house: House) -> Iterator[Front]:
    """A Caddy in front of a gateway that was not told whom to believe."""
    gateway = house.add_gateway(TRUSTED_PROXIES="")
    gateway.wait_ready()
    caddy = Front(gateway.port, house.folder)
    try:
        caddy.wait_ready()
        yield caddy
    finally:
        caddy.stop()


def audited_address(house: House, front: Front, key: Key, spoof: str) -> str:
    """The address that the audit has for a call that came from elsewhere, with these lines in its head."""
    answer = called_from_elsewhere(front, key, SPOOFS[spoof])
    assert answer.startswith(b"HTTP/1.1 200")
    request_id = answer.lower().split(b"x-request-id: req_")[1][:32].decode()
    (started,) = house.rows("select address from audit where request_id = %s and event = 'started'", UUID(request_id))
    return str(started["address"])


def called_from_elsewhere(front: Front, key: Key, spoof: Sequence[str]) -> bytes:
    body = json.dumps({"model": "sim-chat", "messages": QUESTION, "stream": False, "options": {"num_predict": 1}})
    lines = ["POST /api/chat HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key.text}", *spoof]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", body]
    return front.exchange("\r\n".join(lines).encode(), address=ELSEWHERE)


def test_a_header_that_a_careless_server_would_take_for_another_is_refused(front: Front, key: Key) -> None:
    answer = called_from_elsewhere(front, key, ONE_UNDERSCORE)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"underscore" in answer


@pytest.mark.parametrize("spoof", SPOOFS)
def test_the_audit_has_the_clients_address_when_caddy_is_believed(
    house: House, front: Front, key: Key, spoof: str
) -> None:
    assert audited_address(house, front, key, spoof) == ELSEWHERE


@pytest.mark.parametrize("spoof", SPOOFS)
def test_the_audit_has_caddys_address_when_nobody_is_believed(
    house: House, unbelieved: Front, key: Key, spoof: str
) -> None:
    assert audited_address(house, unbelieved, key, spoof) == "127.0.0.1"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_body_above_the_limit_is_refused_in_the_dialect(
    house: House,
    front: Front,
    key: Key,
    path: str,
    chunked: bool,  # noqa: FBT001
) -> None:
    most = house.settings.max_body_bytes
    body = b" " * (most + 1)
    with front.client(key) as client:
        answer = client.post(path, content=iter([body]) if chunked else body)

    assert answer.status_code == 413
    assert answer.headers["x-error-code"] == "body_too_large"
    told = answer.json()
    with house.client(key) as client:
        assert told == client.post(path, content=iter([body])).json()


def test_a_body_of_just_the_limit_is_the_gateways_to_judge(house: House, front: Front, key: Key) -> None:
    with front.client(key) as client:
        answer = client.post("/api/chat", content=b" " * house.settings.max_body_bytes)

    assert answer.headers["x-error-code"] == "invalid_json"


def test_a_gateway_that_is_away_is_told_in_the_dialect(tmp_path: Path) -> None:
    caddy = Front(free_port(), tmp_path)
    try:
        caddy.wait_ready()
        with caddy.any_client() as client:
            compatible, native = client.get("/v1/models"), client.get("/api/tags")
    finally:
        caddy.stop()

    assert compatible.status_code == native.status_code == 502
    assert compatible.json()["error"]["message"] == native.json()["error"] == "Bad Gateway"
