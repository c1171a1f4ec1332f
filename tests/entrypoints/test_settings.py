"""Settings: every source, every default, every complaint."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.keys import Secret
from entrypoints.settings import Settings, SettingsError
from entrypoints.settings_table import quickstart_table, settings_table
from entrypoints.settings_words import LogFormat, LogLevel

ROOT = Path(__file__).parents[2]
PEPPER = "p" * 32


def problems(**environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment(environ)
    return str(raised.value)


def test_nothing_set_gives_the_defaults() -> None:
    settings = Settings.from_environment({})

    assert settings == Settings()
    assert settings.port == 8080
    assert settings.max_body_bytes == 4 * 1024 * 1024
    assert [(backend.name, backend.url) for backend in settings.backends] == [("default", "http://127.0.0.1:11434")]


def test_every_kind_of_value_is_read() -> None:
    settings = Settings.from_environment(
        {
            "DATABASE_URL": "postgresql://u:pw@h/d",
            "KEY_PEPPER": f"{PEPPER}, {PEPPER}2",
            "QUEUE_WAIT_S": " 0.5 ",
            "QUEUE_DEPTH": "0",
            "TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8,192.0.2.1",
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "console",
        }
    )

    assert settings.need_database_url() == Secret("postgresql://u:pw@h/d")
    assert settings.need_peppers() == (PEPPER.encode(), f"{PEPPER}2".encode())
    assert (settings.queue_wait_s, settings.queue_depth) == (0.5, 0)
    assert settings.trusted_proxies == tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8", "192.0.2.1/32")))
    assert (settings.log_level, settings.log_format) == (LogLevel.DEBUG, LogFormat.CONSOLE)


def test_backends_come_in_order_with_their_own_or_the_common_cap() -> None:
    entries = '[{"name":"b","url":"http://b:1/ollama/","max_in_flight":9},{"name":"a","url":"https://a","token":"t"}]'
    settings = Settings.from_environment({"OLLAMA_BACKENDS": entries, "BACKEND_MAX_IN_FLIGHT": "3"})

    first, second = settings.addresses

    assert (first.name, str(first.target("/api/tags")), first.most_in_flight) == ("b", "http://b:1/ollama/api/tags", 9)
    assert (second.name, second.most_in_flight) == ("a", 3)
    assert second.headers()["Authorization"] == "Bearer t"


def test_quotes_that_docker_run_hands_on_are_taken_off() -> None:
    settings = Settings.from_environment({"OLLAMA_BACKENDS": """'[{"name":"a","url":"http://a:1"}]'"""})

    assert settings.backends[0].name == "a"


def test_the_environment_wins_over_the_file_and_the_file_over_the_fallback(tmp_path: Path) -> None:
    file, fallback = tmp_path / ".env", tmp_path / "gateway.env"
    file.write_text("PORT=2\nQUEUE_DEPTH=2\n", encoding="utf-8")
    fallback.write_text("PORT=3\nQUEUE_DEPTH=3\nMAX_OUTPUT_TOKENS=3000\n", encoding="utf-8")

    settings = Settings.from_environment({"PORT": "1"}, file, fallback)

    assert (settings.port, settings.queue_depth, settings.max_output_tokens) == (1, 2, 3000)


def test_an_empty_value_counts_as_none() -> None:
    assert Settings.from_environment({"PORT": "", "REDIS_URL": " "}) == Settings()


def test_all_problems_are_told_at_once_each_with_its_variable() -> None:
    told = problems(PORT="x", QUEUE_WAIT_S="nan", KEY_PEPPER="short", LOG_LEVEL="loud").splitlines()

    assert [sentence.split()[0] for sentence in told] == ["KEY_PEPPER", "QUEUE_WAIT_S", "PORT", "LOG_LEVEL"]
    assert told[2] == "PORT must be a whole number, and is 'x' (default: 8080)."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("QUEUE_WAIT_S", "0"),
        ("QUEUE_WAIT_S", "inf"),
        ("QUEUE_DEPTH", "-1"),
        ("IDLE_TIMEOUT_S", "soon"),
        ("DATABASE_URL", "mysql://h"),
        ("REDIS_URL", "h:6379"),
        ("OLLAMA_BASE_URL", "gpu1:11434"),
        ("OLLAMA_KEEP_ALIVE", "1\x00"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("LOG_FORMAT", "xml"),
        ("KEY_PEPPER", f"{PEPPER},short"),
        ("DEFAULT_OUTPUT_TOKENS", "8193"),
        ("PROCESS_BEAT_S", "61"),
        ("LEDGER_TIMEOUT_S", "3.1"),
        ("LEDGER_TIMEOUT_S", "0"),
        ("OLLAMA_BACKENDS", "{}"),
        ("OLLAMA_BACKENDS", "[1]"),
        ("OLLAMA_BACKENDS", '[{"name":"a"}]'),
        ("OLLAMA_BACKENDS", '[{"name":"a","url":"http://a:1","color":"red"}]'),
        ("OLLAMA_BACKENDS", '[{"name":"a","url":"http://a:1","max_in_flight":"4"}]'),
        ("OLLAMA_BACKENDS", '[{"name":"a","url":"http://a:1"},{"name":"a","url":"http://b:1"}]'),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(name: str, value: str) -> None:
    assert name in problems(**{name: value})


def test_the_most_that_the_ledger_may_take_is_allowed_and_told_with_its_reason() -> None:
    assert Settings.from_environment({"LEDGER_TIMEOUT_S": "3"}).ledger_timeout_s == 3
    assert problems(LEDGER_TIMEOUT_S="4") == (
        "LEDGER_TIMEOUT_S must be above 0 and at most 3, because the database breaks off what takes longer, and is '4' "
        "(default: 1)."
    )


def test_a_backend_may_be_polled_more_seldom_than_a_first_byte_is_waited_for() -> None:
    assert Settings.from_environment({"POLL_INTERVAL_S": "30", "FIRST_BYTE_TIMEOUT_S": "10"}).poll_interval_s == 30


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS", "OLLAMA_BASE_URL"])
@pytest.mark.parametrize(
    "value", ["canary", "http://canary:canary@h\x01", '[{"name":"canary"}]', '[{"token":"canary"}]']
)
def test_what_may_be_secret_is_not_repeated(name: str, value: str) -> None:
    assert "canary" not in problems(**{name: value})


def test_no_repr_shows_a_secret() -> None:
    settings = Settings.from_environment(
        {
            "DATABASE_URL": "postgresql://u:canary@h/d",
            "REDIS_URL": "redis://:canary@h",
            "KEY_PEPPER": f"canary{PEPPER}",
            "OLLAMA_BACKENDS": '[{"name":"a","url":"http://a:1","token":"canary"}]',
        }
    )

    assert "canary" not in repr(settings) + str(attrs.asdict(settings, recurse=False)) + repr(settings.addresses)


def test_what_is_needed_and_missing_is_told_with_a_remedy() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings(ollama_backends=()).need("DATABASE_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")

    assert [sentence.split()[0] for sentence in raised.value.problems] == [
        "DATABASE_URL",
        "KEY_PEPPER",
        "OLLAMA_BACKENDS",
    ]
    assert "openssl rand -hex 32" in str(raised.value)


@given(st.dictionaries(st.sampled_from([row.name for row in settings_table()]), st.text(max_size=40)))
def test_any_text_is_either_a_setting_or_a_told_problem(environ: dict[str, str]) -> None:
    told: Sequence[str] = ()
    try:
        Settings.from_environment(environ)
    except SettingsError as error:
        told = error.problems

    assert all(re.match("[A-Z_]+ .*[.]$", sentence, re.DOTALL) for sentence in told)


def test_the_example_file_and_the_table_are_in_step(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    blocks = re.findall(r"((?:^# .+\n)+)^#([A-Z_]+)=(.*)$", example, re.MULTILINE)
    told = [(name, default, re.sub(r"\n?# ", " ", "\n" + comment).strip()) for comment, name, default in blocks]

    rows = [*settings_table(), *quickstart_table()]
    assert told == [(row.name, row.default, f"{row.meaning[0].upper()}{row.meaning[1:]}.") for row in rows]
    used = tmp_path / ".env"
    used.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example, flags=re.MULTILINE), encoding="utf-8")
    assert Settings.from_environment({}, used) == Settings()


def test_every_number_of_time_or_size_has_its_unit_in_its_name() -> None:
    units = ("_s", "_ms", "_bytes", "_tokens", "_in_flight", "_depth")
    numbers = [field.name for field in attrs.fields(Settings) if isinstance(field.default, int | float)]

    assert [name for name in numbers if not name.endswith(units)] == ["port", "processes", "max_connections"]
