"""Commands that change and show the list of backends, which lives in `OLLAMA_BACKENDS`.

Each takes the list as it stands, makes the new one, asks the new backend, and prints the line for the environment or
rewrites the file that holds it. Where the line goes no token is shown besides.
"""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import rich_click as click

from application.counting import counted
from domain.faults import BackendFault
from domain.keys import Secret
from domain.models import shortest
from domain.ports.model_backend import Survey
from entrypoints import env_file
from entrypoints.backend_list import DEFAULT_HEADER, REDACTED, BackendSettings, read_backends, written
from entrypoints.cli.printing import Column, emit_json, examples, json_option, note, print_table, say, warn
from entrypoints.cli.problems import Failure
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import Document
from entrypoints.settings_reading import merged

VARIABLE = "OLLAMA_BACKENDS"
_BASE_URL = "OLLAMA_BASE_URL"
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_LONGEST_TOKEN = 16_384

Backends = Sequence[BackendSettings]

write_env_option = click.option(
    "--write-env",
    type=click.Path(dir_okay=True, path_type=Path),
    metavar="[FILE]",
    is_flag=False,
    flag_value=Path(".env"),
    help="Rewrite the variable in this file, .env if none is named, instead of printing it.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the new list, tokens as ***; write nothing.")


@click.command(
    "add-backend",
    epilog=examples(
        "neuronetz-gateway add-backend gpu1 http://10.0.0.5:11434",
        "neuronetz-gateway add-backend gpu2 https://gpu2.example.net --token - < token.txt",
        "neuronetz-gateway add-backend gpu1 http://10.0.0.6:11434 --replace --write-env .env",
    ),
)
@click.argument("name")
@click.argument("url")
@click.option("--token", help="What the backend wants to see; - reads it from standard input.")
@click.option("--header", metavar="H", help="The header that carries the token.  [default: Authorization]")
@click.option("--scheme", metavar="S", help="The word before the token.  [default: Bearer in Authorization, else none]")
@click.option("--replace", is_flag=True, help="Replace the backend of that name, in its place.")
@click.option("--no-validate", is_flag=True, help="Do not ask the backend whether it answers.")
@write_env_option
@dry_run_option
@click.pass_obj
def add_backend(
    session: Session,
    *,
    name: str,
    url: str,
    token: str | None,
    header: str | None,
    scheme: str | None,
    replace: bool,
    no_validate: bool,
    write_env: Path | None,
    dry_run: bool,
) -> None:
    """Add an Ollama server: ask it for its models, then print the new OLLAMA_BACKENDS or write it to a file."""
    if token is None and (header is not None or scheme is not None):
        raise click.UsageError("--header and --scheme say how a token is sent: give --token too.")
    given: dict[str, Any] = {"header": header, "scheme": scheme}
    try:
        chosen = {part: text for part, text in given.items() if text is not None}
        new = BackendSettings(name=name, url=url, token=_token(token), **chosen)
    except ValueError as error:
        raise click.UsageError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None

    def change(backends: Backends) -> Backends:
        return _with(backends, new, replace=replace)

    change(_present(session, write_env))
    if not no_validate:
        _validate(session, new)
    _deliver(session, change, write_env, dry_run=dry_run)


@click.command("remove-backend", epilog=examples("neuronetz-gateway remove-backend gpu1 --write-env .env"))
@click.argument("name")
@write_env_option
@dry_run_option
@click.pass_obj
def remove_backend(session: Session, *, name: str, write_env: Path | None, dry_run: bool) -> None:
    """Remove an Ollama server: print the new OLLAMA_BACKENDS, or write it to a file."""

    def change(backends: Backends) -> Backends:
        rest = [backend for backend in backends if backend.name != name]
        if len(rest) == len(backends):
            known = ", ".join(backend.name for backend in backends) or "none"
            raise Failure(f"There is no backend {name}; there are: {known}.")
        return rest

    if not change(_present(session, write_env)):
        warn("This was the last backend: the gateway does not start without one.")
    _deliver(session, change, write_env, dry_run=dry_run)


@click.command("list-backends")
@click.option("--no-validate", is_flag=True, help="Do not ask the backends how they are.")
@json_option
@click.pass_obj
def list_backends(session: Session, *, no_validate: bool, as_json: bool) -> None:
    """List the Ollama servers with their health, version and models. Tokens are shown as ***."""
    backends = session.settings.backends
    states = [_NOT_ASKED] * len(backends) if no_validate else asyncio.run(_ask_all(session, backends))
    if as_json:
        emit_json([_document(session, *pair) for pair in zip(backends, states, strict=True)])
        return
    last = [Column(heading, whole=True) for heading in ("State", "Version")]
    columns = [Column("Backend"), Column("URL"), Column("Token"), Column("At once", "right"), *last, Column("Models")]
    print_table(
        "Backends",
        columns,
        [
            [
                backend.name,
                backend.url,
                _credential(backend),
                str(backend.address(session.settings.backend_max_in_flight).most_in_flight),
                state.word,
                state.version or "-",
                state.models or "-",
            ]
            for backend, state in zip(backends, states, strict=True)
        ],
    )
    for backend, state in zip(backends, states, strict=True):
        if state.trouble:
            warn(f"{backend.name}: {state.trouble}")


@attrs.frozen(kw_only=True)
class _State:
    """What a backend said when it was asked."""

    word: str
    healthy: bool | None
    version: str | None = None
    models: Sequence[str] = ()
    trouble: str | None = None


_NOT_ASKED = _State(word="not asked", healthy=None)


async def _ask(session: Session, backend: BackendSettings) -> _State:
    try:
        survey: Survey = await session.probe(backend.address(session.settings.backend_max_in_flight))
    except BackendFault as fault:
        return _State(word="down", healthy=False, trouble=fault.sentence)
    models = [shortest(model.canonical) for model in survey.models]
    return _State(word="healthy", healthy=True, version=survey.version, models=models)


async def _ask_all(session: Session, backends: Backends) -> Sequence[_State]:
    return await asyncio.gather(*(_ask(session, backend) for backend in backends))


def _validate(session: Session, backend: BackendSettings) -> None:
    state = asyncio.run(_ask(session, backend))
    if not state.healthy:
        raise Failure(
            f"The backend {backend.name} at {backend.url} does not answer as Ollama does: {state.trouble} "
            "Correct URL or token, or add it unasked with --no-validate."
        )
    note(f"{backend.name} answers: Ollama {state.version}, {counted(len(state.models), 'model')}.")


def _token(given: str | None) -> Secret | None:
    if given is None:
        return None
    text = sys.stdin.read(_LONGEST_TOKEN).strip() if given == "-" else given
    if not text:
        raise click.UsageError("The token is empty; leave --token out for a backend without one.")
    return Secret(text)


def _with(backends: Backends, new: BackendSettings, *, replace: bool) -> Backends:
    former = next((backend for backend in backends if backend.name == new.name), None)
    if former is None:
        return [*backends, new]
    if not replace:
        raise Failure(f"There is a backend {new.name} already, at {former.url}: choose another name, or add --replace.")
    kept = attrs.evolve(new, max_in_flight=former.max_in_flight)
    return [kept if backend is former else backend for backend in backends]


def _present(session: Session, file: Path | None) -> Backends:
    """The list as it stands: in the file to be written if it says anything, else where the gateway finds it."""
    if file is not None and file.exists():
        listed = _listed(env_file.read(file), f"In {file}, ")
        if listed is not None:
            return listed
    present = merged(session.environ, session.env_file_in_use, session.quickstart_file)
    return _listed(present, "") or ()


def _listed(variables: dict[str, str], where: str) -> Backends | None:
    """The backends that variables name; a base URL counts as one named `default`."""
    try:
        if variables.get(VARIABLE, "").strip():
            return read_backends(variables[VARIABLE])
        if variables.get(_BASE_URL, "").strip():
            return (BackendSettings(name="default", url=variables[_BASE_URL].strip()),)
    except ValueError as error:
        raise Failure(f"{where}{VARIABLE} {error}.") from None
    return None


def _deliver(session: Session, change: Callable[[Backends], Backends], file: Path | None, *, dry_run: bool) -> None:
    if dry_run:
        redacted = written(change(_present(session, file)), redacted=True)
        say(f"{VARIABLE}={env_file.quoted(redacted)}")
        note("Dry run: nothing was written. Tokens are shown as ***.")
    elif file is None:
        click.echo(f"{VARIABLE}={env_file.quoted(written(change(_present(session, None))))}")
        note("Put this line into the gateway's environment and restart it; or use --write-env FILE.")
    else:
        _write(session, change, file)


def _write(session: Session, change: Callable[[Backends], Backends], file: Path) -> None:
    def new_value(present: str | None) -> str:
        listed = _listed({VARIABLE: present or ""}, f"In {file}, ")
        return written(change(_present(session, file) if listed is None else listed))

    env_file.rewrite(file, VARIABLE, new_value)
    say(f"{file} now has {VARIABLE}. Restart the gateway to use it.")
    if file.stat().st_mode & _OTHERS_READ:
        warn(f"{file} may be read by others, and holds tokens: chmod 600 {file}")
    in_environment = session.environ.get(VARIABLE)
    if in_environment and in_environment != env_file.read(file)[VARIABLE]:
        warn(f"{VARIABLE} is also set in the environment, to something else, and that wins over the file.")


def _credential(backend: BackendSettings) -> str:
    if backend.token is None:
        return "-"
    shown = f"{backend.scheme} {REDACTED}".strip()
    return shown if backend.header == DEFAULT_HEADER else f"{backend.header}: {shown}"


def _document(session: Session, backend: BackendSettings, state: _State) -> Document:
    return {
        "name": backend.name,
        "url": backend.url,
        "token": None if backend.token is None else REDACTED,
        "header": backend.header,
        "scheme": backend.scheme,
        "max_in_flight": backend.address(session.settings.backend_max_in_flight).most_in_flight,
        "healthy": state.healthy,
        "version": state.version,
        "models": list(state.models) if state.healthy else None,
        "trouble": state.trouble,
    }
