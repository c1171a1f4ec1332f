"""Secrets and prompts through a gateway that tells all it may: debug log, traces, metrics, development mode.

All that is left behind is searched for them, PostgreSQL's own log with every statement and its parameters included.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import attrs
import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from entrypoints.embedded import EmbeddedStores
from tests.canaries import places
from tests.e2e.hostile.voices import VOICES, Voice
from tests.e2e.house import House, Key, fresh_database
from tests.e2e.programs import PEPPER, Simulator, cli, eventually, free_port
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = [pytest.mark.stores, pytest.mark.timeout(300)]

PROMPT = "bandicoot-in-the-prompt"
ANSWER = "numbat-in-the-answer"
TOOL = "quokka-in-a-tool"
MISPLACED = "potoroo-in-a-wrong-field"
IMAGE = b"bilby-in-an-image" * 3
TOKEN = "dunnart-backend-token-0123456789"
PROMPT_LOG_KEY = "woylie-prompt-log-key-long-enough-for-anybody-012"
DATABASE_PASSWORD = "chuditch-database-password"
REDIS_PASSWORD = "ningaui-redis-password"
SPEAKS = "sim-chat"
ASKED = [
    voice
    for voice in VOICES
    if voice.name in {"native-streamed", "openai-whole", "anthropic-streamed", "responses-whole"}
]
"""One of each dialect."""


@attrs.define
class Estate:
    """A house whose every password is a canary."""

    house: House
    key: Key
    postgres_log: Path
    log_begins: int
    metrics: str

    @property
    def secrets(self) -> Mapping[str, Sequence[str]]:
        """What must be seen nowhere, by name."""
        return {
            "the key's secret": list(places.pieces(self.key.text.removeprefix(self.key.prefix))),
            "the pepper": [PEPPER],
            "the prompt log's key": [PROMPT_LOG_KEY],
            "a backend's token": [TOKEN],
            "the database's password": [DATABASE_PASSWORD],
            "Redis' password": [REDIS_PASSWORD],
            "a prompt": [PROMPT],
            "an answer": [ANSWER],
            "a tool's argument": [TOOL],
            "an image": [IMAGE.decode()],
            "what stands in a wrong place": [MISPLACED],
        }

    def left_behind(self) -> dict[str, bytes]:
        """Everything that is there afterwards, by place."""
        postgres_said = self.postgres_log.read_bytes()[self.log_begins :]
        return {
            "tables": places.in_tables(self.house.database_url),
            "Redis": places.in_redis(self.house.redis_url),
            "PostgreSQL's log": postgres_said,
            "command lines": places.in_command_lines(),
            **places.in_files(self.house.folder, but=[self.house.simulator.truth]),
        }


@pytest.fixture(scope="module")
def estate(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    with fresh_database(stores) as database_url, _logins(stores, database_url) as (database_login, redis_login):
        simulator = Simulator(folder, "--tokens=3")
        metrics = f"127.0.0.1:{free_port()}"
        backends = [{"name": "sim", "url": simulator.url, "token": TOKEN}]
        house = House(
            folder=folder, database_url=database_login, redis_url=redis_login, simulator=simulator,
            extra={
                "PROMPT_LOG_KEY": PROMPT_LOG_KEY, "OLLAMA_BACKENDS": json.dumps(backends),
                "OLLAMA_BASE_URL": "", "LOG_LEVEL": "debug", "METRICS_BIND": metrics, "TMPDIR": str(folder),
            },
        )  # fmt: skip
        log = stores.postgres.ground.state.log("postgres")
        begins = log.stat().st_size
        try:
            key = house.new_key()
            done = cli(house.environ, folder, "set-prompt-logging", "--key", key.prefix, "--ttl", "1h")
            assert done.returncode == 0, done.stderr
            yield Estate(house, key, log, begins, metrics)
        finally:
            for gateway in house.gateways:
                gateway.stop()
            simulator.stop()


@contextlib.contextmanager
def _logins(stores: EmbeddedStores, database_url: str) -> Iterator[tuple[str, str]]:
    """Logins with passwords, and from then on a log of every statement with its parameters."""
    login, name = "canary", sql.Identifier(urlsplit(database_url).path.lstrip("/"))
    words = (
        "create role {login} superuser login password {password}",
        "alter database {name} set log_statement = 'all'",
        "alter database {name} set log_min_error_statement = 'debug5'",
        "alter database {name} set log_parameter_max_length_on_error = -1",
    )
    with (
        psycopg.connect(stores.database_url, autocommit=True) as owner,
        redis.Redis.from_url(stores.redis_url) as store,
    ):
        for word in words:
            owner.execute(
                sql.SQL(word).format(login=sql.Identifier(login), password=sql.Literal(DATABASE_PASSWORD), name=name)
            )
        store.acl_setuser(
            login, enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys="*", channels="*", commands=["+@all"]
        )
        try:
            yield (
                _with_login(database_url, login, DATABASE_PASSWORD),
                _with_login(stores.redis_url, login, REDIS_PASSWORD),
            )
        finally:
            store.acl_deluser(login)
            with psycopg.connect(database_url, autocommit=True) as own:
                own.execute("reassign owned by canary to current_user")
                own.execute("drop owned by canary")
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


def _with_login(url: str, login: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _bodies(voice: Voice) -> Iterator[Any]:
    """A good body, and one with a canary in each place where it does not belong."""
    good = voice.question_fields | {"model": SPEAKS, "stream": voice.streamed}
    for field, value in (("messages", [{"role": "user", "content": PROMPT}]), ("prompt", PROMPT), ("input", PROMPT)):
        if field in good:
            good[field] = value
    yield good
    for field in (*(good.keys() - {"model"}), "tools", "format", "options", "system", "stop", "keep_alive", MISPLACED):
        yield good | {field: MISPLACED}
        yield good | {field: {MISPLACED: [MISPLACED]}}
    yield from (MISPLACED, [MISPLACED], {MISPLACED: MISPLACED})


_IMAGE = base64.b64encode(IMAGE).decode()
_TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "title": TOOL}}}]
_CALLED = [{"function": {"name": "f", "arguments": {"city": TOOL}}}]
_RICH = {
    "model": SPEAKS, "tools": _TOOLS,
    "messages": [
        {"role": "user", "content": PROMPT, "images": [_IMAGE]},
        {"role": "assistant", "content": ANSWER, "tool_calls": _CALLED},
        {"role": "tool", "content": TOOL},
    ],
}  # fmt: skip
_SPOKEN = "".join(
    json.dumps({"model": SPEAKS, "created_at": "2026-01-01T00:00:00Z", "message": message} | rest) + "\n"
    for message, rest in (
        ({"role": "assistant", "content": ANSWER, "tool_calls": _CALLED}, {"done": False}),
        ({"role": "assistant", "content": ""}, {"done": True, "done_reason": "stop", "eval_count": 3}),
    )
)


def _ask_everything(estate: Estate, client: httpx.Client) -> bytes:
    """All that clients may send, in the right places and in wrong ones; and every error body that came back."""
    key, simulator, told = estate.key, estate.house.simulator, b""

    def ask(path: str, body: Any, **headers: str) -> None:
        nonlocal told
        with contextlib.suppress(httpx.TransportError):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = client.post(path, content=content, headers=key.headers | headers)
            told += answer.content if answer.status_code != httpx.codes.OK else b""

    for voice in ASKED:
        for body in _bodies(voice):
            ask(voice.path, body)
    ask("/api/chat", _RICH)
    ask("/api/chat", json.dumps(_RICH).encode()[:-9])  # cut off
    ask("/api/chat", b"\xff" + json.dumps(_RICH).encode())
    for path in (
        f"/{MISPLACED}",
        f"/{key.text}",
        f"/api/chat?key={key.text}",
        f"/api/chat?{MISPLACED}",
        f"/v1/models/{key.text}",
    ):
        ask(path, _RICH)
        client.get(path, headers=key.headers)
    for name in ("x-request-id", "user-agent", "x-forwarded-for", "cookie", "traceparent", "anthropic-beta", "referer"):
        ask("/api/chat", _RICH | {"stream": False}, **{name: f"{MISPLACED} {key.text}"})
    for credential in (key.text[:-1], key.text + "x", key.text.swapcase(), MISPLACED, f"{key.text} {key.text}"):
        ask("/api/chat", _RICH, authorization=f"Bearer {credential}")
    for model in (key.text, f"{SPEAKS}:{key.text}", f"registry/{key.text}/m"):
        ask("/api/chat", _RICH | {"model": model})
        ask("/api/show", {"model": model})
        ask("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": PROMPT}]})
    for behaviour in (
        {"body": _SPOKEN, "content_type": "application/x-ndjson"},
        {"status": 500, "body": json.dumps({"error": f"{PROMPT} {ANSWER} {TOKEN}"})},
        {"status": 400, "body": json.dumps({"error": f"{PROMPT} {ANSWER} {TOKEN}"})},
        {"body": f"<html>{PROMPT} {ANSWER} {TOKEN}</html>"},
        {"echo_header": "authorization"},
        {"ending": "reset", "end_after_objects": 1},
        {"ending": "garbage", "end_after_objects": 1},
    ):
        simulator.behave({"behaviour": behaviour})
        for streams in (True, False):
            ask("/api/chat", _RICH | {"stream": streams})
    simulator.behave_normally()
    return told


def _command_wrongly(estate: Estate) -> bytes:
    """What the commands say to secrets in the wrong place, and to a good look at everything."""
    key, said = estate.key, b""
    environ = estate.house.environ
    for arguments in (
        ["revoke-key", key.text],
        ["audit", "export"],
    ):
        ran = cli(environ, estate.house.folder, *arguments)
        said += (ran.stdout + ran.stderr).replace(key.text if key.text in arguments else "\0", "").encode()
    for wrong in (
        {"DATABASE_URL": f"postgresql://x:{DATABASE_PASSWORD}@127.0.0.1:1/x"},
        {"OLLAMA_BACKENDS": f'[{{"name":"a","url":"http://127.0.0.1:1","token":"{TOKEN}"'},
    ):
        ran = cli(environ | wrong, estate.house.folder, "doctor")
        said += (ran.stdout + ran.stderr).encode()
    return said


def test_no_secret_and_no_prompt_is_left_behind(estate: Estate) -> None:
    house = estate.house
    gateway = house.add_gateway(
        PYTHONDEVMODE="1", PYTHONWARNINGS="ignore", TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=house.simulator.url
    )
    gateway.wait_ready()
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        told = _ask_everything(estate, client)
    said = _command_wrongly(estate)
    scraped = httpx.get(f"http://{estate.metrics}/metrics").content
    for _ in eventually(10):
        if house.rows("select 1 from prompts limit 1"):
            break
    seen = {"errors": told, "commands": said, "metrics": scraped}
    limits = Path(f"/proc/{gateway.pid}/limits").read_text()
    gateway.send(signal.SIGABRT)  # faulthandler prints all stacks
    gateway.wait(10)

    seen |= estate.left_behind()
    wrong = places.found(estate.secrets, seen)
    record(Figure.CANARIES, str(len(wrong)), good=not wrong, how=f"{len(seen)} places")
    assert not wrong, "\n".join(wrong)
    assert "Max core file size        0" in limits
    assert b"Fatal Python error" in seen[gateway.output.name]
    assert len(told) > 5_000
