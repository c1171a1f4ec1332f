"""The four logs, read when all is over: the backends' log of truth, the audit, the windows, and the clients' log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from entrypoints.simulator.log import Ended, Entry, read_log
from tests.chaos.clients import Crowd, Intent, number_in
from tests.chaos.stage import Stage

_AUDIT = """
    select replace(request_id::text, '-', '') as id, event, tenant_id::text as tenant, key_id::text as key, outcome,
        status, code, prompt_tokens, output_tokens, held_tokens, overshoot_tokens, backend,
        extract(epoch from at)::float8 as at_s,
        extract(epoch from pg_xact_commit_timestamp(xid::xid))::float8 as committed_s
    from audit where event in ('started', 'finished', 'reaped', 'corrected') order by at, event
"""


@attrs.define(kw_only=True)
class Call:
    """All that is known of one request id."""

    id: str
    started: list[Mapping[str, Any]] = attrs.field(factory=list)
    closed: list[Mapping[str, Any]] = attrs.field(factory=list)
    """finished or reaped."""
    corrected: list[Mapping[str, Any]] = attrs.field(factory=list)
    at_backend: list[Entry] = attrs.field(factory=list)
    intent: Intent | None = None
    """As far as the client, or the backend, knows which it was."""

    @property
    def charge(self) -> int:
        """By the audit."""
        return sum(row["prompt_tokens"] + row["output_tokens"] for row in (*self.closed, *self.corrected))

    @property
    def held(self) -> int:
        """By the audit."""
        return int(self.started[0]["held_tokens"]) if self.started else 0

    @property
    def made(self) -> int:
        """By the backends' account. What they refused, they made nothing for."""
        return sum(one.prompt_tokens + one.output_tokens for one in self.at_backend if one.ended is not Ended.REFUSED)

    @property
    def outcome(self) -> str:
        """By the last row of the audit."""
        ends = [*self.closed, *self.corrected]
        return str(ends[-1]["outcome"]) if ends else ""

    def __str__(self) -> str:
        lines = [f"request {self.id}: held {self.held}, charged {self.charge}, made {self.made}"]
        for row in (*self.started, *self.closed, *self.corrected):
            told = {name: value for name, value in row.items() if value is not None and name not in {"id", "tenant"}}
            lines.append(f"audit: {told}")
        lines += [
            f"backend: {entry.id} {entry.path} started={entry.started_at_s:.3f} ended={entry.ended.value}"
            f" at={entry.ended_at_s} phase={entry.phase} prompt={entry.prompt_tokens} output={entry.output_tokens}"
            f" cap={entry.max_tokens} status={entry.status} by={entry.hang_up_by}"
            for entry in self.at_backend
        ]
        lines.append(str(self.intent) if self.intent else "client: never learnt this id")
        return "\n    ".join(lines)


@attrs.frozen(kw_only=True)
class Ledgers:
    """The logs, joined by request id."""

    calls: Mapping[str, Call]
    nameless: Sequence[Entry]
    """What the backends saw without a request id."""
    windows: Sequence[Mapping[str, Any]]
    intents: Sequence[Intent]
    budget_ids: Mapping[str, str]
    """Key id -> the scope of its budget windows."""

    def at_backends(self) -> Iterator[Call]:
        """Calls that a backend has seen."""
        return (call for call in self.calls.values() if call.at_backend)

    def on_record(self) -> Iterator[Call]:
        """Calls whose tokens were held."""
        return (call for call in self.calls.values() if call.started)


def _is_probe(entry: Entry) -> bool:
    """Whether a gateway asked of its own accord if the model answers (`application/watchdog.py`): nobody's call, and
    logged, not audited. No client asks for a single token, nor without its number.
    """
    asked = entry.body.get("prompt", entry.body.get("input")) if isinstance(entry.body, dict) else None
    return asked == "Hi" and entry.max_tokens == 1 and number_in(entry.body) is None


def read_ledgers(stage: Stage, crowd: Crowd) -> Ledgers:
    """Reads and joins them."""
    calls: defaultdict[str, Call] = defaultdict(lambda: Call(id=""))
    by_number = {intent.number: intent for intent in crowd.log}
    for row in stage.house.rows(_AUDIT):
        call = calls[row["id"]]
        {"started": call.started, "corrected": call.corrected}.get(row["event"], call.closed).append(row)
    nameless = []
    for entry in (entry for backend in stage.backends for entry in read_log(backend.truth)):
        if entry.kind != "inference" or _is_probe(entry):
            continue
        if not entry.request_id:
            nameless.append(entry)
            continue
        call = calls[entry.request_id]
        call.at_backend.append(entry)
        call.intent = call.intent or by_number.get(number_in(entry.body) or 0)
    for intent in crowd.log:
        if intent.seen.request_id:
            calls[intent.seen.request_id].intent = intent
    for request_id, call in calls.items():
        call.id = request_id
    keys = stage.house.rows("select id::text as id, budget_id::text as budget_id from api_keys")
    return Ledgers(
        calls=dict(calls),
        nameless=nameless,
        windows=stage.house.rows(
            "select tenant_id::text as tenant, scope_id::text as scope, kind, used, held from budget_windows"
        ),
        intents=list(crowd.log),
        budget_ids={row["id"]: row["budget_id"] for row in keys},
    )
