"""Aliases as clients and operators meet them: a program written for `gpt-4o-mini` runs unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import openai
import psycopg
import pytest
from psycopg.types.json import Jsonb

from domain.models import canonical
from domain.policies import Policy
from tests.e2e.house import House, Key
from tests.e2e.programs import cli, eventually
from tests.logins import login_in

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
ALIASES = {
    "gpt-4o-mini": "sim-chat",
    "openai/gpt-4o": "sim-chat",
    "text-embedding-3-small": "sim-embed",
    "gpt-5": "absent",
}
QUESTION: Any = [{"role": "user", "content": "Say hello."}]
ASKED = ("gpt-4o-mini", "GPT-4o-Mini:latest", "openai/gpt-4o")


@pytest.fixture(scope="module")
def key(house: House) -> Key:
    key = house.new_key()
    aliases = {canonical(alias): canonical(model) for alias, model in ALIASES.items()}
    house.rows("update tenants set aliases = %s where id = %s", Jsonb(aliases), key.tenant_id)
    return key


@pytest.fixture
def compatible(house: House, key: Key) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=key.text, max_retries=0) as client:
        yield client


@pytest.fixture
def native(house: House, key: Key) -> Iterator[ollama.Client]:
    client = ollama.Client(host=house.url, headers=key.headers)
    yield client
    client._client.close()


@pytest.mark.parametrize("asked", ASKED)
def test_openai_asks_by_an_alias_and_is_answered_under_it(compatible: openai.OpenAI, asked: str) -> None:
    whole = compatible.chat.completions.create(model=asked, messages=QUESTION)
    chunks = list(compatible.chat.completions.create(model=asked, messages=QUESTION, stream=True))
    text = compatible.completions.create(model=asked, prompt="Hello", max_tokens=5)

    assert whole.choices[0].message.content
    assert len(chunks) > 5
    assert {whole.model, text.model, *(chunk.model for chunk in chunks)} == {asked}


def test_openai_embeds_by_an_alias(compatible: openai.OpenAI) -> None:
    answer = compatible.embeddings.create(model="text-embedding-3-small", input=["a cat", "a dog"])

    assert (answer.model, len(answer.data)) == ("text-embedding-3-small", 2)


@pytest.mark.parametrize("asked", ASKED)
def test_ollama_asks_by_an_alias_and_is_answered_under_it(native: ollama.Client, asked: str) -> None:
    whole = native.chat(model=asked, messages=QUESTION)
    parts = list(native.chat(model=asked, messages=QUESTION, stream=True))
    text = native.generate(model=asked, prompt="Hello")

    assert {whole.model, text.model, *(part.model for part in parts)} == {asked}
    assert native.show(asked).details == native.show("sim-chat").details


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": QUESTION}),
        ("/api/generate", {"prompt": "Hello"}),
        ("/v1/chat/completions", {"messages": QUESTION}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": QUESTION, "max_tokens": 20}),
    ],
)
def test_no_byte_of_an_answer_has_the_models_own_name(
    house: House, key: Key, path: str, body: dict[str, Any], *, streamed: bool
) -> None:
    sent = {"model": "GPT-4o-mini", "stream": streamed, **body}
    answer = httpx.post(f"{house.url}{path}", json=sent, headers=key.headers, timeout=30)

    assert answer.status_code == 200
    assert "GPT-4o-mini" in answer.text
    assert "sim-chat" not in answer.text


def test_aliases_are_listed_as_models_are(compatible: openai.OpenAI, native: ollama.Client) -> None:
    listed = {model.id for model in compatible.models.list()}
    tags = {model.model: model for model in native.list().models}

    assert {"gpt-4o-mini", "openai/gpt-4o", "text-embedding-3-small", "sim-chat:latest"} <= listed
    assert "gpt-5" not in listed
    assert tags["gpt-4o-mini:latest"].digest == tags["sim-chat:latest"].digest
    assert not [model.model for model in native.ps().models if "gpt" in str(model.model)]
    for asked in ASKED:  # the one with a slash comes percent-encoded
        assert compatible.models.retrieve(asked).id == asked


def test_the_audit_and_the_log_name_the_model(house: House, key: Key) -> None:
    answer = httpx.post(f"{house.url}/api/chat", json=CHAT, headers=key.headers, timeout=30)
    house.settled()

    request_id = answer.headers["x-request-id"].removeprefix("req_")
    started = house.rows("select model from audit where request_id = %s::uuid and event = 'started'", request_id)
    [line] = [line for line in house.gateways[0].text().splitlines() if request_id in line and '"call"' in line]
    assert [row["model"] for row in started] == [canonical("sim-chat")]
    assert '"model":"sim-chat:latest"' in line.replace('": "', '":"')
    assert '"asked":"gpt-4o-mini"' in line.replace('": "', '":"')


def test_an_alias_is_its_tenants_alone_and_what_is_not_there_looks_the_same(house: House, key: Key) -> None:
    stranger = house.new_key()
    cases = [(key, "gpt-5"), (key, "nothing"), (stranger, "gpt-4o-mini"), (stranger, "nothing")]

    told = [
        httpx.post(f"{house.url}/v1/chat/completions", json=CHAT | {"model": model}, headers=who.headers)
        for who, model in cases
    ]

    assert [answer.status_code for answer in told] == [404] * 4
    words = {
        answer.json()["error"]["message"].replace(model, "X") for answer, (_, model) in zip(told, cases, strict=True)
    }
    assert len(words) == 1
    with house.client(stranger) as client:
        assert "gpt" not in client.get("/api/tags").text + client.get("/v1/models").text


def test_a_cloud_name_stays_refused_whatever_is_set(house: House, key: Key) -> None:
    refused = cli(house.environ, house.folder, "set-alias", "--tenant", key.tenant, "gpt-oss:120b-cloud", "sim-chat")
    asked = httpx.post(f"{house.url}/api/chat", json=CHAT | {"model": "gpt-4o-mini:cloud"}, headers=key.headers)

    assert refused.returncode == 2
    assert (asked.status_code, asked.json()["code"]) == (403, "cloud_model")


def test_an_alias_widens_no_model_list(house: House) -> None:
    allowed = Policy(models=frozenset({canonical("sim-embed"), canonical("gpt-4o-mini")}))
    key = house.new_key(tenant_policy=allowed)
    made = cli(house.environ, house.folder, "set-alias", "--tenant", key.tenant, "gpt-4o-mini", "sim-chat")

    assert "not on this tenant's model list" in " ".join(made.stderr.split())
    with house.client(key) as client:
        assert client.post("/api/chat", json=CHAT).status_code == 404
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["sim-embed:latest"]


def test_what_an_operator_sets_binds_on_the_next_call(house: House) -> None:
    key = house.new_key()
    statuses = []
    with house.client(key) as client:
        statuses.append(client.post("/api/chat", json=CHAT).status_code)
        for meaning in ("sim-chat", "--remove"):
            told = cli(house.environ, house.folder, "set-alias", "--tenant", key.tenant, "gpt-4o-mini", meaning)
            assert told.returncode == 0, told.stderr
            statuses.append(client.post("/api/chat", json=CHAT).status_code)

    assert statuses == [404, 200, 404]


def test_an_alias_set_by_plain_sql_binds_within_a_second(house: House) -> None:
    key = house.new_key()
    second = house.gateways[1] if len(house.gateways) > 1 else house.add_gateway()
    second.wait_ready()

    def status(url: str) -> int:
        return httpx.post(f"{url}/api/chat", json=CHAT, headers=key.headers, timeout=30).status_code

    assert status(house.url) == status(second.url) == 404
    with login_in("neuronetz_console", house.database_url) as url, psycopg.connect(url) as console:
        console.execute(
            "update neuronetz.tenants set aliases = aliases || %s where id = %s",
            (Jsonb({canonical("gpt-4o-mini"): canonical("sim-chat")}), key.tenant_id),
        )

    for _ in eventually(1.0, 0.01):
        if status(house.url) == status(second.url) == 200:
            return
