"""Bodies worth keeping, each with its reason, and what the gate and Go said of them (`verdicts.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.refusals import Refusal
from tests.fuzz import meaning
from tests.fuzz.comparing import pass_gate
from tests.fuzz.corpus.cases import CASES
from tests.fuzz.oracle import Oracle

VERDICTS = Path(__file__).parent / "verdicts.json"


def replay(oracle: Oracle) -> Mapping[str, Mapping[str, Any]]:
    """Each reason with what the gate says and what Ollama would have done."""
    seen = oracle([(path, body) for path, body in CASES.values()])
    return {
        reason: {"gate": _gate(path, body), "go": _told(path, found)}
        for (reason, (path, body)), found in zip(CASES.items(), seen, strict=True)
    }


def _gate(path: str, body: bytes) -> str:
    try:
        pass_gate(path, body)
    except Refusal as refusal:
        return refusal.code.value
    return "accepted"


def _told(path: str, found: Mapping[str, Any]) -> Any:
    if found["error"]:
        return f"{found['error']} error"
    seen = found["seen"]
    told = {"model": seen["model"], "cap": meaning.cap_of(path, seen), "stream": meaning.streams(path, seen)}
    return {**told, "not for tenants": meaning.forbidden_in(seen)}


def committed() -> Mapping[str, Mapping[str, Any]]:
    """What was said when the corpus was last written."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(VERDICTS.read_text(encoding="utf-8"))
    return found


def write(oracle: Oracle) -> None:
    """Writes the verdicts anew, one line each."""
    lines = (f"{json.dumps(reason)}: {json.dumps(said)}" for reason, said in replay(oracle).items())
    VERDICTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
