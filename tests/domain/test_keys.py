from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.keys import ALPHABET, KeyState, PresentedKey, Secret, key_state, mint, read_key
from tests.builders import FORMER_PEPPER, PEPPER

base62 = st.text(alphabet=ALPHABET, min_size=1)
prefixes = st.text(alphabet=ALPHABET, min_size=8, max_size=8)
secrets = st.text(alphabet=ALPHABET, min_size=32, max_size=32)
PREFIX, SECRET = "abcd1234", "0123456789ABCDEFGHIJabcdefghij01"
KEY = mint(PREFIX, SECRET, PEPPER)
TEXT = KEY.secret.unwrap()
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(prefixes, secrets, st.binary(min_size=16, max_size=64))
def test_a_minted_key_is_read_back(prefix: str, secret: str, pepper: bytes) -> None:
    made = mint(prefix, secret, pepper)

    assert read_key(made.secret.unwrap(), [pepper]) == made


@given(prefixes, secrets)
def test_a_key_is_51_characters_with_its_prefix_in_front(prefix: str, secret: str) -> None:
    text = mint(prefix, secret, PEPPER).secret.unwrap()

    assert len(text) == 51
    assert text.startswith(f"nz_{prefix}{secret}")
    assert mint(prefix, secret, PEPPER).prefix == f"nz_{prefix}"


@given(st.integers(0, 50), st.characters(codec="utf-8"))
def test_any_changed_character_is_refused(at: int, other: str) -> None:
    changed = TEXT[:at] + other + TEXT[at + 1 :]

    assert (read_key(changed, [PEPPER]) is None) == (changed != TEXT)


@given(st.text(alphabet="nz_" + ALPHABET, max_size=60))
def test_what_was_not_minted_is_refused(text: str) -> None:
    assert read_key(text, [PEPPER]) is None


@pytest.mark.parametrize("at", range(51))
def test_a_lost_or_doubled_character_is_refused(at: int) -> None:
    assert read_key(TEXT[:at] + TEXT[at + 1 :], [PEPPER]) is None
    assert read_key(TEXT[:at] + TEXT[at] + TEXT[at:], [PEPPER]) is None


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "\t{}", "{}\0", "Bearer {}", "'{}'", "{}=", "\ufeff{}"])
def test_anything_around_a_key_is_refused(around: str) -> None:
    assert read_key(around.format(TEXT), [PEPPER]) is None


@pytest.mark.parametrize("zero", [0x660, 0x966, 0xFF10, 0x1D7CE])
def test_digits_of_other_scripts_are_no_digits(zero: int) -> None:
    translated = TEXT.translate({ord(str(digit)): zero + digit for digit in range(10)})

    assert translated != TEXT
    assert read_key(translated, [PEPPER]) is None


def test_a_key_of_a_former_pepper_is_good_while_the_pepper_is_in_the_ring() -> None:
    former = mint(PREFIX, SECRET, FORMER_PEPPER)

    assert read_key(former.secret.unwrap(), [PEPPER, FORMER_PEPPER]) == former
    assert read_key(former.secret.unwrap(), [PEPPER]) is None
    assert read_key(former.secret.unwrap(), []) is None


def test_each_pepper_gives_another_check_and_another_fingerprint() -> None:
    former = mint(PREFIX, SECRET, FORMER_PEPPER)

    assert former.secret != KEY.secret
    assert former.fingerprint != KEY.fingerprint
    assert len(KEY.fingerprint) == 32


@pytest.mark.parametrize(
    ("prefix", "secret"),
    [
        ("abcd123", SECRET),
        ("abcd12345", SECRET),
        (PREFIX, SECRET[1:]),
        (PREFIX, SECRET + "0"),
        ("abcd123_", SECRET),
        ("abcd123-", SECRET),
        ("abcd123 ", SECRET),
        ("abcd123٤", SECRET),
        ("abcd123é", SECRET),
        (PREFIX, SECRET[1:] + "٤"),
        ("", ""),
    ],
)
def test_a_key_is_made_of_base62_only(prefix: str, secret: str) -> None:
    with pytest.raises(ValueError, match="8 and 32 base62") as met:
        mint(prefix, secret, PEPPER)

    assert SECRET[1:-1] not in repr(met.value)


@given(st.text(alphabet=ALPHABET, min_size=12))
def test_a_secret_is_never_seen(text: str) -> None:
    secret = Secret(text)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032

    assert not any(text in form for form in shown)
    assert secret.unwrap() == text


def test_a_secret_stays_shut_when_values_are_taken_apart() -> None:
    assert TEXT not in repr(attrs.asdict(KEY))
    assert TEXT not in repr(attrs.astuple(KEY))


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_presented_key_shows_its_prefix_alone() -> None:
    shown = f"{KEY!r} {KEY} {[KEY]}"

    assert "nz_abcd1234" in shown
    assert SECRET not in shown
    assert TEXT[-8:] not in shown
    assert repr(KEY.fingerprint) not in shown


def test_a_read_key_is_a_value() -> None:
    again = read_key(TEXT, [PEPPER])

    assert isinstance(again, PresentedKey)
    assert hash(again) == hash(KEY)


@pytest.mark.parametrize(
    ("revoked_at", "expires_at", "state"),
    [
        (None, None, KeyState.ACTIVE),
        (None, NOW + timedelta(microseconds=1), KeyState.ACTIVE),
        (None, NOW, KeyState.EXPIRED),
        (None, NOW - timedelta(days=1), KeyState.EXPIRED),
        (NOW, None, KeyState.REVOKED),
        (NOW + timedelta(days=1), None, KeyState.REVOKED),
        (NOW, NOW - timedelta(days=1), KeyState.REVOKED),
    ],
)
def test_the_state_of_a_key(revoked_at: datetime | None, expires_at: datetime | None, state: KeyState) -> None:
    assert key_state(revoked_at=revoked_at, expires_at=expires_at, now=NOW) is state
