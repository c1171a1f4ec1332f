"""What every answer's headers tell, in each dialect; and what they do not tell: what exists."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import httpx
import pytest

from domain.budgets import Budgets
from domain.limits import Limits
from domain.models import canonical
from domain.policies import Policy
from tests.e2e.clients.troubles import MODEL
from tests.e2e.house import House, Key
from tests.e2e.programs import cli

_HI: Any = [{"role": "user", "content": "Hi"}]


@attrs.frozen
class Door:
    """One dialect's route for chats, and the words of its rates."""

    path: str
    body: Mapping[str, Any]
    rates: Sequence[str]

    def ask(self, house: House, key: Key, *, streamed: bool = False, model: str = MODEL) -> httpx.Response:
        with house.client(key) as client:
            return client.post(self.path, json={**self.body, "model": model, "stream": streamed})


_OPENAI = [f"x-ratelimit-{part}-{kind}" for kind in ("requests", "tokens") for part in ("limit", "remaining", "reset")]
_ANTHROPIC = [
    f"anthropic-ratelimit-{kind}-{part}" for kind in ("requests", "tokens") for part in ("limit", "remaining", "reset")
]
DOORS = {
    "native": Door("/api/chat", {"messages": _HI}, _OPENAI),
    "openai": Door("/v1/chat/completions", {"messages": _HI, "max_tokens": 5}, _OPENAI),
    "responses": Door("/v1/responses", {"input": "Hi", "max_output_tokens": 16}, _OPENAI),
    "anthropic": Door("/v1/messages", {"messages": _HI, "max_tokens": 5}, _ANTHROPIC),
}
EVERY_DOOR = pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))


def rates_of(answer: httpx.Response) -> Sequence[str]:
    return [name for name in answer.headers if "ratelimit" in name]


def seconds_of(reset: str) -> float:
    """Of a reset in either of its forms."""
    if reset.endswith("Z"):
        return (datetime.fromisoformat(reset) - datetime.now(UTC)).total_seconds()
    minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(\d+)s", reset).groups()  # type: ignore[union-attr]  # fails if it is not
    return timedelta(minutes=int(minutes or 0), seconds=int(seconds)).total_seconds()


@EVERY_DOOR
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_rates_stand_on_answers_and_on_refusals_in_the_words_of_the_dialect(
    clients_house: House, door: Door, *, streamed: bool
) -> None:
    key = clients_house.new_key(tenant_policy=Policy(limits=Limits(rpm=1, tpm=1_000_000)))

    served = door.ask(clients_house, key, streamed=streamed)
    refused = door.ask(clients_house, key, streamed=streamed)

    assert (served.status_code, refused.status_code) == (200, 429)
    for answer in (served, refused):
        assert rates_of(answer) == list(door.rates)
        assert [answer.headers[name] for name in door.rates[:2]] == ["1", "0"]
        assert answer.headers[door.rates[3]] == "1000000"
        assert -1 < seconds_of(answer.headers[door.rates[2]]) <= 63
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "x-should-retry" not in refused.headers


@EVERY_DOOR
def test_a_spent_budget_tells_its_reset_and_the_rates_and_no_wait(clients_house: House, door: Door) -> None:
    policy = Policy(limits=Limits(rpm=9, tpm=1_000_000), budgets=Budgets(daily=1))
    key = clients_house.new_key(tenant_policy=policy)

    refused = door.ask(clients_house, key)

    assert (refused.status_code, refused.headers["x-error-code"]) == (429, "budget_exhausted")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert refused.headers["x-budget-reset"] in refused.text
    assert datetime.fromisoformat(refused.headers["x-budget-reset"]) > datetime.now(UTC)
    assert rates_of(refused) == list(door.rates)


@EVERY_DOOR
def test_a_stranger_is_told_how_to_send_a_key_and_a_wrong_key_that_it_is_wrong(
    clients_house: House, door: Door
) -> None:
    with httpx.Client(base_url=clients_house.url) as client:
        none = client.post(door.path, json={})
        wrong = client.post(door.path, json={}, headers={"x-api-key": "nz_nobody"})

    assert (none.status_code, wrong.status_code) == (401, 401)
    assert none.headers["www-authenticate"] == 'Bearer realm="neuronetz-gateway"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="neuronetz-gateway", error="invalid_token"'
    assert "Authorization: Bearer" in none.text and "x-api-key" in none.text
    assert "Incorrect API key provided" in wrong.text
    assert "nobody" not in wrong.text


def test_whoever_holds_a_revoked_key_is_told_in_the_words_that_libraries_look_for(clients_house: House) -> None:
    key = clients_house.new_key()
    clients_house.revoke(key)

    refused = DOORS["openai"].ask(clients_house, key)

    assert refused.headers["x-error-code"] == refused.json()["error"]["code"] == "api_key_revoked"
    assert "Incorrect API key provided: it was revoked" in refused.json()["error"]["message"]


# -- what exists is nobody's business -------------------------------------------------------------------------------


@EVERY_DOOR
def test_a_model_that_is_not_allowed_and_an_alias_to_nothing_look_like_one_that_is_not_there(
    clients_house: House, door: Door
) -> None:
    policy = Policy(limits=Limits(rpm=60), models=frozenset({canonical(MODEL), canonical("gone")}))
    key = clients_house.new_key(tenant_policy=policy)
    done = cli(clients_house.environ, clients_house.folder, "set-alias", "--tenant", key.tenant, "sim-alias", "gone")
    assert done.returncode == 0, done.stderr

    told = [refusal_of(door, clients_house, key, model) for model in ("no-such-m", "sim-think", "sim-alias")]

    assert told[0] == told[1] == told[2]
    assert told[0][0] == 404


def refusal_of(door: Door, house: House, key: Key, model: str) -> tuple[int, Mapping[str, str], str]:
    """Everything that is told, but for what is of this request alone. The names are of one length."""
    answer = door.ask(house, key, model=model)
    request_id = answer.headers["x-request-id"]
    own = ("x-request-id", "request-id", "date")
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, answer.text.replace(model, "MODEL").replace(request_id, "ID")


# -- an id on everything --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/api/tags", 200),
        ("GET", "/api/version", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/nope", 404),
        ("POST", "/api/pull", 403),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/messages/count_tokens", 404),
        ("GET", "/v1/messages", 405),
        ("DELETE", "/api/chat", 405),
        ("POST", "/api/chat", 400),
    ],
)
def test_every_answer_has_a_request_id(clients_house: House, method: str, path: str, status: int) -> None:
    with clients_house.client(clients_house.new_key()) as client:
        answer = client.request(method, path)

    assert answer.status_code == status
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    if path.startswith("/v1/messages"):
        assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.json()["request_id"]
    assert ("x-error-code" in answer.headers) == (status >= 400)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /v1/messages HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ],
    ids=["two hosts", "two framings", "no header"],
)
def test_even_what_is_no_request_is_answered_with_a_request_id(clients_house: House, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", clients_house.gateways[0].port), timeout=10) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(re.findall(rb"(?i)\nx-request-id: req_[0-9a-f]{32}\r", answer)) == 1
    assert len(re.findall(rb"(?i)\nrequest-id: req_[0-9a-f]{32}\r", answer)) == 1
    assert b'"type":"error"' in answer
