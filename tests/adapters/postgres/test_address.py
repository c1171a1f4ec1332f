"""Addresses are read by libpq's rules, and the password is never shown."""

from __future__ import annotations

import pytest

from adapters.postgres.address import DatabaseAddress


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5/d", {"host": "h", "port": "5", "user": "u", "password": "p", "dbname": "d"}),
        ("postgres://u:p%40@h/d", {"password": "p@"}),
        ("postgresql://app:PW@/db?host=/run/pg", {"host": "/run/pg", "dbname": "db"}),
        ("postgresql+psycopg://u:p@h/d", {"host": "h"}),
        ("host=h dbname=d", {"host": "h", "dbname": "d"}),
        ("postgresql://h/d?sslmode=verify-full", {"sslmode": "verify-full"}),
        ("postgresql://h/d?connect_timeout=9&tcp_user_timeout=7", {"connect_timeout": 2, "tcp_user_timeout": "7"}),
    ],
)
def test_an_address_is_read(url: str, expected: dict[str, object]) -> None:
    assert expected.items() <= DatabaseAddress.read(url).parameters(name="test").items()


@pytest.mark.parametrize("url", ["", "mysql://h/d", "postgresql://u:top%zzsecret@h/d", "nonsense"])
def test_what_is_no_address_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as error:
        DatabaseAddress.read(url)

    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_the_password_is_not_in_the_repr() -> None:
    assert "topsecret" not in repr(DatabaseAddress.read("postgresql://u:topsecret@h/d"))


def test_settings_and_the_operators_own_options_go_along() -> None:
    address = DatabaseAddress.read("postgresql://h/d?options=-c%20geqo%3Doff")

    options = address.parameters(name="test", settings={"statement_timeout": "5 s"})["options"]

    assert options.startswith("-c geqo=off ")
    assert "-c search_path=neuronetz,pg_catalog" in options
    assert "-c statement_timeout=5\\ s" in options
