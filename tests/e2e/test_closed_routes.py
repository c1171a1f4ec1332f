"""What is not served never reaches a backend, however it is spelt and whatever the method."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from entrypoints.http.routes import CLOSED
from tests.e2e.house import House, Key

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
BLOCKED = [
    "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/sha256:abc", "/api/me",
    "/api/signout", "/api/user/keys/x", "/api/experimental/web_search", "/api/experimental/web_fetch",
    "/api/experimental/model-recommendations", "/api/experimental/aliases", "/api/status",
    "/v1/audio/transcriptions", "/v1/images/generations", "/v1/images/edits", "/debug/pprof/", "/metrics",
]  # fmt: skip
MUTATIONS = BLOCKED[:6]


def spellings(path: str) -> list[str]:
    """Ways to write a path that some server takes for the same."""
    head, tail = path[:5], path[5:]
    return [
        path + "/", "/" + path, path.replace("/", "//"), head + "./" + tail, head + "x/../" + tail,
        head + "x/%2e%2e/" + tail, path.replace("/", "%2F"), "/" + path[1:].replace("/", "%2f"),
        head + "%" + format(ord(tail[0]), "02x") + tail[1:], path.upper(), path.title(), path + ";a=b",
        head[:-1] + ";x/" + tail, path + "%20", path + "%00", path + "%0a", path + "%0d%0a", path + "?x=1", path + "#f",
        path + "%3F", path + "/.", path + "/..%2f" + tail, "/x/.." + path, path.replace("/", "\\"), path + ".json",
        path + "%C0%AF", "/%2e" + path, "http://other.example" + path, path + "//", "/api/../" + path[1:],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def quiet_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("closed")) as opened:
        opened.add_gateway(POLL_INTERVAL_S="250").wait_ready()
        yield opened


@pytest.fixture(scope="module")
def key(quiet_house: House) -> Key:
    return quiet_house.new_key()


def ask(house: House, key: Key, method: str, target: str) -> int:
    """The status of one raw request; 0 when the server hangs up without one."""
    request = (
        f"{method} {target} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key.text}\r\n"
        'Content-Type: application/json\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"model":"sim-x"}'
    )
    with socket.create_connection(("127.0.0.1", house.gateways[0].port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1")[: len(request)])
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def untouched(house: House) -> bool:
    """Whether the backend has seen nothing but the gateway's own survey."""
    own = {"/api/tags", "/api/ps", "/api/version", "/api/show"}
    return all(entry["path"] in own and entry["kind"] != "inference" for entry in house.simulator.log())


def test_every_mutation_is_403_for_every_method(quiet_house: House, key: Key) -> None:
    statuses = {(method, path): ask(quiet_house, key, method, path) for path in MUTATIONS for method in METHODS}

    assert set(statuses.values()) == {403}
    assert untouched(quiet_house)


def test_every_other_blocked_route_is_refused_for_every_method(quiet_house: House, key: Key) -> None:
    statuses = {(method, path): ask(quiet_house, key, method, path) for path in BLOCKED for method in METHODS}

    assert set(statuses.values()) <= {403, 404}
    assert untouched(quiet_house)


@pytest.mark.parametrize("path", BLOCKED)
def test_no_spelling_of_a_blocked_route_reaches_the_backend(quiet_house: House, key: Key, path: str) -> None:
    for target in spellings(path):
        for method in ("POST", "GET", "DELETE"):
            assert ask(quiet_house, key, method, target) in (0, 400, 403, 404), target

    assert untouched(quiet_house)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions"])
def test_no_other_spelling_of_a_served_route_is_served(quiet_house: House, key: Key, path: str) -> None:
    for target in spellings(path):
        if "?" in target and "%3F" not in target:
            continue  # a query string does not change the route
        assert ask(quiet_house, key, "POST", target) in (0, 400, 403, 404), target

    assert untouched(quiet_house)


def test_the_closed_table_names_what_this_test_asks_for() -> None:
    assert all(any(path.encode().startswith(closed) for closed in CLOSED) for path in BLOCKED[:14])
