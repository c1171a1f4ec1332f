"""Request bodies, honest at the root and spoilt at random: each is made of a seed and is the same again with it.

A body is a tree of JSON *texts*, not of values, so that it can hold what no library would write: two keys in one
object, escapes in keys, numbers of any form. A few mutations are made on each tree, and sometimes one on its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

Node = "Members | Items | str"
"""A text is a scalar as it is written."""


class Members(list[tuple[str, Any]]):
    """An object: its keys, as they are written, and values."""


class Items(list[Any]):
    """An array."""


_PIXEL = "iVBORw0KGgo="
_SCHEMA = {"type": "object", "properties": {"Model": {"type": "string"}, "n": {"type": "integer"}}, "required": ["n"]}
_FUNCTION = {"name": "look", "description": "looks", "parameters": _SCHEMA}
_TOOL = {"type": "function", "function": _FUNCTION}
_SAYS_NATIVE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is it?", "images": [_PIXEL]},
    {
        "role": "assistant",
        "content": "",
        "thinking": "Hm.",
        "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "look", "arguments": {"n": 1, "Role": "x"}}}],
    },
    {"role": "tool", "content": "A cat.", "tool_name": "look", "tool_call_id": "c1"},
]
_SAYS_OPENAI = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "index": 0, "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "content": "A cat.", "tool_call_id": "c1", "name": "look"},
]
_OPTIONS = {
    "num_predict": 64, "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "typical_p": 1, "seed": 42,
    "repeat_last_n": 64, "repeat_penalty": 1.1, "presence_penalty": 0, "frequency_penalty": 0.5, "num_keep": 4,
    "stop": ["\n\n", "User:"], "num_ctx": 4096,
}  # fmt: skip
_NATIVE = {
    "model": "llama3.2", "stream": True, "options": _OPTIONS, "format": "json", "think": True, "truncate": True,
    "keep_alive": "5m", "logprobs": True, "top_logprobs": 3, "shift": True,
}  # fmt: skip
_OPENAI = {
    "model": "llama3.2", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 100,
    "max_completion_tokens": 50, "seed": 7, "stop": "END", "temperature": 1, "top_p": 1.0, "frequency_penalty": 0,
    "presence_penalty": -1.5,
}  # fmt: skip
BASES: Mapping[str, Mapping[str, Any]] = {
    "/api/chat": {**_NATIVE, "messages": _SAYS_NATIVE, "tools": [_TOOL]},
    "/api/generate": {
        **_NATIVE, "prompt": "Why is the sky blue?", "suffix": "end", "system": "Be brief.", "images": [_PIXEL],
        "template": "{{ .Prompt }}", "raw": False, "context": [1, 2, 3],
    },
    "/api/embed": {
        "model": "nomic", "input": ["a", "b"], "truncate": True, "dimensions": 64, "options": _OPTIONS, "keep_alive": 5,
    },
    "/api/embeddings": {"model": "nomic", "prompt": "a", "options": _OPTIONS, "keep_alive": -1},
    "/v1/chat/completions": {
        **_OPENAI, "messages": _SAYS_OPENAI, "tools": [_TOOL], "reasoning": {"effort": "low"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA}},
        "reasoning_effort": "high", "logprobs": True, "top_logprobs": 2, "tool_choice": "auto", "n": 1,
    },
    "/v1/completions": {**_OPENAI, "prompt": "Once", "suffix": "end", "logprobs": 2},
    "/v1/embeddings": {"model": "nomic", "input": "a", "dimensions": 32, "encoding_format": "float"},
    "/v1/responses": {
        "model": "llama3.2", "instructions": "Be brief.", "stream": False, "max_output_tokens": 99, "temperature": 1,
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "A cat."},
        ],
        "top_p": 1, "reasoning": {"effort": "low"}, "tools": [{"type": "function", **_FUNCTION}],
        "text": {"format": {"type": "json_schema", "name": "s", "schema": _SCHEMA}}, "truncation": "auto",
    },
    "/v1/messages": {
        "model": "llama3.2", "max_tokens": 99, "stream": True, "temperature": 1, "top_p": 1, "top_k": 5,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"n": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "A cat."}]},
        ],
        "system": "Be brief.", "stop_sequences": ["END"], "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "look", "description": "looks", "input_schema": _SCHEMA}],
    },
}  # fmt: skip
_NEEDED = frozenset({"model", "messages", "prompt", "input", "max_tokens"})
_FIELDS = sorted({name for base in BASES.values() for name in base} | _OPTIONS.keys() | {
    "role", "content", "name", "type", "text", "num_gpu", "main_gpu", "use_mmap", "_debug_render_only", "n", "user",
})  # fmt: skip
_HONEST = ["true", "false", "null", '""', '"a"', "[]", "{}", "0", "1", "2", "-1", "0.5", '["a"]', '"x y"', '"json"']
_HOSTILE = [
    "1.0", "1e0", "1E+2", "0e9", "-0", "-0.0", "0.9999999999999999", "1e-7", "1e-999", "2147483647", "2147483648",
    "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e18", "1e19", "1e308",
    "1e309", "123456789012345678901234567890", "0.1e1", "01", "+1", ".5", "1.", "NaN", "Infinity", "0x10", "True",
    "1_0", r'"\u0000"', r'"\u0061"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\ude00x"', r'"\u00e9"', '"é\u4e2d\U0001f600"',
    '"\u2028"', r'"\/"', r'"\\"', r'"\""', r'"\x41"', '"a\tb"', '"\ufeff"', '"\ufffd"', '"MODEL"', '"llama3.2:Q4"',
    "[null]", "[[]]", "[{}]", "[1,2]", '{"":1}', '{"a":null}', '{"num_predict":-1}', '{"num_predict":0.5,"top_k":1}',
    '{"include_usage":false}', '{"type":"text"}', '{"TYPE":"json_object"}', '{"type":"json_object"}',
    '[{"role":"user","content":"b"}]', '[{"Role":"user","content":"b"}]', '{"effort":"high"}', '{"Effort":"high"}',
    "[" * 40 + "]" * 40, '"' + "a" * 3000 + '"',
]  # fmt: skip
_SPACES = ["", "", "", "", " ", "\n", "\t ", "\r\n"]


def tree_of(value: Any) -> Any:
    """The tree of a value, written plainly."""
    if isinstance(value, Mapping):
        return Members((json.dumps(name), tree_of(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return Items(map(tree_of, value))
    return json.dumps(value)


def text_of(node: Any, space: str = "") -> str:
    """A tree as it is sent."""
    if isinstance(node, Members):
        return "{" + f",{space}".join(f"{name}:{space}{text_of(inner, space)}" for name, inner in node) + "}"
    if isinstance(node, Items):
        return "[" + f",{space}".join(text_of(inner, space) for inner in node) + "]"
    return str(node)


def _containers(node: Any) -> Iterator[Members | Items]:
    if isinstance(node, Members | Items):
        yield node
        for inner in node:
            yield from _containers(inner[1] if isinstance(node, Members) else inner)


def _respelt(random: Random, name: str) -> str:
    """A key in another spelling, some of which fold to it and some of which do not."""
    at = random.randrange(max(len(name) - 2, 1)) + 1 if len(name) > 2 else 0
    letter = name[at]
    return random.choice([
        name.upper(),
        name.title(),
        name[:at] + letter.upper() + name[at + 1 :],
        name.replace("s", "\u017f"),
        name.replace("k", "\u212a"),
        name.replace("s", r"\u017F"),
        name.replace("k", r"\u212a"),
        name[:at] + f"\\u{ord(letter):04x}" + name[at + 1 :],
        name.replace("i", "\u0131"),
        name.replace("e", "\u0435"),
        name[:-1] + r'\u0000"',
        name[:-1] + ' "',
    ])  # fmt: skip


def _value(random: Random) -> Any:
    kind = random.random()
    if kind < 0.5:
        return random.choice(_HONEST)
    if kind < 0.9:
        return random.choice(_HOSTILE)
    base = random.choice(list(BASES.values()))
    return tree_of(random.choice(list(base.values())))


def _some_object(random: Random, tree: Any) -> Members:
    objects = [node for node in _containers(tree) if isinstance(node, Members) and node]
    return tree if random.random() < 0.4 or not objects else random.choice(objects)


def _double(random: Random, tree: Any) -> None:
    node = _some_object(random, tree)
    name, value = random.choice(node)
    name = name if random.random() < 0.4 else _respelt(random, name)
    node.insert(random.randrange(len(node) + 1), (name, value if random.random() < 0.2 else _value(random)))


def _respell(random: Random, tree: Any) -> None:
    node = _some_object(random, tree)
    at = random.randrange(len(node))
    node[at] = (_respelt(random, node[at][0]), node[at][1])


def _replace(random: Random, tree: Any) -> None:
    node = _some_object(random, tree)
    at = random.randrange(len(node))
    node[at] = (node[at][0], _value(random))


def _replace_option(random: Random, tree: Any) -> None:
    for name, node in tree:
        if name == '"options"' and isinstance(node, Members) and node:
            at = random.randrange(len(node))
            node[at] = (node[at][0], random.choice(_HONEST + _HOSTILE[:20]))


def _add(random: Random, tree: Any) -> None:
    node = _some_object(random, tree)
    name = json.dumps(random.choice(_FIELDS))
    name = name if random.random() < 0.7 else _respelt(random, name)
    node.insert(random.randrange(len(node) + 1), (name, _value(random)))


def _leave_out(random: Random, tree: Any) -> None:
    node = _some_object(random, tree)
    del node[random.randrange(len(node))]
    if not node:
        node.append(('"a"', "1"))


def _replace_item(random: Random, tree: Any) -> None:
    lists = [node for node in _containers(tree) if isinstance(node, Items) and node]
    if lists:
        node = random.choice(lists)
        node[random.randrange(len(node))] = _value(random)


def _shuffle(random: Random, tree: Any) -> None:
    random.shuffle(_some_object(random, tree))


_MUTATIONS: Sequence[Callable[[Random, Any], None]] = (
    _double, _respell, _replace, _replace, _replace_option, _add, _add, _leave_out, _replace_item, _shuffle,
)  # fmt: skip


def _spoilt(random: Random, body: bytes) -> bytes:
    """One mutation of the bytes."""
    at = random.randrange(len(body) + 1)
    ways: list[Callable[[], bytes]] = [
        lambda: body + random.choice([b" ", b"\n", b"{}", b'{"model":"b"}', b"]", b"x", b"\0", b" 1"]),
        lambda: random.choice([b"\xef\xbb\xbf", b" ", b"\0", b"[", b"\x0c"]) + body,
        lambda: body[:at],
        lambda: body[:at] + body[at + 1 :],
        lambda: body[:at] + bytes([random.randrange(256)]) + body[at:],
        lambda: body[:at] + random.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x80", b"\\", b'"']) + body[at:],
        lambda: body.decode().encode(random.choice(["utf-16", "utf-32-le", "utf-16-be"])),
    ]  # fmt: skip
    return random.choice(ways)()


def body_of(random: Random) -> tuple[str, bytes]:
    """The next body, and the path it is sent to."""
    path = random.choice(list(BASES))
    base = BASES[path]
    kept = {name: value for name, value in base.items() if name in _NEEDED or random.random() < 0.4}
    tree = tree_of(kept)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        random.choice(_MUTATIONS)(random, tree)
    body = text_of(tree, random.choice(_SPACES)).encode("utf-8", "surrogatepass")
    return path, _spoilt(random, body) if random.random() < 0.08 else body
