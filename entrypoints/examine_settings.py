"""What to think of this host's side: the settings, the file they are in, the secrets, the backends' addresses.

Secrets are measured, never shown.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from application.findings import Finding, ok, problem, warning
from entrypoints.backend_list import BackendSettings
from entrypoints.settings import Settings, SettingsError
from entrypoints.settings_checks import HOW_TO_MAKE_A_PEPPER
from entrypoints.settings_reading import merged, read_values

_OWNERS = stat.S_IRUSR | stat.S_IWUSR
_LEAST_FREE = 0.1
_LEAST_FREE_BYTES = 2**30
_REQUIRED = ("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")


def read_what_is_right(environ: Mapping[str, str], *files: Path | None) -> tuple[Settings, Sequence[Finding]]:
    """The settings, with defaults for those that are wrong, and a finding for each that is wrong or missing."""
    values, _ = read_values(Settings, merged(environ, *files))
    settings = Settings(**values)
    found: list[str] = []
    env_file, fallback, *_ = (*files, None, None)
    for check in (lambda: Settings.from_environment(environ, env_file, fallback), lambda: settings.need(*_REQUIRED)):
        try:
            check()
        except SettingsError as error:
            found += [sentence for sentence in error.problems if not _said(sentence, found)]
    if not found:
        return settings, [ok("settings", "Every setting is right.")]
    return settings, [problem("settings", sentence, "") for sentence in found]


def _said(sentence: str, found: Sequence[str]) -> bool:
    """Whether a variable has been complained of: what is wrong is not missing besides."""
    return any(known.split()[0] == sentence.split(maxsplit=1)[0] for known in found)


def examine_env_file(file: Path | None) -> Finding:
    """Whether the secrets in the file are closed to others. A file of root's may be read by a group: the gateway's."""
    if file is None:
        return ok("env_file", "No .env file is read.")
    found = file.stat()
    mode = stat.S_IMODE(found.st_mode)
    most = _OWNERS | stat.S_IRGRP if found.st_uid == 0 else _OWNERS
    if mode & ~most & (stat.S_IRWXG | stat.S_IRWXO):
        return problem(
            "env_file",
            f"{file} holds secrets and is open to others (mode {mode:04o}).",
            f"chmod {mode & most:o} {file}",
        )
    if found.st_uid not in (os.geteuid(), 0):
        return warning(
            "env_file",
            f"{file} belongs to uid {found.st_uid}, who can change what is served.",
            f"If that is not the gateway's own account: chown {os.geteuid()} {file}",
        )
    return ok("env_file", f"{file} is not open to others (mode {mode:04o}).")


def examine_secrets(settings: Settings, *, prompt_log_keys: int | None) -> Sequence[Finding]:
    """Whether the secrets that are needed are there. How long they must be, the settings say."""
    findings = []
    if settings.key_pepper:
        former = len(settings.key_pepper) - 1
        beside = f", and {former} former ones" if former else ""
        findings.append(ok("key_pepper", f"KEY_PEPPER is set{beside}."))
    if settings.audit_seal_key:
        findings.append(ok("audit_seal_key", "AUDIT_SEAL_KEY is set: the audit is sealed."))
    else:
        findings.append(
            warning(
                "audit_seal_key",
                "AUDIT_SEAL_KEY is not set: whoever can write the database can change the audit unnoticed.",
                f"Set AUDIT_SEAL_KEY ({HOW_TO_MAKE_A_PEPPER}), the same for every gateway.",
            )
        )
    if prompt_log_keys and not settings.prompt_log_key:
        findings.append(
            problem(
                "prompt_log_key",
                f"{prompt_log_keys} keys keep their prompts, and PROMPT_LOG_KEY is not set.",
                f"Set PROMPT_LOG_KEY ({HOW_TO_MAKE_A_PEPPER}), or end it with `set-prompt-logging`.",
            )
        )
    elif prompt_log_keys:
        findings.append(ok("prompt_log_key", f"{prompt_log_keys} keys keep their prompts; PROMPT_LOG_KEY is set."))
    return findings


def examine_token(backend: BackendSettings, resolve: Callable[[str], Sequence[str]]) -> Sequence[Finding]:
    """Whether a backend's token crosses a network in the clear. Names are resolved by `resolve`."""
    address = backend.address(1)
    host = address.url.host or ""
    if backend.token is None or address.url.scheme != "http" or not _public(resolve(host)):
        return []
    return [
        warning(
            f"backend.{backend.name}.token",
            f"The token of {backend.name} goes to {host} over plain http, for all on the way to read.",
            f"Use https: neuronetz-gateway add-backend {backend.name} https://... --replace",
        )
    ]


def _public(addresses: Sequence[str]) -> bool:
    parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    return any(not (address.is_private or address.is_loopback) for address in parsed)


def examine_disk(state_dir: Path | None) -> Sequence[Finding]:
    """Whether the stores of a quickstart have room."""
    if state_dir is None or not state_dir.exists():
        return []
    usage = shutil.disk_usage(state_dir)
    sentence = f"{usage.free / 2**30:,.1f} of {usage.total / 2**30:,.1f} GiB are free at {state_dir}."
    if usage.free < _LEAST_FREE_BYTES:
        remedy = "Make room there, or start with another --state-dir: without room every call is refused."
        return [problem("disk", sentence, remedy)]
    if usage.free < _LEAST_FREE * usage.total:
        return [warning("disk", sentence, "Make room there soon.")]
    return [ok("disk", sentence)]
