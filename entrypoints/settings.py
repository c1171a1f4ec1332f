"""What the operator decides: the one reader of the environment and of its files.

    the environment  >  the `.env` file  >  the file a running quickstart left, if any  >  defaults

Every setting is an attribute of `Settings`, named as its variable in lower case, with its unit in the name, a safe
default, and a sentence that says what it is for. All that is wrong is said at once, one sentence each, naming the
variable and the remedy; a value that may be secret is never repeated.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import cattrs

from adapters.ollama.address import BackendAddress
from domain.keys import Secret
from entrypoints import env_file as env_files
from entrypoints.backend_list import BackendSettings, read_backends
from entrypoints.settings_checks import (
    HOW_TO_MAKE_A_PEPPER,
    a_port,
    backend_url,
    begins_with,
    long_enough,
    not_negative,
    positive,
    printable,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def means(sentence: str) -> Mapping[str, str]:
    """What a setting is for, with its unit; for `.env.example` and the README."""
    return {"meaning": sentence}


class SettingsError(Exception):
    """Some settings are wrong or missing; has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class LogLevel(StrEnum):
    """What is logged: this and everything graver."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    CONSOLE = "console"


@attrs.frozen(kw_only=True)
class Settings:
    """All settings. Build it with `from_environment`; tests may build it directly."""

    database_url: Secret | None = attrs.field(
        default=None,
        validator=begins_with("postgresql://", "postgres://"),
        metadata=means("PostgreSQL, as postgresql://user:password@host:5432/name"),
    )
    redis_url: Secret | None = attrs.field(
        default=None,
        validator=begins_with("redis://", "rediss://", "unix://"),
        metadata=means("Redis or Valkey, as redis://host:6379/0, rediss://... or unix:///path"),
    )
    key_pepper: tuple[Secret, ...] = attrs.field(
        default=(),
        validator=long_enough,
        metadata=means(
            "secret that API keys are checked with, at least 32 characters (openssl rand -hex 32); a comma separated "
            "ring, the current one first, then former ones as long as their keys live"
        ),
    )

    ollama_backends: tuple[BackendSettings, ...] | None = attrs.field(
        default=None, metadata=means("Ollama servers, a JSON list written by `neuronetz-gateway add-backend`")
    )
    ollama_base_url: str = attrs.field(
        default="http://127.0.0.1:11434",
        validator=backend_url,
        metadata=means("the one Ollama server, named default, when OLLAMA_BACKENDS is not set"),
    )
    ollama_keep_alive: str = attrs.field(
        default="",
        validator=printable,
        metadata=means("how long Ollama keeps a model after a native call, as 10m or -1; empty leaves it to Ollama"),
    )
    backend_max_in_flight: int = attrs.field(
        default=4, validator=positive, metadata=means("calls that one backend is given at once")
    )
    poll_interval_s: float = attrs.field(
        default=5.0, validator=positive, metadata=means("seconds between two looks at a backend's health and models")
    )

    queue_depth: int = attrs.field(
        default=64, validator=not_negative, metadata=means("calls that may wait for each backend; more are refused")
    )
    queue_wait_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds that a call may wait for its turn at a backend")
    )
    first_byte_timeout_s: float = attrs.field(
        default=300.0,
        validator=positive,
        metadata=means("seconds until a backend's first byte, before which it queues, loads and reads the prompt"),
    )
    idle_timeout_s: float = attrs.field(
        default=60.0, validator=positive, metadata=means("seconds between two pieces of a backend's answer")
    )
    call_timeout_s: float = attrs.field(
        default=1800.0, validator=positive, metadata=means("seconds that one call may last in all")
    )
    send_timeout_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds that a client may leave its answer unread")
    )
    body_timeout_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds in which a request's body must have come")
    )
    max_body_bytes: int = attrs.field(
        default=4 * 1024 * 1024, validator=positive, metadata=means("bytes of the largest request body")
    )

    max_output_tokens: int = attrs.field(
        default=8192, validator=positive, metadata=means("tokens of output that one call may ask for")
    )
    default_output_tokens: int = attrs.field(
        default=2048, validator=positive, metadata=means("tokens of output for calls that ask for no number")
    )
    unknown_context_tokens: int = attrs.field(
        default=131072,
        validator=positive,
        metadata=means("tokens of context assumed for a model that does not tell its own"),
    )

    ledger_timeout_s: float = attrs.field(
        default=1.0, validator=positive, metadata=means("seconds for PostgreSQL to answer a hold, after which: 503")
    )
    limiter_timeout_ms: int = attrs.field(
        default=100,
        validator=positive,
        metadata=means("milliseconds for Redis to answer an admission, after which: 503"),
    )
    slot_lease_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds after which a slot that is not renewed is free")
    )
    key_cache_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds that a verified key is remembered")
    )
    process_beat_s: float = attrs.field(
        default=10.0, validator=positive, metadata=means("seconds between two signs of life of a gateway process")
    )
    process_dead_after_s: float = attrs.field(
        default=60.0,
        validator=positive,
        metadata=means("seconds of silence after which a process is taken for dead and its holds are closed"),
    )
    drain_timeout_s: float = attrs.field(
        default=30.0, validator=not_negative, metadata=means("seconds that running calls are given at shutdown")
    )

    host: str = attrs.field(default="0.0.0.0", validator=printable, metadata=means("address to listen on"))  # noqa: S104  a gateway is there to be reached
    port: int = attrs.field(default=8080, validator=a_port, metadata=means("TCP port to listen on"))
    trusted_proxies: tuple[Network, ...] = attrs.field(
        default=(),
        metadata=means(
            "networks, comma separated, whose X-Forwarded-For is believed, as 10.0.0.0/8; empty believes nobody"
        ),
    )
    log_level: LogLevel = attrs.field(default=LogLevel.INFO, metadata=means("debug, info, warning or error"))
    log_format: LogFormat = attrs.field(default=LogFormat.JSON, metadata=means("json or console"))

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], env_file: Path | None = None, fallback_file: Path | None = None
    ) -> Settings:
        """Reads, checks and returns the settings.

        Args:
            environ: the environment; wins over the files. An empty value counts as none.
            env_file: a `.env` file; None for none.
            fallback_file: what counts where neither says anything.

        Raises:
            SettingsError: with every problem there is.
            EnvFileError: a file cannot be read.
        """
        return _build(merged(environ, env_file, fallback_file))

    @property
    def backends(self) -> tuple[BackendSettings, ...]:
        """The backends in the operator's order; the base URL alone, named `default`, when no list is set."""
        if self.ollama_backends is not None:
            return self.ollama_backends
        return (BackendSettings(name="default", url=self.ollama_base_url),)

    @property
    def addresses(self) -> tuple[BackendAddress, ...]:
        """The same, as their adapter takes them."""
        return tuple(backend.address(self.backend_max_in_flight) for backend in self.backends)

    def need(self, *names: str) -> None:
        """Says nothing if these are set.

        Args:
            names: of variables, among DATABASE_URL, REDIS_URL, KEY_PEPPER and OLLAMA_BACKENDS.

        Raises:
            SettingsError: with a sentence for each that is missing.
        """
        missing = [name for name in names if not (self.backends if name == "OLLAMA_BACKENDS" else self._given(name))]
        if missing:
            raise SettingsError([f"{name} is not set: {_REMEDIES[name]}." for name in missing])

    def _given(self, name: str) -> object:
        return getattr(self, name.lower())

    def need_database_url(self) -> Secret:
        """DATABASE_URL, or `SettingsError`."""
        self.need("DATABASE_URL")
        return self.database_url or Secret("")

    def need_redis_url(self) -> Secret:
        """REDIS_URL, or `SettingsError`."""
        self.need("REDIS_URL")
        return self.redis_url or Secret("")

    def need_peppers(self) -> tuple[bytes, ...]:
        """The ring, current first, as the key check takes it; or `SettingsError`."""
        self.need("KEY_PEPPER")
        return tuple(pepper.unwrap().encode() for pepper in self.key_pepper)


_REMEDIES = {
    "DATABASE_URL": "set it to postgresql://user:password@host:5432/name, or run `neuronetz-gateway quickstart`, "
    "which brings its own database",
    "REDIS_URL": "set it to redis://host:6379/0, or run `neuronetz-gateway quickstart`, which brings its own store",
    "KEY_PEPPER": f"{HOW_TO_MAKE_A_PEPPER}, keep it as you keep passwords, and give the same to every gateway",
    "OLLAMA_BACKENDS": "it lists no backend, so add one with `neuronetz-gateway add-backend NAME URL`",
}


@attrs.frozen(kw_only=True)
class SettingRow:
    """One setting, as documentation shows it."""

    name: str
    default: str
    """As it would stand in the environment; empty when there is none."""
    meaning: str
    """In words, with the unit."""


def settings_table() -> Sequence[SettingRow]:
    """Every setting in the order of `.env.example`."""
    return [
        SettingRow(name=field.name.upper(), default=_shown(field.default), meaning=field.metadata["meaning"])
        for field in attrs.fields(Settings)
    ]


def merged(environ: Mapping[str, str], *files: Path | None) -> dict[str, str]:
    """All variables that are set and not empty; the environment before the files, an earlier file before a later."""
    layers: list[Mapping[str, str]] = [environ, *(env_files.read(file) for file in files if file is not None)]
    return {name: value for layer in reversed(layers) for name, value in layer.items() if value.strip()}


def _shown(default: Any) -> str:
    if default is None or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _whole_number(text: str, _type: Any) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str, _type: Any) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("must be a number") from None


def _ring(text: str, _type: Any) -> tuple[Secret, ...]:
    return tuple(Secret(part.strip()) for part in text.split(","))


def _networks(text: str, _type: Any) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.0.0.0/8, comma separated: {error}") from None


def _word(text: str, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(text.lower())
    except ValueError:
        raise ValueError(f"must be {' or '.join(kind)}") from None


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Secret, lambda text, _type: Secret(text))
    converter.register_structure_hook(LogLevel, _word)
    converter.register_structure_hook(LogFormat, _word)
    lists: list[tuple[object, Callable[[str, Any], object]]] = [
        (tuple[Secret, ...], _ring),
        (tuple[Network, ...], _networks),
        (tuple[BackendSettings, ...], lambda text, _type: read_backends(text)),
    ]
    for kind, hook in lists:
        converter.register_structure_hook_func(partial(operator.eq, kind), hook)
    return converter


_CONVERTER = _converter()
_NEVER_REPEATED = frozenset({"database_url", "redis_url", "key_pepper", "ollama_backends", "ollama_base_url"})


def _build(texts: Mapping[str, str]) -> Settings:
    problems: list[str] = []
    values: dict[str, Any] = {}
    kinds = get_type_hints(Settings)
    for field in attrs.fields(Settings):
        text = texts.get(field.name.upper())
        if text is None:
            continue
        try:
            value = _CONVERTER.structure(text.strip(), kinds[field.name])
            if field.validator is not None:
                field.validator(None, field, value)
            values[field.name] = value
        except ValueError as error:
            shown = "" if field.name in _NEVER_REPEATED else f", and is {text!r}"
            default = _shown(field.default)
            problems.append(f"{field.name.upper()} {error}{shown}{f' (default: {default})' if default else ''}.")
    settings = Settings(**values)
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _contradictions(settings: Settings) -> Sequence[str]:
    """What is wrong between settings that are each right."""
    pairs = [
        ("default_output_tokens", "max_output_tokens"),
        ("process_beat_s", "process_dead_after_s"),
        ("first_byte_timeout_s", "call_timeout_s"),
        ("idle_timeout_s", "call_timeout_s"),
        ("poll_interval_s", "first_byte_timeout_s"),
    ]
    return [
        f"{low.upper()} is {getattr(settings, low):g} and must not be above {high.upper()}, "
        f"which is {getattr(settings, high):g}: lower the one or raise the other."
        for low, high in pairs
        if getattr(settings, low) > getattr(settings, high)
    ]
