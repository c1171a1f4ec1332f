"""The prompt log at the command line: ordered, listed, shown, and refused in sentences."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta

import attrs
import pytest

from application.prompt_keys import PromptKeys
from application.prompt_sealing import Sealing
from domain.ports.registers import ApiKey
from domain.prompts import Exchange, Heading, Kept
from tests.entrypoints.cli.conftest import Desk
from tests.fakes.encryption import FakeEncryption
from tests.fakes.surroundings import FakeEntropy

PROMPT = (
    b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "a \\u001b[2J wombat\\nin two lines"}]}'
)
ANSWER = b'{"message":{"content":"a num"},"done":false}\n{"message":{"content":"bat"},"done":true}\n'
HOUR = timedelta(hours=1)


@pytest.fixture
def keeper(acme: Desk) -> Desk:
    """A desk with one key, whose gateway and operator have a secret for prompts and a Redis."""
    acme.environ |= {"PROMPT_LOG_KEY": "a secret for the prompts of the tests that is long", "REDIS_URL": "redis://r/0"}
    assert acme("create-key", "--tenant", "acme", "--name", "k").exit_code == 0
    return acme


def key_of(desk: Desk) -> ApiKey:
    (key,) = desk.register.by_prefix.values()
    return key


def keep(desk: Desk, nth: int = 0, *, cut: bool = False, at: datetime | None = None) -> str:
    """An entry as a gateway would have kept it, an hour long; returns its request id."""
    key = key_of(desk)
    heading = Heading(
        request_id=f"{nth:032x}",
        tenant_id=key.tenant_id,
        key_id=key.id,
        key_prefix=key.prefix,
        route="/api/chat",
        model="llama3.2",
        streamed=True,
    )
    exchange = Exchange(
        heading=heading, ttl_s=3600, ended_s=0.0, prompt=Kept(PROMPT, cut=cut), answer=Kept(ANSWER, cut=False)
    )
    keys = PromptKeys(
        hour_keys=desk.hour_keys, encryption=desk.encryption, entropy=FakeEntropy(str(nth)), clock=desk.clock
    )
    now = at or desk.register.now()

    async def store() -> None:
        sealed = await Sealing(keys=keys, encryption=desk.encryption)(exchange, now=now, age_s=0.0)
        assert sealed is not None
        desk.register.kept.rows[heading.request_id] = sealed

    asyncio.run(store())
    return heading.request_id


@pytest.mark.parametrize(("ttl", "seconds"), [("1h", 3600), ("90m", 5400), ("7d", 604_800), ("52w", 31_449_600)])
def test_a_key_is_logged_for_the_time_given(keeper: Desk, ttl: str, seconds: int) -> None:
    done = keeper("set-prompt-logging", "--key", key_of(keeper).prefix, "--ttl", ttl)

    assert done.exit_code == 0
    assert key_of(keeper).prompt_log_ttl_s == seconds
    assert keeper.told[-1] == ("t1", (("k1", 2),))
    assert keeper.register.books.audit[-1].change == "set_prompt_log"


def test_logging_is_taken_away_even_without_a_secret(keeper: Desk) -> None:
    prefix = key_of(keeper).prefix
    keeper("set-prompt-logging", "--key", prefix, "--ttl", "7d")
    del keeper.environ["PROMPT_LOG_KEY"]

    done = keeper("set-prompt-logging", "--key", prefix, "--off")

    assert "are not logged" in done.stdout
    assert key_of(keeper).prompt_log_ttl_s is None


def test_what_is_set_is_shown(keeper: Desk) -> None:
    prefix = key_of(keeper).prefix
    assert "not logged" in keeper("show-key", "--prefix", prefix).stdout
    keeper("set-prompt-logging", "--key", prefix, "--ttl", "36h")

    assert "kept for 36h" in keeper("show-key", "--prefix", prefix).stdout
    (listed,) = json.loads(keeper("list-keys", "--tenant", "acme", "--json").stdout)
    assert listed["prompt_log_ttl_s"] == 36 * 3600


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ttl", "59m"], "within 1h to 365d"),
        (["--ttl", "366d"], "within 1h to 365d"),
        (["--ttl", "soon"], "write 12h, 30d or 4w"),
        (["--ttl", "2027-01-31"], "not a span"),
        ([], "--ttl or --off"),
        (["--ttl", "7d", "--off"], "--ttl or --off"),
    ],
)
def test_what_cannot_be_ordered_is_told(keeper: Desk, options: list[str], words: str) -> None:
    done = keeper("set-prompt-logging", "--key", key_of(keeper).prefix, *options)

    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_without_a_secret_logging_is_refused_with_the_remedy(acme: Desk) -> None:
    acme("create-key", "--tenant", "acme", "--name", "k")

    done = acme("set-prompt-logging", "--key", key_of(acme).prefix, "--ttl", "7d")

    assert done.exit_code == 1
    assert "PROMPT_LOG_KEY is not set" in done.stderr
    assert "openssl rand -hex 32" in done.stderr
    assert key_of(acme).prompt_log_ttl_s is None


def test_a_list_has_no_word_of_what_was_said(keeper: Desk) -> None:
    request_id = keep(keeper)

    done = keeper("prompts", "list", "--tenant", "acme")

    assert done.exit_code == 0
    assert f"req_{request_id}" in done.stdout
    assert key_of(keeper).prefix in done.stdout
    assert "wombat" not in done.output
    assert keeper.register.books.audit[-1].change == "list_prompts"


def test_a_list_in_json_tells_when_each_expires(keeper: Desk) -> None:
    keep(keeper, cut=True)

    (one,) = json.loads(keeper("prompts", "list", "--tenant", "acme", "--json").stdout)

    assert one["expires_at"] > one["at"]
    assert (one["prompt_bytes"], one["prompt_cut"], one["answer_cut"]) == (len(PROMPT), True, False)


def test_a_list_looks_back_as_far_as_it_is_told(keeper: Desk) -> None:
    now = keeper.register.now()
    keep(keeper, 1, at=now - HOUR * 0.9)
    keep(keeper, 2)

    listed = json.loads(keeper("prompts", "list", "--tenant", "acme", "--since", "10m", "--json").stdout)

    assert [one["request_id"][-1] for one in listed] == ["2"]


def test_an_empty_list_says_how_to_fill_it_and_an_unknown_tenant_is_told(keeper: Desk) -> None:
    assert "set-prompt-logging" in keeper("prompts", "list", "--tenant", "acme").stdout
    assert "Did you mean acme?" in keeper("prompts", "list", "--tenant", "acm").stderr


@pytest.mark.parametrize("form", ["{}", "req_{}", "REQ_{}"])
def test_an_entry_is_shown_readable_and_harmless(keeper: Desk, form: str) -> None:
    done = keeper("prompts", "show", form.format(keep(keeper)))

    assert done.exit_code == 0
    assert "    a \\u001b[2J wombat\n    in two lines\n" in done.stdout
    assert "    a numbat\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert [row.actor for row in keeper.register.books.audit if row.change == "show_prompt"] != []


def test_what_was_cut_says_so(keeper: Desk) -> None:
    done = keeper("prompts", "show", keep(keeper, cut=True))

    assert done.stdout.count("(cut:") == 1


def test_an_entry_in_json_has_both_sides(keeper: Desk) -> None:
    shown = json.loads(keeper("prompts", "show", keep(keeper), "--json").stdout)

    assert shown["prompt"] == [{"who": "user", "text": "a \x1b[2J wombat\nin two lines"}]
    assert shown["answer"] == [{"who": "answer", "text": "a numbat"}]


def test_raw_is_what_was_kept_byte_for_byte(keeper: Desk) -> None:
    done = keeper("prompts", "show", keep(keeper), "--raw")

    assert done.stdout_bytes == PROMPT + b"\n" + ANSWER


def test_what_is_not_kept_is_told(keeper: Desk) -> None:
    done = keeper("prompts", "show", "0" * 32)

    assert done.exit_code == 1
    assert "Nothing is kept of req_0000" in done.stderr


def test_a_key_that_is_gone_is_told(keeper: Desk) -> None:
    request_id = keep(keeper)
    keeper.hour_keys.stored.clear()

    done = keeper("prompts", "show", request_id)

    assert done.exit_code == 1
    assert "hour key is gone" in done.stderr
    assert "wombat" not in done.output


def test_another_secret_is_told(keeper: Desk) -> None:
    request_id = keep(keeper)
    keeper.encryption = FakeEncryption([b"another"])

    done = keeper("prompts", "show", request_id)

    assert "another PROMPT_LOG_KEY" in done.stderr


def test_an_entry_that_was_changed_is_not_shown(keeper: Desk) -> None:
    request_id = keep(keeper)
    rows = keeper.register.kept.rows
    rows[request_id] = attrs.evolve(rows[request_id], prompt=rows[request_id].answer)

    done = keeper("prompts", "show", request_id)

    assert done.exit_code == 1
    assert "was changed in the database" in done.stderr


@pytest.mark.parametrize("name", ["PROMPT_LOG_KEY", "REDIS_URL"])
def test_what_showing_needs_is_told(keeper: Desk, name: str) -> None:
    request_id = keep(keeper)
    del keeper.environ[name]

    done = keeper("prompts", "show", request_id)

    assert done.exit_code == 1
    assert f"{name} is not set" in done.stderr
    assert [row for row in keeper.register.books.audit if row.change == "show_prompt"] == []


@pytest.mark.parametrize("text", ["", "req_12", "x" * 32, "req_" + "0" * 31 + "Z"])
def test_what_is_no_request_id_is_told(keeper: Desk, text: str) -> None:
    done = keeper("prompts", "show", text)

    assert done.exit_code == 2
    assert "request id" in done.stderr
