"""What both dialects share: rules for tools, schemas, images and stop words, and what every call must have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import msgspec

from domain.models import MAX_NAME_LENGTH
from domain.refusals import Code, Refusal
from entrypoints.http.fields import (
    Field,
    Rule,
    Table,
    drop,
    either,
    json_object,
    keep,
    list_of,
    one_of,
    rewrite,
    rule,
    size,
    table,
    text,
    unless_empty,
    whole,
    wrong,
)
from entrypoints.http.slices import is_base64

OPENAI_REFERENCE = "OpenAI's API reference"
"""The source of a field that Ollama does not read."""
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

_DOTTED_I = "\u0130".encode()
"""Go's lower case of it is `i` (`unicode.ToLower`)."""

_one_stop = attrs.evolve(text, read=lambda value, _path: [value] if value else [])
stop = unless_empty(either(_one_stop, list_of(text, most=16)))
"""One stop word, or a list of them: always a list upstream."""
parameters = json_object(MAX_SCHEMA_BYTES)
"""The JSON Schema of a function's arguments."""


@rule({"type": "object"}, f"a JSON Schema object of at most {MAX_SCHEMA_BYTES} bytes")
def schema(value: Any, path: str) -> dict[str, Any]:
    """A JSON Schema for the answer."""
    found: dict[str, Any] = parameters.read(value, path)
    if _MEMORY_WORDS.search(msgspec.json.encode(found).replace(_DOTTED_I, b"i")):
        raise wrong(path, "free of words about memory errors; a backend would take them for its own")
    return found


answer_format = either(unless_empty(one_of("json", "")), schema)
"""Native `format`: "json", a JSON Schema, or nothing."""


@rule({"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]{2,}={0,2}$"}, "base64")
def image(value: Any, path: str) -> str:
    """A base64 image."""
    encoded: str = text.read(value, path)
    if not is_base64(encoded):
        raise wrong(path, "base64")
    return encoded


@rule(
    {"type": "string", "pattern": "^data:image/[^,]*;base64,[A-Za-z0-9+/]{2,}={0,2}$"},
    "a data URL (`data:image/png;base64,...`); web addresses are not fetched",
)
def image_url(value: Any, path: str) -> str:
    """The URL of an image: only data URLs, because nobody here fetches anything for a caller."""
    if not isinstance(value, str) or not value.startswith("data:image/"):
        raise wrong(path, "a data URL (`data:image/png;base64,...`); web addresses are not fetched")
    comma = value.find(",")
    if not value[: max(comma, 0)].endswith(";base64"):
        raise wrong(path, "a base64 data URL")
    if not is_base64(value, comma + 1):
        raise wrong(path, "base64")
    return value


@rule({"const": "function"}, '"function"; tools that run on the server, such as web search, are not served')
def function_type(value: Any, path: str) -> str:
    """The only kind of tool: a function the caller runs. Tools that the server would run are refused."""
    if value != "function":
        raise wrong(path, '"function"; tools that run on the server, such as web search, are not served')
    return "function"


_FUNCTION = Table("Function", [
    keep("name", text, "api/types.go ToolFunction.Name"),
    keep("description", text, "api/types.go ToolFunction.Description"),
    keep("parameters", parameters, "api/types.go ToolFunction.Parameters"),
    drop("strict", OPENAI_REFERENCE, because="Ollama does not know it"),
])  # fmt: skip
_TOOL = Table("Tool", [
    keep("type", function_type, "api/types.go Tool.Type"),
    keep("function", table(_FUNCTION), "api/types.go Tool.Function"),
    drop("items", "api/types.go Tool.Items", because="no client sends it, and no template reads it"),
    drop("strict", OPENAI_REFERENCE, because="Ollama does not know it"),
])  # fmt: skip
tools = unless_empty(list_of(table(_TOOL), most=MAX_TOOLS))
"""Declarations of functions."""
images = unless_empty(list_of(image, most=MAX_IMAGES))
"""Images of a prompt."""
_any_seed = whole(-(2**63), 2**63 - 1)


@rule(_any_seed.schema, _any_seed.words)
def seed(value: Any, path: str) -> int:
    """A seed. SDKs in Python send 64 bits, the runner takes 32; -1 is Ollama's "a new one each time"."""
    given: int = _any_seed.read(value, path)
    return given if given == -1 else given & _MOST_SEED


@rule(
    {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
    f"the name of a model, at most {MAX_NAME_LENGTH} characters",
)
def _model_name(value: Any, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH:
        raise wrong(path, f"the name of a model, at most {MAX_NAME_LENGTH} characters")
    return value


def model(source: str) -> Field:
    """The row of the model's name, which every call must give."""
    return rewrite("model", _model_name, source, because="sent in the operator's spelling", required=True)


def empty(field: str) -> Refusal:
    """An empty prompt is Ollama's way to load or unload a model."""
    return Refusal(
        Code.EMPTY_PROMPT,
        f"`{field}` must not be empty: loading and unloading models is the operator's business.",
        param=field,
    )


def never_empty(full: Rule) -> Rule:
    """A rule for the prompt itself: for a required row, so that one that is absent is refused as an empty one is."""

    def read(value: Any, path: str) -> Any:
        result = None if value is None else full.read(value, path)
        if not result:
            raise empty(path)
        return result

    return attrs.evolve(full, read=read)


def is_result(role: str) -> bool:
    """Whether a message is what a tool has answered. Ollama does not mind the case of roles, and Llama's tools answer
    as `ipython`.
    """
    return role.lower() in {"tool", "ipython"}


def longest_name(calls: Iterable[Mapping[str, Any]]) -> int:
    """UTF-8 bytes of the longest name of a function that was called: results may be shown with the name of theirs."""
    return max((size(call.get("function", {}).get("name", "")) for call in calls), default=0)


def input_sizes(value: str | list[str], field: str) -> tuple[int, ...]:
    """UTF-8 bytes of each input of an embedding."""
    inputs = [value] if isinstance(value, str) else value
    if not inputs or not any(inputs):
        raise empty(field)
    return tuple(map(size, inputs))
