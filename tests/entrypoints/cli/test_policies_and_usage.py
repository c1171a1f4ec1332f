"""Limits, budgets, models and usage at the command line."""

from __future__ import annotations

import json

import pytest

from domain.limits import Limits
from tests.entrypoints.cli.conftest import Desk


def key_of(desk: Desk, name: str = "ci") -> str:
    made = desk("create-key", "--tenant", "acme", "--name", name, "--json")
    return str(json.loads(made.stdout)["prefix"])


def test_only_the_limits_named_change(acme: Desk) -> None:
    acme("set-limits", "--tenant", "acme", "--rpm", "60", "--tpm", "1_000")
    changed = acme("set-limits", "--tenant", "acme", "--rpm", "none", "--concurrency", "4", "--json")

    assert json.loads(changed.stdout)["limits"] == {"rpm": None, "tpm": 1000, "concurrency": 4}
    assert acme.register.by_name["acme"].policy.limits == Limits(tpm=1000, concurrency=4)
    assert acme.told == [("t1", (("t1", 2),)), ("t1", (("t1", 3),))]


def test_a_key_has_limits_of_its_own(acme: Desk) -> None:
    prefix = key_of(acme)

    changed = acme("set-limits", "--tenant", "acme", "--key", prefix, "--rpm", "5")

    assert changed.stdout == f"Key {prefix} (ci) has limits: 5 req/min; budgets: none; models: all.\n"
    assert acme.register.by_name["acme"].policy.limits == Limits()


@pytest.mark.parametrize("amount", ["0", "-1", "1.5", "many", "", str(2**53), "9" * 400, "٣"])
def test_an_amount_is_a_positive_whole_number_or_none(acme: Desk, amount: str) -> None:
    refused = acme("set-budgets", "--tenant", "acme", f"--daily={amount}")

    assert refused.exit_code == 2
    assert "write none" in " ".join(refused.stderr.replace("│", "").split())


@pytest.mark.parametrize("command", ["set-limits", "set-budgets", "set-models"])
def test_a_command_that_would_change_nothing_is_a_usage_error(acme: Desk, command: str) -> None:
    assert acme(command, "--tenant", "acme").exit_code == 2


def test_a_key_above_its_tenant_is_accepted_with_a_remark(acme: Desk) -> None:
    prefix = key_of(acme)
    acme("set-budgets", "--tenant", "acme", "--daily", "100")

    changed = acme("set-budgets", "--tenant", "acme", "--key", prefix, "--daily", "200")

    assert changed.exit_code == 0
    assert changed.stderr == "Warning: daily of this key is above its tenant's, which still binds.\n"


def test_a_key_of_another_tenant_is_unknown(acme: Desk) -> None:
    prefix = key_of(acme)
    acme("create-tenant", "--name", "other")

    refused = acme("set-limits", "--tenant", "other", "--key", prefix, "--rpm", "5")

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: The tenant other has no key {prefix}.")


def test_models_are_kept_canonical_and_shown_short(acme: Desk) -> None:
    models = ["--model", "Llama3.2", "--model", "library/phi3", "--model", "llama3.2:latest"]
    changed = acme("set-models", "--tenant", "acme", *models, "--json")
    cleared = acme("set-models", "--tenant", "acme", "--all", "--json")

    assert json.loads(changed.stdout)["models"] == ["llama3.2:latest", "phi3:latest"]
    assert json.loads(cleared.stdout)["models"] is None


def test_a_cloud_model_is_refused(acme: Desk) -> None:
    refused = acme("set-models", "--tenant", "acme", "--model", "gpt-oss:120b-cloud")

    assert refused.exit_code == 2
    assert "third party" in refused.stderr


def test_usage_has_every_window_as_an_object(acme: Desk) -> None:
    prefix = key_of(acme)
    acme("set-budgets", "--tenant", "acme", "--daily", "1000")
    acme.register.use_today("acme", used=600, held=100)

    report = json.loads(acme("usage", "--tenant", "acme", "--key", prefix, "--json").stdout)

    assert [(use["scope"], use["window"]) for use in report["windows"]] == [
        (scope, window) for scope in ("key", "tenant") for window in ("daily", "monthly", "total")
    ]
    assert report["windows"][3] == {
        "scope": "tenant",
        "window": "daily",
        "used": 600,
        "held": 100,
        "left": 300,
        "limit": 1000,
        "starts": "2027-01-15T00:00:00Z",
        "ends": "2027-01-16T00:00:00Z",
    }


def test_usage_sums_each_key(acme: Desk) -> None:
    prefix = key_of(acme)
    acme.register.call_with(prefix, prompt_tokens=1200, output_tokens=300)

    people = acme("usage", "--tenant", "acme").stdout
    (key,) = json.loads(acme("usage", "--tenant", "acme", "--json").stdout)["keys"]

    assert "1,500" in people
    assert key["today"] == key["month"] == {"requests": 1, "prompt_tokens": 1200, "output_tokens": 300, "refused": 1}


def test_a_table_in_a_pipe_is_plain_and_cuts_no_value(acme: Desk) -> None:
    name = "a-rather-long-name-" * 5
    acme("create-tenant", "--name", name)

    listed = acme("list-tenants").stdout

    assert name in listed
    assert listed.splitlines()[0].split() == ["TENANT", "STATE", "KEYS", "LIMITS", "BUDGETS", "MODELS"]
    assert listed.isascii()
    assert all(line == line.rstrip() for line in listed.splitlines())
