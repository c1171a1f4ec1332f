"""The same on a real Ollama, where there is one: `OLLAMA_TEST_URL=http://127.0.0.1:11434 tox -e py`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import ollama
import openai
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House

URL = os.environ.get("OLLAMA_TEST_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="OLLAMA_TEST_URL names no Ollama")


@pytest.fixture(scope="module")
def real_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("real"), OLLAMA_BASE_URL=URL) as opened:
        opened.add_gateway().wait_ready()
        yield opened


@pytest.fixture
def model() -> str:
    for listed in ollama.Client(host=URL).list().models:
        name = str(listed.model)
        if "completion" in (ollama.Client(host=URL).show(name).capabilities or []):
            return name
    pytest.skip("that Ollama has no model that can chat")


def test_native_and_compatible_clients_chat_and_the_ledger_has_what_the_model_says(
    real_house: House, model: str
) -> None:
    key = real_house.new_key()
    options = {"num_predict": 16, "temperature": 0}
    native = ollama.Client(host=real_house.url, headers=key.headers)
    messages = [{"role": "user", "content": "Say hello."}]

    whole = native.chat(model=model, messages=messages, options=options)
    last = list(native.chat(model=model, messages=messages, options=options, stream=True))[-1]
    with openai.OpenAI(base_url=f"{real_house.url}/v1", api_key=key.text) as compatible:
        answer = compatible.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=16
        )
    real_house.settled()

    assert answer.usage is not None
    said = [
        (whole.prompt_eval_count or 0) + (whole.eval_count or 0),
        (last.prompt_eval_count or 0) + (last.eval_count or 0),
        answer.usage.total_tokens,
    ]
    assert real_house.used(key) == sum(said)
    held = real_house.rows("select max(overshoot_tokens) as over from audit where tenant_id = %s", key.tenant_id)
    assert not held[0]["over"]
