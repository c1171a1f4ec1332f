"""The command that looks at everything that must be well, and says what to do where it is not.

Everything is looked at at once and each look is bounded in time; one that fails is a finding and hinders no other.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import sys
import textwrap
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

import attrs
import rich_click as click

from application.counting import counted
from application.examine_database import Patience, examine_database
from application.examine_limiter import examine_limiter
from application.findings import Finding, Level, ok, problem
from domain.faults import BackendFault, StoreUnavailable
from domain.ports.inspection import DatabaseFacts
from entrypoints.backend_list import BackendSettings
from entrypoints.cli.printing import emit_json, json_option, visible
from entrypoints.cli.problems import STATUS_FAILED
from entrypoints.cli.session import Session
from entrypoints.examine_settings import (
    examine_disk,
    examine_env_file,
    examine_secrets,
    examine_token,
    read_what_is_right,
)
from entrypoints.settings import Settings

LEAST_OLLAMA = (0, 17, 1)
"""Before it, `/api/create` with `/api/push` leaks the server's memory (CVE-2026-7482). The gateway lets neither pass,
but who reaches Ollama past it is not held up by that.
"""
_BOUND_S = 8.0
_MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.PROBLEM: ("problem", "red")}

Findings = Sequence[Finding]


@click.command("doctor")
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Look at settings, stores, backends and gateways, and say what to do. Status 1 if there is a problem."""
    findings = asyncio.run(_examine(ctx.obj))
    if as_json:
        emit_json([attrs.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _show(finding)
        _conclude(findings)
    if any(finding.level is Level.PROBLEM for finding in findings):
        ctx.exit(STATUS_FAILED)


async def _examine(session: Session) -> Findings:
    env_file, quickstart = session.env_file_in_use, session.quickstart_file
    settings, of_settings = read_what_is_right(session.environ, env_file, quickstart)
    looks: list[Coroutine[Any, Any, Findings]] = [
        _bounded("postgres", _database(session, settings)),
        _bounded("redis", _limiter(session, settings)),
        *(_bounded(f"backend.{backend.name}", _backend(session, settings, backend)) for backend in settings.backends),
    ]
    found = await asyncio.gather(*looks)
    disk = examine_disk(None if quickstart is None else quickstart.parent)
    return [*of_settings, examine_env_file(env_file), *disk, *(finding for each in found for finding in each)]


async def _bounded(subject: str, look: Awaitable[Findings]) -> Findings:
    try:
        async with asyncio.timeout(_BOUND_S):
            return await look
    except TimeoutError:
        return [problem(subject, f"It did not answer within {_BOUND_S:g} s.", "See that it runs and can be reached.")]
    except Exception as error:  # noqa: BLE001  whatever one look meets must not hide what the others found
        sentence = f"It could not be looked at ({type(error).__name__})."
        return [problem(subject, sentence, "Set LOG_LEVEL=debug and use another command to see why.")]


async def _database(session: Session, settings: Settings) -> Findings:
    if settings.database_url is None:
        return examine_secrets(settings, prompt_log_keys=None)
    try:
        facts: DatabaseFacts = await session.inspections.database(settings).look()
    except (StoreUnavailable, ValueError) as error:
        unreachable = problem("postgres", str(error), "Check DATABASE_URL, and that PostgreSQL runs there.")
        return [*examine_secrets(settings, prompt_log_keys=None), unreachable]
    patience = Patience(
        ledger_timeout_s=settings.ledger_timeout_s,
        call_timeout_s=settings.call_timeout_s,
        process_dead_after_s=settings.process_dead_after_s,
    )
    prompt_log_keys = facts.books.prompt_log_keys if facts.books else None
    return [*examine_secrets(settings, prompt_log_keys=prompt_log_keys), *examine_database(facts, patience)]


async def _limiter(session: Session, settings: Settings) -> Findings:
    if settings.redis_url is None:
        return []
    try:
        facts = await session.inspections.limiter(settings).look()
    except (StoreUnavailable, ValueError) as error:
        return [problem("redis", str(error), "Check REDIS_URL, and that Redis or Valkey runs there.")]
    return examine_limiter(facts, timeout_ms=settings.limiter_timeout_ms)


async def _backend(session: Session, settings: Settings, backend: BackendSettings) -> Findings:
    subject = f"backend.{backend.name}"
    of_token = await asyncio.to_thread(examine_token, backend, _resolved)
    try:
        survey = await session.probe(backend.address(settings.backend_max_in_flight))
    except BackendFault as fault:
        remedy = f"See that Ollama runs at {backend.url}, and that token and firewall let this host in."
        return [problem(subject, f"{backend.name} does not answer: {fault.sentence}", remedy), *of_token]
    sentence = f"{backend.name} answers: Ollama {survey.version}, {counted(len(survey.models), 'model')}."
    if not _new_enough(survey.version):
        least = ".".join(map(str, LEAST_OLLAMA))
        old = f"{backend.name} runs Ollama {survey.version}, which leaks memory to who reaches it (CVE-2026-7482)."
        return [problem(subject, old, f"Upgrade Ollama there to {least} or later."), *of_token]
    if not survey.models:
        none = f"{backend.name} answers (Ollama {survey.version}) and has no model."
        return [Finding(subject, Level.WARNING, none, "Pull one there: ollama pull llama3.2"), *of_token]
    return [ok(subject, sentence), *of_token]


def _new_enough(version: str) -> bool:
    """Own builds, whose version is no number or 0.0.0, are let pass."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    numbers = LEAST_OLLAMA if found is None else tuple(map(int, found.groups()))
    return numbers >= LEAST_OLLAMA or not any(numbers)


def _resolved(host: str) -> Sequence[str]:
    """Its addresses; none if the name is not known, which is another finding's to tell."""
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None)})
    except OSError:
        return []


def _show(finding: Finding) -> None:
    word, colour = _MARKS[finding.level]
    click.echo(click.style(f"{word:<8}", fg=colour) + _folded(f"{finding.subject}: {finding.sentence}", 8))
    if finding.remedy:
        click.echo(f"{'':<8}  -> {_folded(finding.remedy, 13)}")


def _folded(text: str, margin: int) -> str:
    """Between words and within the margin on a terminal; in a pipe one line."""
    if not sys.stdout.isatty():
        return visible(text)
    width = shutil.get_terminal_size().columns - margin
    return f"\n{'':<{margin}}".join(
        textwrap.wrap(visible(text), max(20, width), break_long_words=False, break_on_hyphens=False)
    )


def _conclude(findings: Findings) -> None:
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    click.echo()
    click.echo(f"{counted(len(findings), 'point')}: {counted(problems, 'problem')}, {counted(warnings, 'warning')}.")
