"""The checks before generation that both dialects share, with Ollama's statuses, odd ones included.

A wrong option type or `format` is the client's mistake and yet a 500 (`api/types.go` FromMap, `llm/server.go`): a
gateway must not take it for a broken backend. Cloud names behave as with OLLAMA_NO_CLOUD=1.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from entrypoints.simulator import words
from entrypoints.simulator.decoding import go_json
from entrypoints.simulator.models import Model, is_cloud
from entrypoints.simulator.refusal import Refused, Stage
from entrypoints.simulator.world import World

_NAME = re.compile(r"(?:[a-z]+://)?[A-Za-z0-9_][A-Za-z0-9._/:-]*(?:: *[A-Za-z]+)?")
_TOOL_REQUEST = "use the tool"
_INTEGERS = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "draft_num_predict",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
]
_FLOATS = ["top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"]
_OPTION_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(_INTEGERS, ("integer", (int, float))),
    **dict.fromkeys(_FLOATS, ("float32", (int, float))),
    "stop": ("array", (list,)),
    "use_mmap": ("boolean", (bool,)),
}


def find_model(world: World, spelling: str) -> Model:
    """Return the model a name reaches; raises Refused 400, 403 or 404."""
    if model := world.model(spelling):
        return model
    if spelling.strip() and not _NAME.fullmatch(spelling.strip()):
        raise Refused(400, "invalid model name")
    if is_cloud(spelling):
        raise Refused(403, "ollama cloud is disabled: remote inference is unavailable")
    raise Refused(404, f"model '{spelling}' not found")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse (500) an option of the wrong type; unknown options are skipped."""
    for name, value in options.items():
        if name in _OPTION_TYPES and value is not None:
            expected, accepted = _OPTION_TYPES[name]
            if type(value) not in accepted:
                raise Refused(500, f'option "{name}" must be of type {expected}')


def check_format(wanted: Any, *, stream: bool) -> bool:
    """Say whether JSON is wanted; refuse (500) a format that is neither "json" nor an object."""
    if wanted is None or wanted == "":
        return False
    if wanted == "json" or isinstance(wanted, dict):
        return True
    quoted = go_json(go_json(wanted).decode()).decode()
    raise Refused(
        500,
        f'invalid format: {quoted}; expected "json" or a valid JSON Schema object',
        Stage.STREAMING if stream else Stage.CHECKING,
    )


def will_think(model: Model, wanted: Any, *, spelling: str) -> bool:
    """Say whether to think: absent means yes for models that can; asking another is refused (400)."""
    if wanted is None:
        return model.can("thinking")
    if wanted is not False and not model.can("thinking"):
        raise Refused(400, f'"{spelling}" does not support thinking')
    return wanted is not False


def tool_to_call(model: Model, tools: Sequence[Any], last_text: str) -> tuple[str, dict[str, Any]] | None:
    """Return the call to answer with when tools are declared and the user says "use the tool"."""
    if not tools:
        return None
    if not model.can("tools"):
        raise Refused(400, f"{model.full_name} does not support tools")
    if _TOOL_REQUEST not in last_text.lower():
        return None
    function = tools[0].get("function") if isinstance(tools[0], dict) else None
    declared: dict[str, Any] = function if isinstance(function, dict) else {}
    parameters = declared.get("parameters")
    arguments = words.example(
        {**(parameters if isinstance(parameters, dict) else {}), "type": "object", "enum": None, "const": None}
    )
    return str(declared.get("name", "")), arguments


def context_of(world: World, model: Model, options: Mapping[str, Any]) -> int:
    """Return the context length in tokens that the runner must have."""
    wanted = options.get("num_ctx")
    tokens = max(4, int(wanted)) if wanted else world.settings.context_length
    return min(tokens, model.context_length)
