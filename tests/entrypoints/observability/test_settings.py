"""Who has a listener for metrics: every gateway that serves, and a quickstart that is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.cli.session import Session
from entrypoints.settings import Settings, SettingsError


def test_a_gateway_listens_on_this_machine_alone() -> None:
    assert Settings.from_environment({}).metrics_bind == "127.0.0.1:9464"


def test_a_quickstart_listens_only_when_it_is_told_to(tmp_path: Path) -> None:
    env_file = tmp_path / "own.env"
    env_file.write_text("METRICS_BIND=127.0.0.1:9001\n")

    bound = [
        Session(environ=environ, env_file=file).settings_of_quickstart(tmp_path / "state").metrics_bind
        for environ, file in [({}, None), ({"METRICS_BIND": "127.0.0.1:9464"}, None), ({}, env_file)]
    ]

    assert bound == ["off", "127.0.0.1:9464", "127.0.0.1:9001"]


@pytest.mark.parametrize("wrong", ["9464", "localhost", "on", "127.0.0.1:99999"])
def test_a_wrong_address_says_what_a_right_one_is(wrong: str) -> None:
    with pytest.raises(SettingsError) as failed:
        Settings.from_environment({"METRICS_BIND": wrong})

    sentence = "METRICS_BIND must be an address and a port, as 127.0.0.1:9464 or [::1]:9464, or off"
    assert failed.value.problems == (f"{sentence}, and is {wrong!r} (default: 127.0.0.1:9464).",)


def test_traces_are_off_or_otlp() -> None:
    assert Settings.from_environment({}).traces == "off"
    with pytest.raises(SettingsError, match="TRACES must be off or otlp"):
        Settings.from_environment({"TRACES": "jaeger"})
