from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.ollama.listings import describe, entries_of, loaded_by_name, model_of, served
from adapters.ollama.templates import literal_bytes
from domain.faults import BackendFailed
from tests.adapters.ollama.tapes import tape


def answer(name: str) -> Any:
    return json.loads(tape(name).octets)


def test_the_recorded_listing_becomes_models() -> None:
    listed = served(entries_of(answer("tags")))
    description = describe(answer("show"))
    loaded = loaded_by_name(entries_of(answer("ps")))
    assert description is not None

    models = {one.name: model_of(one, description, loaded.get(one.canonical)) for one in listed}

    smol = models["smollm2:135m"]
    assert smol.loaded
    assert smol.context_length == 4096
    assert not models["rand:latest"].loaded
    assert models["rand:latest"].context_length == 8192
    assert smol.capabilities == {"completion", "tools"}
    assert smol.loaded_listing is not None
    assert "parent_model" not in repr(smol.listing) + repr(smol.loaded_listing) + repr(smol.description)
    assert set(smol.description) == {"details", "model_info", "capabilities", "modified_at"}
    assert not [key for key in smol.description["model_info"] if key.startswith("tokenizer.")]


def test_what_is_served_from_elsewhere_is_left_out() -> None:
    entries: list[dict[str, Any]] = [
        {"name": "a:latest", "remote_host": "https://ollama.com:443"},
        {"name": "b:latest", "remote_model": "b"},
        {"name": "c:cloud"},
        {"name": "d:20b-cloud"},
        {"name": "../x"},
        {"name": 3},
        {"name": "Good:Latest"},
        {"name": "good:latest"},
    ]

    assert [one.name for one in served(entries)] == ["Good:Latest"]
    assert describe({"remote_host": "x"}) is None


@pytest.mark.parametrize("wrong", [None, [], 3, "x", {}, {"models": 3}, {"models": {}}])
def test_a_listing_of_another_form_is_a_fault(wrong: Any) -> None:
    with pytest.raises(BackendFailed):
        entries_of(wrong)


def test_an_empty_server_lists_null() -> None:
    assert entries_of({"models": None}) == []


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", 0),
        ("{{ .Prompt }}", 0),
        ("<|im_start|>user\n{{ .Content }}<|im_end|>", 27),
        ("{% if x %}yes{% endif %}{# never #}", 3),
        ("{{- 'Given the functions' }}", 19),
        ("é{{ .P }}", 2),
        ("{{ unclosed", 11),
    ],
)
def test_literal_bytes_of_a_template(template: str, expected: int) -> None:
    assert literal_bytes(template) == expected


def test_system_and_examples_count() -> None:
    plain = describe({"template": "ab"})
    full = describe({"template": "ab", "system": "cdé", "messages": [{"role": "user", "content": "xyz"}, 3]})

    assert plain is not None
    assert full is not None
    assert full.template_bytes == plain.template_bytes + 4 + 3
