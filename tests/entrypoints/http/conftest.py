import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("modest", max_examples=60, deadline=None)
settings.load_profile("modest")

RECORDINGS = Path(__file__).parents[2] / "recordings"


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """What a real Ollama answered, as JSON."""

    def answer(name: str) -> Any:
        exchange = json.loads((RECORDINGS / f"{name}.json").read_text())
        return json.loads("".join(text for _, text in exchange["response"]["chunks"]))

    return answer
