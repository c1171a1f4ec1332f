"""The operator's looks at a house that runs: doctor, top, audit, usage."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.e2e.house import House, Key
from tests.e2e.programs import cli


def said(house: House, *arguments: str, **environ: str) -> Any:
    told = cli(house.environ | environ, house.folder, *arguments)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def called(house: House, key: Key) -> httpx.Response:
    with house.client(key) as client:
        answer = client.post("/api/chat", json={"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}]})
    house.settled()
    return answer


def test_a_call_is_found_by_its_request_id_and_counted(house: House) -> None:
    key = house.new_key("acme")
    request_id = called(house, key).headers["x-request-id"]

    lines = said(house, "audit", "--request", request_id, "--json")
    spans = said(house, "usage", "--tenant", "acme", "--by", "hour", "--json")["spans"]
    now = said(house, "top", "--json")

    assert [line["event"] for line in lines] == ["started", "finished"]
    assert {(line["tenant_name"], line["key_prefix"]) for line in lines} == {("acme", key.prefix)}
    assert sum(span["calls"] for span in spans) == 1
    assert sum(span["prompt_tokens"] + span["output_tokens"] for span in spans) == house.used(key) > 0
    assert [(one["name"], one["healthy"], one["in_flight"]) for one in now["backends"]] == [("default", True, 0)]
    assert (now["gateways"], now["waiting"]) == (1, 0)
    assert "acme" in [tenant["tenant"] for tenant in now["tenants"]]


def test_doctor_is_content_with_a_house_that_runs(house: House) -> None:
    found = {one["subject"]: one["level"] for one in said(house, "doctor", "--json")}

    # Stores of tests give up safety against power loss for speed, and a machine under test may be slow; this house has
    # no seals.
    bearable = {"postgres.durability", "postgres.commits", "redis.pings", "audit_seal_key"}
    assert {subject for subject, level in found.items() if level != "ok"} <= bearable
    assert {"gateways.alive", "backend.default", "redis.eviction", "audit.partitions"} <= set(found)


def test_doctor_sees_a_house_whose_stores_are_gone(house: House) -> None:
    gone = {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/d", "REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}
    told = cli(house.environ | gone, house.folder, "doctor", "--json")

    problems = {one["subject"] for one in json.loads(told.stdout) if one["level"] == "problem"}
    assert told.returncode == 1
    assert {"postgres", "redis"} <= problems
    assert "s3cret" not in told.stdout + told.stderr
