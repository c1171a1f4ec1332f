"""A console at work beside a gateway that owns nothing: plain SQL in both, each with a login of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import PEPPER, ROOT, eventually
from tests.logins import login_in

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """As elsewhere, but the gateway is a mere member of its role."""
    folder: Path = tmp_path_factory.mktemp("console")
    with House.open(stores, folder) as opened, login_in("neuronetz_gateway", opened.database_url) as url:
        try:
            opened.add_gateway(DATABASE_URL=url).wait_ready()
            yield opened
        finally:
            opened.gateways[0].stop()


@pytest.fixture
def console(house: House) -> Iterator[Ask]:
    with login_in("neuronetz_console", house.database_url) as url:

        def ask(statement: str, *values: object) -> list[dict[str, Any]]:
            with psycopg.connect(url, row_factory=dict_row) as connection:
                cursor = connection.execute(statement.encode(), values)
                return cursor.fetchall() if cursor.description else []

        yield ask


def chat(house: House, text: str) -> int:
    return httpx.post(
        f"{house.url}/api/chat", json=CHAT, headers={"Authorization": f"Bearer {text}"}, timeout=30
    ).status_code


def within_a_second(house: House, text: str, status: int) -> None:
    for _ in eventually(1.0, 0.01):
        if chat(house, text) == status:
            return


def test_a_gateway_that_owns_nothing_serves_and_settles(house: House) -> None:
    key = house.new_key()

    assert chat(house, key.text) == 200
    house.settled()
    assert house.used(key) > 0
    assert house.rows("select id from processes where beat_at > now() - interval '1 minute'")
    assert "denied" not in house.gateways[0].text()


def _made_by_the_recipe() -> tuple[str, str, str]:
    """A key made by the program in the document, which knows nothing of ours."""
    [recipe] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "CONSOLE.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(recipe, "docs/CONSOLE.md", "exec"), names)  # noqa: S102  our own document, as its reader would run it
    text, prefix, stored = names["make_key"](PEPPER.encode())
    return str(text), str(prefix), str(stored)


def test_a_key_made_by_the_documents_recipe_is_served(house: House, console: Ask) -> None:
    text, prefix, stored = _made_by_the_recipe()

    console("insert into neuronetz.tenants (name) values ('of the console')")
    console(
        "insert into neuronetz.api_keys (tenant_id, prefix, name, secret_hash)"
        " select id, %s, 'first', %s from neuronetz.tenants where name = 'of the console'",
        prefix,
        stored,
    )

    within_a_second(house, text, 200)
    house.settled()
    [call] = console("select state, status, output_tokens from neuronetz.console_calls where key_prefix = %s", prefix)
    assert (call["state"], call["status"]) == ("finished", 200)
    assert call["output_tokens"] > 0
    assert not house.rows("select from audit where key_prefix = %s and detail->'after' ? 'hash'", prefix)
    assert not [row for row in house.rows("select detail::text as d from audit") if stored in str(row["d"])]


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("update neuronetz.tenants set state = 'suspended' where id = %s", 403),
        ("update neuronetz.tenants set rpm = 1 where id = %s", 429),
        ("update neuronetz.tenants set daily_tokens = 1 where id = %s", 429),
        ("update neuronetz.api_keys set models = '{}' where tenant_id = %s", 404),
        ("update neuronetz.api_keys set revoked_at = now() where tenant_id = %s", 401),
    ],
)
def test_what_a_console_changes_binds_within_a_second(house: House, console: Ask, statement: str, status: int) -> None:
    key = house.new_key()
    assert chat(house, key.text) == 200

    console(statement, key.tenant_id)

    within_a_second(house, key.text, status)


@pytest.mark.parametrize(
    ("forbid", "allow"),
    [
        (
            "update neuronetz.api_keys set models = '{}' where tenant_id = %s",
            "update neuronetz.api_keys set models = null where tenant_id = %s",
        ),
        (
            "update neuronetz.tenants set tpm = 1 where id = %s",
            "update neuronetz.tenants set tpm = null where id = %s",
        ),
    ],
    ids=["models", "tpm"],
)
def test_what_a_console_allows_again_is_served_within_a_second(
    house: House, console: Ask, forbid: str, allow: str
) -> None:
    key = house.new_key()
    console(forbid, key.tenant_id)
    assert chat(house, key.text) >= 400

    console(allow, key.tenant_id)

    within_a_second(house, key.text, 200)


def test_the_views_agree_with_what_the_caller_was_told(house: House, console: Ask) -> None:
    key: Key = house.new_key()
    answers = [httpx.post(f"{house.url}/api/chat", json=CHAT, headers=key.headers, timeout=30).json() for _ in range(3)]
    house.settled()

    told = sum(answer["prompt_eval_count"] + answer["eval_count"] for answer in answers)
    [window] = console(
        "select used_tokens, held_tokens from neuronetz.console_budgets"
        " where tenant_id = %s and scope = 'tenant' and period = 'daily'",
        key.tenant_id,
    )
    [use] = console(
        "select sum(calls)::int as calls, sum(prompt_tokens + output_tokens)::int as tokens"
        " from neuronetz.console_usage(now() - interval '1 day', now() + interval '1 minute', %s)",
        key.tenant_id,
    )
    assert window == {"used_tokens": told, "held_tokens": 0}
    assert use == {"calls": 3, "tokens": told}
