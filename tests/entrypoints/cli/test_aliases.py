"""Aliases at the command line."""

from __future__ import annotations

import json

import attrs
import pytest

from domain.models import canonical
from domain.policies import MAX_ALIASES
from tests.entrypoints.cli.conftest import Desk
from tests.entrypoints.cli.test_completion import offered

GPT = canonical("gpt-4o-mini")


def remarks(stderr: str) -> str:
    return " ".join(stderr.split())


def test_an_alias_is_set_in_any_spelling_and_every_gateway_is_told(acme: Desk) -> None:
    made = acme("set-alias", "--tenant", "acme", "GPT-4o-mini:latest", "Llama3.2")

    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout == "gpt-4o-mini means llama3.2:latest for tenant acme.\n"
    assert acme.register.by_name["acme"].aliases == {GPT: canonical("llama3.2")}
    assert acme.told == [("t1", (("t1", 2),))]
    assert acme.register.actors[-1] == acme.register.actors[0]


def test_setting_and_removing_again_change_nothing(acme: Desk) -> None:
    for _ in range(2):
        assert acme("set-alias", "--tenant", "acme", "gpt-4o-mini", "llama3.2").exit_code == 0
    assert acme.register.by_name["acme"].generation == 2

    for _ in range(2):
        gone = acme("set-alias", "--tenant", "acme", "gpt-4o-mini", "--remove")
        assert (gone.exit_code, gone.stdout) == (0, "gpt-4o-mini is no alias of tenant acme.\n")
    assert acme.register.by_name["acme"].generation == 3
    assert acme.register.by_name["acme"].aliases == {}


def test_aliases_are_listed_for_people_and_as_json(acme: Desk) -> None:
    acme("set-alias", "--tenant", "acme", "openai/gpt-4o", "qwen3:8b")
    set_again = acme("set-alias", "--tenant", "acme", "gpt-4o-mini", "llama3.2", "--json")

    people = acme("list-aliases", "--tenant", "acme").stdout
    listed = json.loads(acme("list-aliases", "--tenant", "acme", "--json").stdout)

    assert [line.split() for line in people.splitlines()] == [
        ["ALIAS", "MODEL"],
        ["gpt-4o-mini", "llama3.2:latest"],
        ["openai/gpt-4o", "qwen3:8b"],
    ]
    assert listed == [
        {"alias": "gpt-4o-mini", "model": "llama3.2:latest"},
        {"alias": "openai/gpt-4o", "model": "qwen3:8b"},
    ]
    assert json.loads(set_again.stdout)["aliases"] == listed
    assert "gpt-4o-mini = llama3.2:latest, openai/gpt-4o = qwen3:8b" in acme("show-tenant", "--tenant", "acme").stdout


def test_a_tenant_without_aliases_is_told_how_to_set_one(acme: Desk) -> None:
    assert "set-alias" in acme("list-aliases", "--tenant", "acme").stdout
    assert json.loads(acme("list-aliases", "--tenant", "acme", "--json").stdout) == []


@pytest.mark.parametrize("command", [["set-alias", "gpt", "llama3.2"], ["list-aliases"]])
def test_an_unknown_tenant_is_told_with_the_likeliest(acme: Desk, command: list[str]) -> None:
    refused = acme(*command, "--tenant", "acmee")

    assert refused.exit_code == 1
    assert refused.stderr == "Error: There is no tenant acmee. Did you mean acme?\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gpt-4o-mini"], "--remove"),
        (["gpt-4o-mini", "llama3.2", "--remove"], "--remove"),
        (["llama3.2", "llama3.2:latest"], "own name"),
        (["gpt-oss:120b-cloud", "llama3.2"], "third party"),
        (["gpt-oss", "gpt-oss:120b-cloud"], "third party"),
        (["a b", "llama3.2"], "malformed"),
        (["gpt", "https://registry.ollama.ai/library/llama3"], "malformed"),
    ],
)
def test_a_wrong_command_line_changes_nothing(acme: Desk, arguments: list[str], told: str) -> None:
    refused = acme("set-alias", "--tenant", "acme", *arguments)

    assert refused.exit_code == 2
    assert told in remarks(refused.stderr.replace("│", ""))
    assert acme.register.by_name["acme"].generation == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gpt", "absent"], "No backend has absent:latest now"),
        (["llama3.2", "llama3.2:1b"], "A backend has a model named llama3.2:latest, which this tenant cannot reach"),
    ],
)
def test_what_the_backends_have_is_remarked_upon(acme: Desk, arguments: list[str], told: str) -> None:
    made = acme("set-alias", "--tenant", "acme", *arguments)
    unasked = acme("set-alias", "--tenant", "acme", *arguments, "--no-validate")

    assert made.exit_code == unasked.exit_code == 0
    assert told in remarks(made.stderr)
    assert unasked.stderr == ""


def test_backends_that_do_not_answer_spoil_nothing(acme: Desk) -> None:
    acme.down = True

    made = acme("set-alias", "--tenant", "acme", "gpt", "llama3.2")

    assert made.exit_code == 0
    assert made.stderr == "Warning: No backend could be asked whether it has llama3.2:latest.\n"


def test_an_alias_of_an_alias_and_of_a_model_that_is_not_allowed_is_remarked_upon(acme: Desk) -> None:
    acme("set-alias", "--tenant", "acme", "llama3.2", "qwen3", "--no-validate")
    acme("set-models", "--tenant", "acme", "--model", "qwen3")

    made = acme("set-alias", "--tenant", "acme", "gpt", "llama3.2", "--no-validate")

    assert "llama3.2:latest is an alias, too" in remarks(made.stderr)
    assert "llama3.2:latest is not on this tenant's model list" in remarks(made.stderr)


def test_one_alias_too_many_is_refused_with_a_remedy(acme: Desk) -> None:
    row = acme.register.books.tenant_named("acme")
    row.shown = attrs.evolve(row.shown, aliases={canonical(f"a{nth}"): GPT for nth in range(MAX_ALIASES)})

    refused = acme("set-alias", "--tenant", "acme", "gpt", "llama3.2")

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: A tenant may have {MAX_ALIASES} aliases. Remove one with")


def test_redis_away_is_told_and_the_alias_is_set(acme: Desk) -> None:
    acme.announcements.away = True

    made = acme("set-alias", "--tenant", "acme", "gpt", "llama3.2")

    assert made.exit_code == 0
    assert "Redis could not be told" in made.stderr


def test_aliases_are_offered_at_a_tab(acme: Desk) -> None:
    for alias in ("gpt-4o-mini", "gpt-4o", "claude"):
        acme("set-alias", "--tenant", "acme", alias, "llama3.2")

    assert offered(acme, "set-alias", "--tenant", "acme", "gpt") == ["gpt-4o", "gpt-4o-mini"]
    assert offered(acme, "set-alias", "--tenant", "nobody", "gpt") == []
    assert offered(acme, "list-aliases", "--tenant", "a") == ["acme"]
