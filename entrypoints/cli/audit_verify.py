"""The command that checks the audit against its seals."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import IO, Any

import attrs
import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from application.counting import counted
from application.verify_audit import Told, Verdict, VerifyAudit
from domain.seal_checks import Anchors, Finding
from domain.seals import Anchor, SealKey
from entrypoints.cli.printing import emit_json, examples, json_option, moment, say
from entrypoints.cli.problems import STATUS_FAILED, Failure
from entrypoints.cli.session import Session
from entrypoints.cli.values import WhenType, as_of
from entrypoints.operator_tools import OperatorTools

_EVENT = "audit_sealed"


@click.command(
    "verify",
    epilog=examples(
        "neuronetz-gateway audit verify --since 30d",
        "neuronetz-gateway audit verify --anchors /var/log/neuronetz-gateway.log",
    ),
)
@click.option("--since", type=WhenType(), help="Rows from then on: 2h, 7d, or 2027-01-31T18:00 (UTC).")
@click.option("--until", type=WhenType(), help="Rows before then.")
@click.option(
    "--anchors", type=click.File(encoding="utf-8", errors="replace"), metavar="FILE",
    help="The gateways' log, in JSON: seals that were told there must be here. - for stdin.",
)  # fmt: skip
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    *,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    anchors: IO[str] | None,
    as_json: bool,
) -> None:
    """Check the audit against its seals, and name what was changed. Status 1 if there is anything."""
    session: Session = ctx.obj
    keys = [SealKey.made_from(secret) for secret in session.settings.need_audit_seal_keys()]
    told_outside: Anchors = {} if anchors is None else read_anchors(anchors)
    if anchors is not None and not told_outside:
        raise Failure(f"{anchors.name} has no line with the event {_EVENT}: give the gateways' log, in JSON.")

    async def check(tools: OperatorTools) -> Verdict:
        now = tools.clock.now()
        verifying = VerifyAudit(audit=tools.sealed_audit, keys=keys, anchors=told_outside)
        return await verifying.run(as_of(since, now), as_of(until, now), told)

    with _progress() as told:
        verdict = session.run(check)
    if as_json:
        emit_json(_document(verdict))
    else:
        for line in _lines(verdict):
            say(line)
    if verdict.findings or verdict.last is None:
        ctx.exit(STATUS_FAILED)


def read_anchors(lines: Iterable[str]) -> Anchors:
    """The seals that a log tells of; whatever stands before a line's JSON, and other lines, are passed over."""
    found: dict[int, list[Anchor]] = {}
    for line in lines:
        if _EVENT not in line:
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(line[line.index("{") :])
            if said["event"] == _EVENT:
                anchor = Anchor(n=int(said["n"]), root=str(said["root"]), mac=str(said["mac"]))
                if anchor not in found.setdefault(anchor.n, []):
                    found[anchor.n].append(anchor)
    return found


def _lines(verdict: Verdict) -> Iterator[str]:
    yield from (finding.sentence for finding in verdict.findings)
    if verdict.more:
        yield f"And {verdict.more:,} more of that kind."
    if verdict.last is None:
        yield "Nothing is sealed. A gateway with AUDIT_SEAL_KEY seals what is complete, every few seconds."
    else:
        checked = f"{counted(verdict.seals, 'seal')} and {counted(verdict.rows, 'row')} were checked"
        yield f"{checked}: {'something is wrong' if verdict.findings else 'all is as it was sealed'}."
        yield f"The last seal is number {verdict.last.n:,}, made {moment(verdict.last.made_at)}."
    if verdict.dropped is not None and verdict.rows_dropped:
        by = verdict.dropped.actor or verdict.dropped.login or "somebody"
        yield (
            f"{counted(verdict.rows_dropped, 'sealed row')} of months before {verdict.dropped.before} are gone by the "
            f"retention that {by} asked for, {moment(verdict.dropped.at)}."
        )
    if verdict.unsealed.count:
        since = moment(verdict.unsealed.oldest)
        yield f"{counted(verdict.unsealed.count, 'row')} since {since} are not sealed yet, and not checked."


def _document(verdict: Verdict) -> dict[str, Any]:
    last, dropped = verdict.last, verdict.dropped
    return {
        "good": not verdict.findings and last is not None,
        "findings": [_finding(finding) for finding in verdict.findings],
        "more_findings": verdict.more,
        "seals": verdict.seals,
        "rows": verdict.rows,
        "last_seal": None if last is None else attrs.asdict(last.anchor) | {"made_at": last.made_at},
        "dropped_before": None if dropped is None else dropped.before.isoformat(),
        "rows_dropped": verdict.rows_dropped,
        "rows_not_sealed": verdict.unsealed.count,
        "not_sealed_since": verdict.unsealed.oldest,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    row = finding.row
    name = None
    if row is not None:
        name = {
            "at": row.at.isoformat(),
            "tenant_id": row.tenant if any(row.tenant_id) else None,
            "request_id": row.request,
            "event": row.event_name,
        }
    return {"damage": finding.damage.value, "seal": finding.n, "row": name, "sentence": finding.sentence}


@contextlib.contextmanager
def _progress() -> Iterator[Told]:
    """A bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    columns = [BarColumn(), MofNCompleteColumn(), TextColumn("seals")]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
