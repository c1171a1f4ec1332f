from __future__ import annotations

import pytest

from adapters.ollama.loggable import loggable, loggable_type

SECRET = "my-secret-prompt"


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        (
            "llama runner process has terminated: exit status 2 error loading model: /root/.ollama/models/blobs/x",
            "llama runner process has terminated; exit status 2; error loading model",
        ),
        ("llama runner process has terminated: signal: killed", "llama runner process has terminated; signal: killed"),
        (
            "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
            "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
        ),
        ("llama runner process has terminated: CUDA error: out of memory\n  current device: 0, in function alloc",
         "llama runner process has terminated; CUDA error: out of memory"),
        ("ROCm error: invalid device function", "ROCm error: invalid device function"),
        ("unable to allocate CUDA0 buffer", "unable to allocate CUDA0 buffer"),
        ("timed out waiting for llama runner to start - progress 0.53 - ",
         "timed out waiting for llama runner to start - progress 0.53"),
        ("an error was encountered while running the model: unexpected EOF",
         "an error was encountered while running the model; unexpected EOF"),
        ("server busy, please try again.  maximum pending requests exceeded",
         "server busy, please try again; maximum pending requests exceeded"),
        ("model 'nope' not found", "not found"),
        ("registry.ollama.ai/library/rand:latest does not support tools", "does not support tools"),
        ('option "temperature" must be of type float32', "must be of type float32"),
        ('invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object', "invalid format"),
        ('Post "http://127.0.0.1:38123/completion": EOF', "withheld"),
        ("<html><title>502 Bad Gateway</title><center>nginx</center>", "Bad Gateway"),
        ("", "withheld"),
    ],
)  # fmt: skip
def test_a_known_failure_is_logged_in_its_own_words(said: str, logged: str) -> None:
    assert loggable(said) == logged


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        f'invalid format: "{SECRET}"; expected "json"',
        f"model '{SECRET}' not found",
        f"llama runner process has terminated: {SECRET}",
        f"{SECRET} does not support tools",
        f"CUDA error: {SECRET}",
        f'option "{SECRET}" must be of type int',
        f"does not support tools{SECRET}",
        f"model requires more system memory ({SECRET}) than is available",
        "exit status 4111111111111111",
        "x" * 10_000 + SECRET,
    ],
)
def test_what_a_caller_may_have_sent_is_not_logged(said: str) -> None:
    assert SECRET not in loggable(said)
    assert "4111" not in loggable(said)


def test_many_failures_at_once_are_logged_in_a_few_words() -> None:
    logged = loggable(" ".join(f"exit status {number}" for number in range(1000)))

    assert logged == "exit status 0; exit status 1; exit status 2; exit status 3"


@pytest.mark.parametrize(
    ("sent", "logged"),
    [("text/html", "text/html"), ("", ""), (f"application/{SECRET}", "withheld"), (SECRET, "withheld")],
)
def test_only_a_common_media_type_is_logged(sent: str, logged: str) -> None:
    assert loggable_type(sent) == logged
