"""Two tenants see only what is theirs; what an operator changes binds on the next call, in every process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from domain.policies import Policy
from tests.e2e.house import House, Key
from tests.e2e.programs import cli, eventually

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


def chat(house: House, key: Key, *, url: str | None = None, **changes: object) -> httpx.Response:
    return httpx.post(f"{url or house.url}/api/chat", json=CHAT | changes, headers=key.headers, timeout=30)


def test_each_sees_only_its_allowed_models(house: House) -> None:
    one = house.new_key(tenant_policy=Policy(models=frozenset({"registry.ollama.ai/library/sim-chat:latest"})))
    other = house.new_key(tenant_policy=Policy(models=frozenset({"registry.ollama.ai/library/sim-embed:latest"})))

    with house.client(one) as as_one, house.client(other) as as_other:
        assert [m["name"] for m in as_one.get("/api/tags").json()["models"]] == ["sim-chat:latest"]
        assert [m["id"] for m in as_other.get("/v1/models").json()["data"]] == ["sim-embed:latest"]
        assert as_other.post("/api/chat", json=CHAT).status_code == 404
        assert as_other.post("/api/show", json={"model": "sim-chat"}).status_code == 404
        assert as_one.post("/api/chat", json=CHAT).status_code == 200


def test_a_model_not_allowed_and_one_not_there_get_the_same_answer(house: House) -> None:
    key = house.new_key(tenant_policy=Policy(models=frozenset({"registry.ollama.ai/library/sim-embed:latest"})))

    hidden = chat(house, key, model="sim-chat")
    absent = chat(house, key, model="sim-nope")

    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("sim-chat", "X") == absent.text.replace("sim-nope", "X")


def test_each_sees_only_its_own_usage(house: House) -> None:
    one, other = house.new_key(), house.new_key()

    chat(house, one)
    house.settled()

    used = {}
    for key in (one, other):
        told = cli(house.environ, house.folder, "usage", "--tenant", key.tenant, "--json")
        assert told.returncode == 0, told.stderr
        windows = json.loads(told.stdout)["windows"]
        used[key.tenant] = {w["window"]: w["used"] for w in windows if w["scope"] == "tenant"}
    assert all(amount > 0 for amount in used[one.tenant].values())
    assert not any(used[other.tenant].values())


def test_a_revoke_in_another_process_binds_on_the_next_call(house: House) -> None:
    key = house.new_key()
    assert chat(house, key).status_code == 200

    revoked = cli(house.environ, house.folder, "revoke-key", "--prefix", key.prefix)
    after = chat(house, key)

    assert revoked.returncode == 0, revoked.stderr
    assert after.status_code == 401
    assert after.headers["x-error-code"] == "api_key_revoked"
    assert 'error="invalid_token"' in after.headers["www-authenticate"]
    notes: Sequence[Mapping[str, Any]] = []
    for _ in eventually(3):
        notes = house.rows("select * from audit where tenant_id = %s and event = 'refused'", key.tenant_id)
        if notes:
            break
    assert notes[0]["code"] == "api_key_revoked"
    assert notes[0]["key_prefix"] == key.prefix


def test_a_suspended_tenant_is_refused_and_a_resumed_one_served(house: House) -> None:
    key = house.new_key()
    assert chat(house, key).status_code == 200

    assert cli(house.environ, house.folder, "suspend-tenant", "--tenant", key.tenant).returncode == 0
    suspended = chat(house, key)
    assert cli(house.environ, house.folder, "resume-tenant", "--tenant", key.tenant).returncode == 0

    assert suspended.status_code == 403
    assert suspended.json()["code"] == "tenant_suspended"
    assert chat(house, key).status_code == 200


def test_a_key_ends_at_its_expiry(house: House) -> None:
    key = house.new_key(expires_at=datetime.now(UTC) + timedelta(seconds=2))
    assert chat(house, key).status_code == 200

    time.sleep(2.1)
    after = chat(house, key)

    assert after.status_code == 401
    assert after.headers["x-error-code"] == "api_key_expired"


def test_a_revoke_by_plain_sql_binds_within_a_second(house: House) -> None:
    key = house.new_key()
    second = house.gateways[1] if len(house.gateways) > 1 else house.add_gateway()
    second.wait_ready()
    assert chat(house, key).status_code == chat(house, key, url=second.url).status_code == 200

    house.rows("update api_keys set revoked_at = now() where prefix = %s", key.prefix)
    revoked_at = time.monotonic()
    for _ in eventually(1.0, 0.01):
        if chat(house, key, url=second.url).status_code == 401 and chat(house, key).status_code == 401:
            break

    assert time.monotonic() - revoked_at < 1


def test_a_revoke_cuts_the_running_stream_of_the_key(house: House) -> None:
    key = house.new_key()
    house.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": 30}, "times": 1})
    lines: list[str] = []

    def stream() -> None:
        with httpx.stream("POST", f"{house.url}/api/chat", json=CHAT | {"stream": True}, headers=key.headers) as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=stream)
    reader.start()
    time.sleep(0.5)
    house.revoke(key)
    reader.join(10)

    assert not reader.is_alive()
    assert json.loads(lines[-1])["code"] == "key_cut"
    house.settled()


def test_limits_changed_by_plain_sql_bind_within_a_second(house: House) -> None:
    key = house.new_key()
    assert chat(house, key).status_code == 200

    house.rows("update tenants set rpm = 1 where id = %s", key.tenant_id)

    for _ in eventually(1.0, 0.01):
        if chat(house, key).status_code == 429:
            return
