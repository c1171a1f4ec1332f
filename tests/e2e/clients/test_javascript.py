"""The JavaScript libraries: what people build with them, and in trouble what they raise and whether they try again."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.e2e.clients.troubles import BROKEN, PATIENT, REFUSED, RETRIES, Scene, Trouble
from tests.e2e.house import House
from tests.e2e.programs import ROOT, program_environment

LIBRARIES = ("openai", "ollama")
_OPENAI_CLASSES = {
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    413: "APIError",
    415: "APIError",
    429: "RateLimitError",
    503: "InternalServerError",
}
EVERY_LIBRARY = pytest.mark.parametrize("library", LIBRARIES)


def class_of(library: str, trouble: Trouble) -> str:
    """openai names a class a status; ollama has one for refusals, and a plain Error inside a stream."""
    if library == "openai":
        return "APIError" if trouble.streamed else _OPENAI_CLASSES[trouble.status]
    return "Error" if trouble.streamed else "ResponseError"


def endings(
    folder: Path, library: str, scene: Scene, *, modes: Sequence[bool], retries: int = 0, task: str = "chat"
) -> Sequence[Any]:
    asked = [
        {**attrs.asdict(scene), "library": library, "task": task, "streamed": mode, "retries": retries}
        for mode in modes
    ]
    done = subprocess.run(
        [shutil.which("node") or "node", str(folder / "calls.mjs")],
        input=json.dumps(asked),
        env=program_environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Sequence[Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def folder(javascript: Path) -> Path:
    """The installed libraries with our program beside them."""
    program = javascript / "calls.mjs"
    program.write_text((ROOT / "tests" / "e2e" / "javascript" / "calls.mjs").read_text())
    return javascript


@pytest.fixture(scope="module")
def scene(clients_house: House) -> Scene:
    return Scene(url=clients_house.url, api_key=clients_house.new_key().text)


def results(folder: Path, library: str, scene: Scene, task: str) -> Sequence[Any]:
    """What a task gives, whole and streamed."""
    found = endings(folder, library, scene, modes=[False, True], task=task)
    assert not any("raised" in ending for ending in found), found
    return [ending["result"] for ending in found]


# -- what people build with -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("library", "task"), [("openai", "chat"), ("openai", "responses"), ("ollama", "chat")])
def test_it_is_served_whole_and_streamed(folder: Path, scene: Scene, library: str, task: str) -> None:
    whole, streamed = results(folder, library, scene, task)

    assert whole == streamed != ""


@EVERY_LIBRARY
def test_it_calls_a_tool_and_is_answered(folder: Path, scene: Scene, library: str) -> None:
    asked = attrs.evolve(scene, text="Use the tool: what is the weather in Bern?")

    for found in results(folder, library, asked, "tool"):
        assert found["called"] == "weather"
        assert found["text"]


@EVERY_LIBRARY
def test_it_structures_its_answer(folder: Path, scene: Scene, library: str) -> None:
    for found in results(folder, library, attrs.evolve(scene, text="Make a note."), "structured"):
        assert found["note"]


@EVERY_LIBRARY
def test_it_sees_the_thinking_of_a_model(folder: Path, scene: Scene, library: str) -> None:
    whole, streamed = results(folder, library, attrs.evolve(scene, model="sim-think"), "thinking")

    assert whole == streamed != ""


@EVERY_LIBRARY
def test_it_embeds_texts(folder: Path, scene: Scene, library: str) -> None:
    """openai asks for base64 by itself and decodes it."""
    for first, second in results(folder, library, attrs.evolve(scene, model="sim-embed"), "embeddings"):
        assert first == second > 0


# -- every error class ----------------------------------------------------------------------------------------------


@EVERY_LIBRARY
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_raises_the_class_that_is_documented_and_is_tried_again_only_if_that_helps(
    clients_house: House, folder: Path, library: str, name: str
) -> None:
    trouble = REFUSED[name]
    retries = 0 if name in PATIENT else RETRIES
    tries = min(trouble.tries, 1 + retries) if library == "openai" else 1

    with trouble.arrange(clients_house) as scene:
        found = endings(folder, library, scene, modes=[False, True], retries=retries)

    for ending in found:
        assert (ending["raised"], ending["status"]) == (class_of(library, trouble), trouble.status)
        assert (ending["code"], ending["requests"]) == (trouble.code, tries)
        assert scene.api_key not in ending["message"]


@EVERY_LIBRARY
@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_raises_and_is_not_asked_for_again(
    clients_house: House, folder: Path, library: str, name: str
) -> None:
    trouble = BROKEN[name]

    with trouble.arrange(clients_house) as scene:
        (found,) = endings(folder, library, scene, modes=[True], retries=RETRIES)

    assert found["raised"] == class_of(library, trouble)
    assert found["requests"] == trouble.tries
    clients_house.settled()
