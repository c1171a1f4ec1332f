"""The list of backends at the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from entrypoints.backend_list import read_backends
from entrypoints.env_file import read
from tests.entrypoints.cli.conftest import Desk

TOKEN = "tok'en\"$x\\n`#"


def line_of(stdout: str) -> str:
    """The value that a printed line gives to a shell."""
    script = f'{stdout.strip()}\nprintf %s "$OLLAMA_BACKENDS"'
    return subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True).stdout


def names(text: str) -> list[str]:
    return [backend.name for backend in read_backends(text)]


def test_the_printed_line_means_the_same_to_a_shell(desk: Desk) -> None:
    added = desk("add-backend", "gpu1", "http://gpu1:11434/", "--token", TOKEN, "--header", "X-Api-Key")

    (backend,) = read_backends(line_of(added.stdout))
    assert (backend.name, backend.url, backend.header, backend.scheme) == ("gpu1", "http://gpu1:11434", "X-Api-Key", "")
    assert backend.token is not None
    assert backend.token.unwrap() == TOKEN


def test_the_probe_carries_the_headers_of_run_time(desk: Desk) -> None:
    added = desk("add-backend", "gpu1", "http://gpu1:11434", "--token", "-", typed="s3cret\n")

    assert desk.probed[0].headers()["Authorization"] == "Bearer s3cret"
    assert "gpu1 answers: Ollama 0.33.1, 1 model." in added.stderr


def test_a_backend_that_does_not_answer_is_not_added(desk: Desk) -> None:
    desk.down = True

    refused = desk("add-backend", "gpu1", "http://gpu1:11434")
    unasked = desk("add-backend", "gpu1", "http://gpu1:11434", "--no-validate")

    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "--no-validate" in refused.stderr
    assert names(line_of(unasked.stdout)) == ["gpu1"]


def test_a_name_is_overwritten_only_with_replace_which_keeps_its_place(desk: Desk) -> None:
    entries = [{"name": name, "url": f"http://{name}:1", "max_in_flight": 7} for name in ("a", "b", "c")]
    desk.environ["OLLAMA_BACKENDS"] = json.dumps(entries)

    refused = desk("add-backend", "b", "http://new:1")
    replaced = desk("add-backend", "b", "http://new:1", "--replace")

    assert refused.exit_code == 1
    assert "add --replace" in refused.stderr
    backends = read_backends(line_of(replaced.stdout))
    assert [(each.name, each.url) for each in backends] == [
        ("a", "http://a:1"),
        ("b", "http://new:1"),
        ("c", "http://c:1"),
    ]
    assert backends[1].max_in_flight == 7


def test_a_base_url_is_kept_as_the_backend_default(desk: Desk) -> None:
    desk.environ["OLLAMA_BASE_URL"] = "http://old:11434"

    added = desk("add-backend", "gpu1", "http://gpu1:11434")

    assert [(each.name, each.url) for each in read_backends(line_of(added.stdout))] == [
        ("default", "http://old:11434"),
        ("gpu1", "http://gpu1:11434"),
    ]


def test_a_file_is_rewritten_and_no_token_is_shown(desk: Desk) -> None:
    file = Path("gateway.env")
    file.write_text("# mine\nexport OLLAMA_BACKENDS='[]' # list\nPORT=1\n", encoding="utf-8")
    file.chmod(0o640)

    added = desk("add-backend", "gpu1", "http://gpu1:11434", "--token", "s3cret", "--write-env", str(file))

    assert added.exit_code == 0
    assert "s3cret" not in added.output
    assert "chmod 600" in added.stderr
    before, changed, after = file.read_text(encoding="utf-8").splitlines()
    assert (before, after) == ("# mine", "PORT=1")
    assert changed.startswith("export OLLAMA_BACKENDS='[{")
    assert changed.endswith("' # list")
    assert names(read(file)["OLLAMA_BACKENDS"]) == ["gpu1"]


def test_a_missing_file_is_made_for_its_owner_only(desk: Desk) -> None:
    desk("add-backend", "gpu1", "http://gpu1:11434", "--write-env", "new.env")

    assert Path("new.env").stat().st_mode & 0o777 == 0o600


def test_without_a_name_the_file_is_dot_env(desk: Desk) -> None:
    added = desk("add-backend", "gpu1", "http://gpu1:11434", "--write-env")
    removed = desk("remove-backend", "gpu1", "--write-env", "--dry-run")

    assert (added.exit_code, removed.exit_code) == (0, 0), added.stderr + removed.stderr
    assert names(read(Path(".env"))["OLLAMA_BACKENDS"]) == ["gpu1"]


def test_the_file_says_which_backends_there_are(desk: Desk) -> None:
    desk.environ["OLLAMA_BACKENDS"] = '[{"name":"elsewhere","url":"http://e:1"}]'
    desk("add-backend", "a", "http://a:1", "--write-env", "x.env")

    added = desk("add-backend", "b", "http://b:1", "--write-env", "x.env")

    assert names(read(Path("x.env"))["OLLAMA_BACKENDS"]) == ["elsewhere", "a", "b"]
    assert "that wins over the file" in added.stderr


def test_a_dry_run_writes_nothing_and_shows_no_token(desk: Desk) -> None:
    file = Path("x.env")
    command = ("add-backend", "gpu1", "http://gpu1:11434", "--token", "s3cret", "--dry-run")

    printed = desk(*command)
    named = desk(*command, "--write-env", str(file))

    for shown in (printed, named):
        assert shown.stdout == 'OLLAMA_BACKENDS=\'[{"name":"gpu1","url":"http://gpu1:11434","token":"***"}]\'\n'
    assert not file.exists()


def test_a_backend_is_removed_by_name(desk: Desk) -> None:
    desk.environ["OLLAMA_BACKENDS"] = '[{"name":"a","url":"http://a:1"},{"name":"b","url":"http://b:1"}]'

    removed = desk("remove-backend", "a")
    unknown = desk("remove-backend", "z")

    assert names(line_of(removed.stdout)) == ["b"]
    assert unknown.stderr == "Error: There is no backend z; there are: a, b.\n"


def test_removing_the_last_is_done_with_a_warning(desk: Desk) -> None:
    desk.environ["OLLAMA_BACKENDS"] = '[{"name":"a","url":"http://a:1"}]'

    removed = desk("remove-backend", "a")

    assert line_of(removed.stdout) == "[]"
    assert "last backend" in removed.stderr


def test_the_list_shows_health_and_no_token(desk: Desk) -> None:
    desk.environ["OLLAMA_BACKENDS"] = '[{"name":"a","url":"http://a:1","token":"s3cret"}]'

    people = desk("list-backends")
    (backend,) = json.loads(desk("list-backends", "--json").stdout)

    assert "s3cret" not in people.output
    assert " Bearer *** " in people.stdout
    assert backend == {
        "name": "a",
        "url": "http://a:1",
        "token": "***",
        "header": "Authorization",
        "scheme": "Bearer",
        "max_in_flight": 4,
        "healthy": True,
        "version": "0.33.1",
        "models": ["llama3.2:latest"],
        "trouble": None,
    }


def test_a_backend_that_is_down_is_listed_as_such(desk: Desk) -> None:
    desk.down = True

    asked = json.loads(desk("list-backends", "--json").stdout)
    unasked = json.loads(desk("list-backends", "--json", "--no-validate").stdout)

    assert asked[0]["healthy"] is False
    assert unasked[0]["healthy"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["a b", "http://h:1"],
        ["a", "gpu1:11434"],
        ["a", "http://u:s3cret@h:1"],
        ["a", "http://169.254.169.254"],
        ["a", "http://[fe80::1]:1"],
        ["a", "http://h:1", "--header", "Host", "--token", "s3cret"],
        ["a", "http://h:1", "--token", "s3cret\n"],
        ["a", "http://h:1", "--scheme", "Basic"],
    ],
)
def test_what_cannot_be_a_backend_is_a_usage_error_without_secrets(desk: Desk, arguments: list[str]) -> None:
    refused = desk("add-backend", *arguments)

    assert refused.exit_code == 2
    assert "s3cret" not in refused.output
    assert desk.probed == []


def test_a_broken_list_is_told_and_not_replaced(desk: Desk) -> None:
    Path("x.env").write_text("OLLAMA_BACKENDS=[s3cret\n", encoding="utf-8")

    refused = desk("add-backend", "a", "http://a:1", "--write-env", "x.env")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: In x.env, OLLAMA_BACKENDS is not JSON: let `neuronetz-gateway add-backend` write it.\n"
    )
    assert Path("x.env").read_text(encoding="utf-8") == "OLLAMA_BACKENDS=[s3cret\n"
