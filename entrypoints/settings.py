"""What the operator decides: the one reader of the environment and of its files.

    the environment  >  the `.env` file  >  the file a running quickstart left, if any  >  defaults

Every setting is an attribute of `Settings`, named as its variable in lower case, with its unit in the name, a safe
default, and a sentence that says what it is for. All that is wrong is said at once, one sentence each, naming the
variable and the remedy; a value that may be secret is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from adapters.ollama.address import BackendAddress
from domain.keys import Secret
from entrypoints.backend_list import BackendSettings
from entrypoints.settings_checks import (
    MOST_LEDGER_TIMEOUT_S,
    a_port,
    at_most,
    backend_url,
    begins_with,
    long_enough,
    metrics_address,
    not_negative,
    positive,
    printable,
)
from entrypoints.settings_reading import Network, means, merged, read_values
from entrypoints.settings_together import REMEDIES, contradictions
from entrypoints.settings_words import HttpParser, LogFormat, LogLevel, OnHangUp, Traces


class SettingsError(Exception):
    """Some settings are wrong or missing; has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@attrs.frozen(kw_only=True)
class Settings:
    """All settings. Build it with `from_environment`; tests may build it directly."""

    database_url: Secret | None = attrs.field(
        default=None,
        validator=begins_with("postgresql://", "postgres://"),
        metadata=means("PostgreSQL, as postgresql://user:password@host:5432/name", may_be_secret=True),
    )
    redis_url: Secret | None = attrs.field(
        default=None,
        validator=begins_with("redis://", "rediss://", "unix://"),
        metadata=means("Redis or Valkey, as redis://host:6379/0, rediss://... or unix:///path", may_be_secret=True),
    )
    key_pepper: tuple[Secret, ...] = attrs.field(
        default=(),
        validator=long_enough,
        metadata=means(
            "secret that API keys are checked with, at least 32 characters (openssl rand -hex 32); a comma separated "
            "ring, the current one first, then former ones as long as their keys live",
            may_be_secret=True,
        ),
    )
    prompt_log_key: tuple[Secret, ...] = attrs.field(
        default=(),
        validator=long_enough,
        metadata=means(
            "secret that logged prompts are encrypted with, for keys with `set-prompt-logging`; a ring like "
            "KEY_PEPPER, a former one as long as what was logged under it",
            may_be_secret=True,
        ),
    )
    audit_seal_key: tuple[Secret, ...] = attrs.field(
        default=(),
        validator=long_enough,
        metadata=means(
            "secret that the audit is sealed with, so that `audit verify` finds what was changed in it; a ring like "
            "KEY_PEPPER, a former one as long as its seals are to be checked; without it nothing is sealed",
            may_be_secret=True,
        ),
    )

    ollama_backends: tuple[BackendSettings, ...] | None = attrs.field(
        default=None,
        metadata=means("Ollama servers, a JSON list written by `neuronetz-gateway add-backend`", may_be_secret=True),
    )
    ollama_base_url: str = attrs.field(
        default="http://127.0.0.1:11434",
        validator=backend_url,
        metadata=means("the one Ollama server, named default, when OLLAMA_BACKENDS is not set", may_be_secret=True),
    )
    ollama_keep_alive: str = attrs.field(
        default="",
        validator=printable,
        metadata=means("how long Ollama keeps a model after a native call, as 10m or -1; empty leaves it to Ollama"),
    )
    backend_max_in_flight: int = attrs.field(
        default=4,
        validator=positive,
        metadata=means("calls that one backend is given at once, by all gateways together"),
    )
    poll_interval_s: float = attrs.field(
        default=5.0, validator=positive, metadata=means("seconds between two looks at a backend's health and models")
    )

    queue_depth: int = attrs.field(
        default=64,
        validator=not_negative,
        metadata=means(
            "calls that may wait in the one queue of all gateways, times the number of backends; more are refused"
        ),
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
        default=300.0, validator=positive, metadata=means("seconds between two pieces of a backend's answer")
    )
    call_timeout_s: float = attrs.field(
        default=1800.0, validator=positive, metadata=means("seconds that one call may last in all")
    )
    send_timeout_s: float = attrs.field(
        default=30.0, validator=positive, metadata=means("seconds that a client may leave its answer unread")
    )
    on_hang_up: OnHangUp = attrs.field(
        default=OnHangUp.CUT, metadata=means("a call whose client leaves is cut, or with drain finished by its backend")
    )
    hang_up_drain_s: float = attrs.field(
        default=60.0, validator=positive, metadata=means("seconds that drain gives such a call, which then is cut")
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
        default=1.0,
        validator=at_most(MOST_LEDGER_TIMEOUT_S, "the database breaks off what takes longer"),
        metadata=means("seconds for PostgreSQL to answer a hold, at most 3, after which: 503"),
    )
    limiter_timeout_ms: int = attrs.field(
        default=100,
        validator=positive,
        metadata=means("milliseconds for Redis to answer an admission, after which: 503"),
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
    processes: int = attrs.field(
        default=1,
        validator=positive,
        metadata=means(
            "gateway processes that share the port, each good for one CPU core; with more than one, SIGHUP replaces "
            "them one by one, with settings read afresh"
        ),
    )
    max_connections: int = attrs.field(
        default=4096,
        validator=positive,
        metadata=means("client connections that one process keeps open; further ones are told 503"),
    )
    http_parser: HttpParser = attrs.field(
        default=HttpParser.HTTPTOOLS,
        metadata=means("who reads HTTP/1: httptools, or h11, Hypercorn's own, which is more lenient and slower"),
    )
    trusted_proxies: tuple[Network, ...] = attrs.field(
        default=(),
        metadata=means(
            "networks, comma separated, whose X-Forwarded-For is believed, as 10.0.0.0/8; empty believes nobody"
        ),
    )
    log_level: LogLevel = attrs.field(
        default=LogLevel.INFO, metadata=means("the least grave that is logged: debug, info, warning or error")
    )
    log_format: LogFormat = attrs.field(
        default=LogFormat.JSON, metadata=means("how log lines are written: json for programs, console for people")
    )
    metrics_bind: str = attrs.field(
        default="127.0.0.1:9464",
        validator=metrics_address,
        metadata=means(
            "address and port that Prometheus' metrics are fetched from, apart from PORT, or off; whoever reaches it "
            "may read them"
        ),
    )
    traces: Traces = attrs.field(
        default=Traces.OFF,
        metadata=means(
            "where a trace of each call is sent: off, or otlp, which the OTEL_EXPORTER_OTLP_* variables set up further"
        ),
    )

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
        values, problems = read_values(cls, merged(environ, env_file, fallback_file))
        settings = cls(**values)
        problems = [*problems, *contradictions(settings)]
        if problems:
            raise SettingsError(problems)
        return settings

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
            names: of variables that `REMEDIES` knows.

        Raises:
            SettingsError: with a sentence for each that is missing.
        """
        missing = [name for name in names if not (self.backends if name == "OLLAMA_BACKENDS" else self._given(name))]
        if missing:
            raise SettingsError([f"{name} is not set: {REMEDIES[name]}." for name in missing])

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

    def need_prompt_log_keys(self) -> tuple[bytes, ...]:
        """The ring that kept prompts are encrypted with, current first; or `SettingsError`."""
        self.need("PROMPT_LOG_KEY")
        return tuple(secret.unwrap().encode() for secret in self.prompt_log_key)

    def need_audit_seal_keys(self) -> tuple[bytes, ...]:
        """The ring that the audit is sealed with, current first; or `SettingsError`."""
        self.need("AUDIT_SEAL_KEY")
        return tuple(secret.unwrap().encode() for secret in self.audit_seal_key)
