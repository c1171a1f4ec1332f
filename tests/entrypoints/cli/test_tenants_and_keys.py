"""Tenants and keys at the command line."""

from __future__ import annotations

import getpass
import json
import re
from datetime import timedelta

import attrs
import pytest

from domain.faults import FaultCode, StoreUnavailable
from domain.keys import read_key
from tests.entrypoints.cli.conftest import PEPPER, Desk

KEY = re.compile(r"nz_[0-9A-Za-z]{48}")


def make_key(desk: Desk, *more: str) -> str:
    made = desk("create-key", "--tenant", "acme", "--name", "ci", *more)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_a_tenant_is_made_listed_and_shown(acme: Desk) -> None:
    listed = acme("list-tenants", "--json")
    shown = acme("show-tenant", "--tenant", "acme")

    (tenant,) = json.loads(listed.stdout)
    assert tenant["name"] == "acme"
    assert tenant["limits"] == {"rpm": None, "tpm": None, "concurrency": None}
    assert tenant["models"] is None
    assert "active" in shown.stdout
    assert "no key yet" in shown.stdout


def test_who_acts_is_the_user_of_the_operating_system(acme: Desk) -> None:
    assert acme.register.actors == [f"cli:{getpass.getuser()}"]


def test_sudo_is_seen_through_only_by_root(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.environ["SUDO_USER"] = "alice"
    monkeypatch.setattr("os.getuid", lambda: 0)
    desk("create-tenant", "--name", "one")

    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    desk("create-tenant", "--name", "two")

    assert desk.register.actors == ["cli:alice", "cli:uid4000000"]


def test_a_name_can_be_taken_once(acme: Desk) -> None:
    again = acme("create-tenant", "--name", "acme")

    assert again.exit_code == 1
    assert again.stderr == "Error: There is a tenant `acme` already. Choose another name.\n"


def test_an_unknown_tenant_is_answered_with_similar_names(acme: Desk) -> None:
    typo = acme("list-keys", "--tenant", "Acmee")
    strange = acme("usage", "--tenant", "zzz")

    assert typo.stderr == "Error: There is no tenant Acmee. Did you mean acme?\n"
    assert strange.stderr == "Error: There is no tenant zzz. List them with `neuronetz-gateway list-tenants`.\n"
    assert typo.exit_code == strange.exit_code == 1


@pytest.mark.parametrize("name", ["", " a", "a\x1b[31m", "a" * 101, "a\nb"])
def test_a_name_is_printable_and_bounded(desk: Desk, name: str) -> None:
    assert desk("create-tenant", "--name", name).exit_code == 2


def test_the_key_is_printed_once_alone_on_stdout(acme: Desk) -> None:
    made = acme("create-key", "--tenant", "acme", "--name", "ci")

    assert KEY.fullmatch(made.stdout.rstrip("\n"))
    assert not KEY.search(made.stderr)
    assert "shown this once" in made.stderr
    later = acme("list-keys", "--tenant", "acme").output + acme("show-tenant", "--tenant", "acme").output
    assert made.stdout.strip() not in later


def test_the_key_passes_the_check_and_only_its_hash_is_kept(acme: Desk) -> None:
    text = make_key(acme)

    presented = read_key(text, [PEPPER.encode()])
    assert presented is not None
    assert list(acme.register.hashes) == [presented.prefix]
    assert text not in repr(acme.register.books)


def test_json_of_a_new_key_holds_it_once(acme: Desk) -> None:
    made = acme("create-key", "--tenant", "acme", "--name", "ci", "--json")

    document = json.loads(made.stdout)
    assert KEY.fullmatch(document["key"])
    assert document["prefix"] == document["key"][:11]
    assert made.stdout.count(document["key"]) == 1


def test_a_span_is_counted_from_now(acme: Desk) -> None:
    make_key(acme, "--expires", "30d")

    (key,) = acme.register.by_prefix.values()
    assert key.expires_at == acme.clock.now() + timedelta(days=30)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2027-02-01", "2027-02-01T00:00:00Z"),
        ("2027-02-01T18:30", "2027-02-01T18:30:00Z"),
        ("2027-02-01T18:30:00+02:00", "2027-02-01T16:30:00Z"),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(acme: Desk, when: str, expected: str) -> None:
    made = acme("create-key", "--tenant", "acme", "--name", "x", "--expires", when, "--json")

    assert json.loads(made.stdout)["expires_at"] == expected


def test_an_expiry_in_the_past_is_refused(acme: Desk) -> None:
    late = acme("create-key", "--tenant", "acme", "--name", "ci", "--expires", "2020-01-01")

    assert late.exit_code == 1
    assert "is in the past. Give a later one, or a span such as 30d." in late.stderr
    assert not acme.register.by_prefix


@pytest.mark.parametrize("when", ["tomorrow", "0d", "30y", "-1d", "999999999d"])
def test_a_time_that_is_none_is_a_usage_error(acme: Desk, when: str) -> None:
    assert acme("create-key", "--tenant", "acme", "--name", "ci", "--expires", when).exit_code == 2


def test_without_a_pepper_no_key_is_made(acme: Desk) -> None:
    del acme.environ["KEY_PEPPER"]

    made = acme("create-key", "--tenant", "acme", "--name", "ci")

    assert made.exit_code == 1
    assert made.stderr.startswith("Error: KEY_PEPPER is not set: make one with `openssl rand -hex 32`")


def test_revoking_is_announced_before_the_command_returns(acme: Desk) -> None:
    prefix = make_key(acme)[:11]
    acme.announcements.made.clear()

    revoked = acme("revoke-key", "--prefix", prefix)

    assert revoked.stdout == f"Key {prefix} (ci, of acme) is revoked.\n"
    assert acme.told == [("t1", (("k1", 2),))]


def test_when_redis_is_away_a_change_is_made_with_a_warning(acme: Desk) -> None:
    prefix = make_key(acme)[:11]
    acme.announcements.away = True

    revoked = acme("revoke-key", "--prefix", prefix)

    assert revoked.exit_code == 0
    assert "Redis could not be told" in revoked.stderr
    assert acme.register.by_prefix[prefix].revoked_at is not None


def test_a_whole_key_is_not_taken_for_a_prefix_nor_repeated(acme: Desk) -> None:
    text = make_key(acme)

    refused = acme("revoke-key", "--prefix", text)

    assert refused.exit_code == 2
    assert text[11:] not in refused.output
    assert acme.register.by_prefix[text[:11]].revoked_at is None


def test_rotation_ends_the_old_key_and_announces_both(acme: Desk) -> None:
    old = make_key(acme)[:11]
    acme.announcements.made.clear()

    rotated = acme("rotate-key", "--prefix", old)

    assert KEY.fullmatch(rotated.stdout.strip())
    assert acme.register.by_prefix[old].revoked_at is not None
    assert acme.told == [("t1", (("k2", 1), ("k1", 2)))]


def test_a_revoked_key_is_not_rotated(acme: Desk) -> None:
    prefix = make_key(acme)[:11]
    acme("revoke-key", "--prefix", prefix)

    rotated = acme("rotate-key", "--prefix", prefix)

    assert rotated.exit_code == 1
    assert "was revoked" in rotated.stderr


def test_an_unknown_key_is_told_with_a_remedy(acme: Desk) -> None:
    shown = acme("show-key", "--prefix", "nz_00000000")

    assert shown.stderr == (
        "Error: There is no key nz_00000000. List keys with `neuronetz-gateway list-keys --tenant NAME`.\n"
    )


def test_suspending_is_announced_and_undone(acme: Desk) -> None:
    suspended = acme("suspend-tenant", "--tenant", "acme", "--json")
    resumed = acme("resume-tenant", "--tenant", "acme", "--json")

    assert [json.loads(each.stdout)["state"] for each in (suspended, resumed)] == ["suspended", "active"]
    assert acme.told == [("t1", (("t1", 2),)), ("t1", (("t1", 3),))]


def test_an_unreachable_database_is_one_sentence(acme: Desk) -> None:
    acme.store_fault = StoreUnavailable(FaultCode.IDENTITY_UNAVAILABLE, "PostgreSQL cannot answer.")
    acme.trouble = "connection refused."

    listed = acme("list-tenants")

    assert listed.exit_code == 1
    assert listed.stderr == (
        "Error: PostgreSQL cannot answer. Connection refused. Check DATABASE_URL, and that PostgreSQL runs there.\n"
    )


def test_an_unmigrated_database_is_told_how_to_migrate(acme: Desk) -> None:
    acme.store_fault = StoreUnavailable(FaultCode.IDENTITY_UNAVAILABLE, "PostgreSQL cannot answer.")
    acme.trouble = "It is not migrated: run `neuronetz-gateway migrate`."

    assert acme("list-tenants").stderr.endswith("run `neuronetz-gateway migrate`.\n")


def test_a_terminal_command_in_a_name_is_shown_as_an_escape(acme: Desk) -> None:
    (row,) = acme.register.books.tenants.values()
    row.shown = attrs.evolve(row.shown, name="\x1b[2Jacme")

    assert "\x1b" not in acme("list-tenants").output
