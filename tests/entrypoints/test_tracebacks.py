from __future__ import annotations

import json

import pytest

from entrypoints import tracebacks

SECRET = "wombat-in-the-error"


def look_up() -> None:
    raise KeyError(SECRET)


def fail() -> None:
    try:
        look_up()
    except KeyError as error:
        error.add_note(SECRET)
        inner = [ValueError(SECRET), SyntaxError(SECRET, ("<string>", 1, 1, SECRET))]
        raise ExceptionGroup(SECRET, inner) from error


def caught() -> Exception:
    with pytest.raises(ExceptionGroup) as met:
        fail()
    return met.value


def test_a_traceback_names_kinds_and_places() -> None:
    told = tracebacks.of(caught())

    for kind in ("KeyError", "ExceptionGroup", "ValueError", "SyntaxError"):
        assert f"{kind}: withheld (" in told
    assert f"{__file__}:" in told
    assert " in fail" in told


@pytest.mark.parametrize("form", [tracebacks.as_text, tracebacks.as_objects])
def test_a_traceback_never_has_the_errors_own_text(form: object) -> None:
    error = caught()
    assert callable(form)

    assert SECRET not in json.dumps(form((type(error), error, error.__traceback__)))
