"""What the gate lets through means the same to Go's decoder as to us."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from domain.refusals import Refusal
from entrypoints.http import strict_json
from entrypoints.http.fields import tables
from tests.fuzz import corpus, meaning
from tests.fuzz.comparing import compare, pass_gate
from tests.fuzz.corpus.cases import CASES
from tests.fuzz.grammar import BASES, body_of, text_of, tree_of
from tests.fuzz.oracle import Oracle, Question, ask_port
from tests.fuzz.running import record_differences, share

Patch = Callable[[pytest.MonkeyPatch], None]


def bodies(seed: int, count: int) -> list[Question]:
    random = Random(seed)  # noqa: S311  the same bodies again with the same seed
    return [body_of(random) for _ in range(count)]


def accepted(questions: list[Question]) -> list[Question]:
    passed = []
    for path, body in questions:
        try:
            pass_gate(path, body)
        except Refusal:
            continue
        passed.append((path, body))
    return passed


@pytest.mark.parametrize("path", BASES)
def test_an_honest_body_of_each_route_is_accepted(path: str, oracle: Oracle) -> None:
    tally = compare([(path, text_of(tree_of(BASES[path])).encode())], oracle)

    assert tally.accepted == 1
    assert tally.differences == []


@pytest.mark.storm
def test_go_reads_what_the_gate_accepts_as_we_do(built: Path | None) -> None:
    tally = share(2026, 10_000, built)
    record_differences(tally, "Go" if built else "a port of Go's rules")

    assert tally.differences == []
    assert tally.accepted > tally.bodies * 0.2
    assert set(tally.by_path) == set(BASES)


def test_the_port_sees_what_go_sees(real_oracle: Oracle) -> None:
    questions = accepted(bodies(7, 2_000)) + [case for case in CASES.values() if b"\\u0000" not in case[1]]

    for (path, body), there, here in zip(questions, real_oracle(questions), ask_port(questions), strict=True):
        if there["error"] == "syntax" or here["error"] == "syntax":
            assert there["error"] == here["error"], body
            continue
        assert here["error"] == there["error"], body
        assert told(path, here) == told(path, there), body


def told(path: str, verdict: dict[str, Any]) -> Any:
    seen = verdict["seen"]
    content = None if verdict["error"] else meaning.content_of(path, seen)
    return meaning.model_of(seen), meaning.streams(path, seen), meaning.cap_of(path, seen), content


def without_folding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tables, "require_spelling", lambda *_: None)


def with_duplicates(patch: pytest.MonkeyPatch) -> None:
    def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))

    lenient = json.JSONDecoder(
        object_pairs_hook=first_wins,
        parse_int=strict_json._int,
        parse_float=strict_json._float,
        parse_constant=strict_json._constant,
    )
    patch.setattr(strict_json, "_decoder", lenient)


def with_what_follows(patch: pytest.MonkeyPatch) -> None:
    strictly = strict_json.read_short

    def first_only(body: bytes) -> Any:
        text = body.decode()
        _, end = json.JSONDecoder().raw_decode(text)
        return strictly(text[:end].encode())

    patch.setattr(strict_json, "read_short", first_only)


@pytest.mark.parametrize("hole", [without_folding, with_duplicates, with_what_follows])
def test_a_hole_in_the_gate_is_found(hole: Patch, oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    hole(monkeypatch)

    assert compare(bodies(3, 1_500), oracle).differences


def test_the_corpus_is_judged_as_it_was(oracle: Oracle) -> None:
    assert corpus.replay(oracle) == corpus.committed()


def test_the_corpus_is_judged_by_the_port_as_by_go() -> None:
    assert corpus.replay(ask_port) == corpus.committed()


@pytest.mark.parametrize("reason", CASES)
def test_nothing_of_the_corpus_passes_and_means_another_thing(reason: str, oracle: Oracle) -> None:
    assert compare([CASES[reason]], oracle).differences == []
