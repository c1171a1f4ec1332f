"""What both dialects share: rules for tools, schemas, images and stop words, and what every call must have."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from domain.models import MAX_NAME_LENGTH
from domain.refusals import Code, Refusal
from entrypoints.http.fields import DROPPED, Rule, json_object, list_of, size, table, text, whole, wrong

MAX_MESSAGES = 512
"""Ollama tokenises the whole prompt again for each message it drops (`server/prompt.go`): the cost is quadratic."""
MAX_TOOLS = 128
MAX_INPUTS = 512
MAX_IMAGES = 16
MAX_SCHEMA_BYTES = 65_536
_MOST_SEED = 2**31 - 1
_MEMORY_WORDS = re.compile(
    rb"out of memory|cudamalloc|failed to allocate|unable to allocate|insufficient memory|\boom\b", re.IGNORECASE
)
"""Ollama looks for such words in a runner's error text and then expires every loaded model (`server/sched.go`,
`llm/status.go`); an error that echoes a caller's schema must not hold them.
"""
_IMAGE_CHARACTERS = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)

stop_words: Rule = list_of(text, most=16)
_any_object = json_object(MAX_SCHEMA_BYTES)


def stop(value: Any, path: str) -> Any:
    """One stop word, or a list of them; none means "not given"."""
    if isinstance(value, str):
        return [value] if value else DROPPED
    return stop_words(value, path) or DROPPED


def schema(value: Any, path: str) -> dict[str, Any]:
    """A JSON Schema for the answer."""
    found: dict[str, Any] = _any_object(value, path)
    if _MEMORY_WORDS.search(msgspec.json.encode(found)):
        raise wrong(path, "free of words about memory errors; a backend would take them for its own")
    return found


def answer_format(value: Any, path: str) -> Any:
    """Native `format`: "json", a JSON Schema, or nothing."""
    if value in ("", "json"):
        return value or DROPPED
    if not isinstance(value, dict):
        raise wrong(path, '"json" or a JSON Schema object')
    return schema(value, path)


def image(value: Any, path: str) -> str:
    """A base64 image."""
    encoded = text(value, path)
    if not _IMAGE_CHARACTERS.fullmatch(encoded) or len(encoded) % 4 == 1:
        raise wrong(path, "base64")
    return encoded


def image_url(value: Any, path: str) -> dict[str, Any]:
    """An OpenAI image part: only data URLs, because nobody here fetches anything for a caller."""
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise wrong(f"{path}.url", "a data URL (`data:image/png;base64,...`); web addresses are not fetched")
    head, comma, encoded = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise wrong(f"{path}.url", "a base64 data URL")
    image(encoded, f"{path}.url")
    return {"url": url}


def function_type(value: Any, path: str) -> str:
    """The only kind of tool: a function the caller runs. Tools that the server would run are refused."""
    if value != "function":
        raise wrong(path, '"function"; tools that run on the server, such as web search, are not served')
    return "function"


_tools: Rule = list_of(
    table(
        {
            "type": function_type,
            "function": table({"name": text, "description": text, "parameters": _any_object}),
        }
    ),
    most=MAX_TOOLS,
)


def tools(value: Any, path: str) -> Any:
    """Declarations of functions; none means "not given"."""
    return _tools(value, path) or DROPPED


_images: Rule = list_of(image, most=MAX_IMAGES)


def images(value: Any, path: str) -> Any:
    """Images of a prompt; none means "not given"."""
    return _images(value, path) or DROPPED


def seed(value: Any, path: str) -> int:
    """A seed. SDKs in Python send 64 bits, the runner takes 32; -1 is Ollama's "a new one each time"."""
    given = int(whole(-(2**63), 2**63 - 1)(value, path))
    return given if given == -1 else given & _MOST_SEED


def empty(field: str) -> Refusal:
    """An empty prompt is Ollama's way to load or unload a model."""
    return Refusal(
        Code.EMPTY_PROMPT,
        f"`{field}` must not be empty: loading and unloading models is the operator's business.",
        param=field,
    )


def take_model(fields: dict[str, Any]) -> str:
    """Takes the model's name, which every call must give, out of its fields: what goes upstream is our spelling."""
    model = fields.pop("model", None)
    if not model or len(model) > MAX_NAME_LENGTH:
        raise wrong("model", f"the name of a model, at most {MAX_NAME_LENGTH} characters")
    return str(model)


def input_sizes(value: str | list[str], field: str) -> tuple[int, ...]:
    """UTF-8 bytes of each input of an embedding."""
    inputs = [value] if isinstance(value, str) else value
    if not inputs or not any(inputs):
        raise empty(field)
    return tuple(map(size, inputs))
