import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = Path(__file__).parents[2] / "recordings"


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """What a real Ollama answered, as JSON."""

    def answer(name: str) -> Any:
        exchange = json.loads((RECORDINGS / f"{name}.json").read_text())
        return json.loads("".join(text for _, text in exchange["response"]["chunks"]))

    return answer
