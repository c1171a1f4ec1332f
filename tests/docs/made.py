"""Documents made from the code: the settings in the README, the table of errors, the list of commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domain.faults import FaultCode
from domain.refusals import Code
from entrypoints.http.problems import FAULTS, REFUSALS
from entrypoints.settings_table import SettingRow, quickstart_table, settings_table
from tests.docs.commands import COMMANDS, commands
from tests.docs.metrics import METRICS, metrics

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ERRORS = ROOT / "docs" / "errors.md"
_OPEN = "<!-- settings: made by `python -m tests.docs`; do not edit by hand -->"
_CLOSE = "<!-- /settings -->"

_WHAT_TO_DO = {
    Code.MISSING_API_KEY: "send `Authorization: Bearer nz_...`",
    Code.INVALID_API_KEY: "check the key; ask the operator for a new one",
    Code.API_KEY_EXPIRED: "ask the operator for a new key",
    Code.API_KEY_REVOKED: "ask the operator for a new key",
    Code.TENANT_SUSPENDED: "ask the operator to resume the tenant",
    Code.ROUTE_CLOSED: "nothing: models and the server's account are the operator's, for every caller",
    Code.UNKNOWN_ROUTE: "see the README for what is served",
    Code.METHOD_NOT_ALLOWED: "use a method named in `Allow`",
    Code.BODY_TOO_LARGE: "send less (MAX_BODY_BYTES)",
    Code.BODY_TOO_SLOW: "send faster (BODY_TIMEOUT_S)",
    Code.UNSUPPORTED_ENCODING: "send the body without Content-Encoding",
    Code.BAD_FRAMING: "send Content-Length or Transfer-Encoding, not both",
    Code.INVALID_JSON: "send one JSON object in UTF-8, no key twice",
    Code.INVALID_REQUEST: "mend the field that the message names",
    Code.EMPTY_PROMPT: "send a prompt; loading and unloading models is the operator's",
    Code.INVALID_MODEL_NAME: "write the model as `name:tag`",
    Code.CLOUD_MODEL: "name a local model",
    Code.MODEL_NOT_FOUND: "see `/api/tags` for the models you may use",
    Code.REQUEST_EXCEEDS_TPM: "shorten the prompt",
    Code.RATE_LIMITED: "wait for `Retry-After`",
    Code.BUDGET_EXHAUSTED: "wait for the reset (`x-budget-reset`), or ask for more; do not retry",
    Code.BACKEND_REJECTED: "mend the request as the message says; the status is the backend's own",
    FaultCode.IDENTITY_UNAVAILABLE: "try again",
    FaultCode.LIMITER_UNAVAILABLE: "try again",
    FaultCode.LEDGER_UNAVAILABLE: "try again",
    FaultCode.OVERLOADED: "try again",
    FaultCode.QUEUE_FULL: "try again",
    FaultCode.QUEUE_TIMEOUT: "try again",
    FaultCode.NO_BACKEND: "try again; the operator must bring a backend back",
    FaultCode.BACKEND_UNREACHABLE: "try again; the operator must look at the backends",
    FaultCode.BACKEND_FAILED: "try again once; then tell the operator",
    FaultCode.BACKEND_TIMEOUT: "try a shorter prompt, or later",
    FaultCode.BACKEND_BUSY: "try again",
    FaultCode.STREAM_BROKEN: "the answer is not whole: ask again",
    FaultCode.CALL_TOO_LONG: "ask for less output",
    FaultCode.READER_TOO_SLOW: "read faster",
    FaultCode.CLIENT_HUNG_UP: "only in the audit: nobody was there to be told",
    FaultCode.KEY_CUT: "the key was revoked, or its tenant suspended, while the answer ran",
    FaultCode.PROMPT_LOG_UNAVAILABLE: "tell the operator: this gateway needs PROMPT_LOG_KEY",
    FaultCode.SHUTTING_DOWN: "try again",
    FaultCode.INTERNAL: "tell the operator the `x-request-id`",
}


def settings_markdown() -> str:
    """The settings as a table, and those of quickstart alone as another."""
    of_quickstart = "Read by `quickstart` only, and from the environment only; no `.env` file is read for them:"
    return "\n\n".join([_table(settings_table()), of_quickstart, _table(quickstart_table())])


def _table(rows: Sequence[SettingRow]) -> str:
    lines = [f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.meaning} |" for row in rows]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *lines])


def readme() -> str:
    """The README with its settings."""
    text = README.read_text()
    before, rest = text.split(_OPEN)
    return f"{before}{_OPEN}\n{settings_markdown()}\n{_CLOSE}{rest.split(_CLOSE)[1]}"


def errors() -> str:
    """The table of every code a caller can meet."""
    head = (
        "# Errors\n"
        "Made from the code by `python -m tests.docs`. A code never changes its meaning. It stands in the header\n"
        '`x-error-code`; in a native body as `{"error": "...", "code": "..."}`; in an OpenAI body as `error.code`,\n'
        "where OpenAI's own code is used instead if clients know one. 4xx are the caller's, 5xx are ours or a\n"
        "backend's. In a stream that has begun, the same body comes as its last line or event.\n"
    )
    lines = ["| code | status | OpenAI `type` | OpenAI `code` | what to do |", "|---|---|---|---|---|"]
    for code, shape in [*REFUSALS.items(), *FAULTS.items()]:
        kind = "`requests` or `tokens`" if code is Code.RATE_LIMITED else f"`{shape.type}`"
        lines.append(f"| `{code}` | {shape.status} | {kind} | `{shape.code or code}` | {_WHAT_TO_DO[code]} |")
    return head + "\n" + "\n".join(lines) + "\n"


def write_all() -> None:
    """Writes them all."""
    README.write_text(readme())
    ERRORS.write_text(errors())
    COMMANDS.write_text(commands())
    METRICS.write_text(metrics())
