"""What is Anthropic's own in a request: its blocks, its tools, and what Ollama makes of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import SLACK_PER_PIECE
from domain.calls import Call, Endpoint
from domain.refusals import Code
from tests.entrypoints.http import bodies
from tests.entrypoints.http.bodies import PNG, SCHEMA, USER, each, said
from tests.entrypoints.http.test_prompt_bounds import go_json, plain_text, prompt_bound

MARK = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Bern"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"}
THINKING = {"type": "thinking", "thinking": "hm"}
TOOL = {"type": "custom", "name": "f", "description": "d", "input_schema": SCHEMA}


def read(**more: Any) -> Call:
    return bodies.read(Endpoint.ANTHROPIC_MESSAGES, **more)


def turn(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


# -- shapes of real clients -----------------------------------------------------------------------------------------
REAL: dict[str, dict[str, Any]] = {
    "anthropic, marks for its cache": {
        "system": [{"type": "text", "text": "Be brief.", **MARK}],
        "messages": [turn({**TEXT, **MARK, "citations": None})],
        "tools": [{"name": "f", "input_schema": SCHEMA, **MARK}],
    },
    "anthropic, its own answer sent back": {
        "messages": [
            USER,
            turn(
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Let me see.", "citations": None},
                {**USE, "caller": None},
                role="assistant",
            ),
            turn({**RESULT, "is_error": False}, TEXT),
        ]
    },
    "anthropic, a result of blocks": {"messages": [turn({**RESULT, "content": [TEXT, IMAGE]})]},
    "anthropic, a result of nothing": {"messages": [turn({"type": "tool_result", "tool_use_id": "1"})]},
    "anthropic, beta": {"betas": ["x"], "context_management": None, "container": None, "mcp_servers": []},
    "anthropic-sdk-go": {"tool_choice": {"type": "auto"}, "metadata": {"user_id": "u"}, "service_tier": "auto"},
    "thinking as its newest models have it": {"thinking": {"type": "adaptive", "display": "summarized"}},
    "effort": {"output_config": {"effort": "xhigh", "format": None}},
    "langchain-anthropic": {"system": "", "stop_sequences": [], "tools": [], "temperature": None, "top_k": None},
    "a tool of every field": {
        "tools": [{**TOOL, "strict": True, "defer_loading": False, "allowed_callers": ["direct"], "input_examples": []}]
    },
}


@pytest.mark.parametrize("more", REAL.values(), ids=REAL.keys())
def test_what_real_clients_send_is_accepted_and_cut(more: dict[str, Any]) -> None:
    upstream = json.dumps(read(**more).fields)

    for dropped in (
        "cache_control",
        "signature",
        "citations",
        "is_error",
        "caller",
        "display",
        "strict",
        '"data": "x"',
    ):
        assert dropped not in upstream


def test_blocks_go_upstream_as_they_came() -> None:
    messages = [turn(TEXT, IMAGE), turn(THINKING, TEXT, USE, role="assistant"), turn(RESULT)]

    assert read(messages=messages, tools=[TOOL]).fields == {"messages": messages, "tools": [TOOL]}


def test_empty_means_not_given() -> None:
    assert read(system="", stop_sequences=[], tools=[], mcp_servers=[]) == read()


@pytest.mark.parametrize(
    ("given", "thinks"),
    [({}, True), ({"thinking": {"type": "disabled"}}, False), ({"thinking": {"type": "enabled"}}, True)],
)
def test_whether_it_thinks_is_read(given: dict[str, Any], *, thinks: bool) -> None:
    call = read(**given)

    assert call.thinks is thinks
    assert not call.structured


@pytest.mark.parametrize(("given", "streamed"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_it_streams_only_if_asked(given: dict[str, Any], *, streamed: bool) -> None:
    assert read(**given).streamed is streamed


def test_the_cap_is_taken_out() -> None:
    call = read(max_tokens=77)

    assert call.asked_output_tokens == 77
    assert "max_tokens" not in call.fields


# -- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        [{"role": "user", "content": ""}],
        [turn()],
        [turn({"type": "text", "text": ""}), turn({"type": "thinking", "thinking": ""})],
        [turn({"type": "redacted_thinking", "data": "x"})],
    ],
)
def test_messages_of_which_ollama_makes_none_are_a_free_load_and_refused(messages: Any) -> None:
    met = bodies.refusal(Endpoint.ANTHROPIC_MESSAGES, messages=messages, system="s")

    assert met.code is Code.EMPTY_PROMPT
    assert met.param == "messages"


BLOCK = "messages[0].content[0]"
WRONG: list[tuple[dict[str, Any], str]] = [
    *(({"max_tokens": value}, "max_tokens") for value in each(None, 0, -1, 1.0, "9", True, [])),
    *(({"messages": value}, "messages") for value in each("Hi", {}, 1, [USER] * 513)),
    *(({"messages": [{"content": "Hi", "role": value}]}, "messages[0].role") for value in each(None, 1, [])),
    *(({"messages": [{"role": "user", "content": value}]}, "messages[0].content") for value in each(None, 1, {})),
    ({"messages": [turn(*[TEXT] * 257)]}, "messages[0].content"),
    *((said(value), BLOCK) for value in each("Hi", 1, None, [])),
    *(
        (said({"type": value}), f"{BLOCK}.type")
        for value in each(None, 1, "document", "image_url", "server_tool_use", "web_search_tool_result", "TEXT")
    ),
    *((said({"type": "text", "text": value}), f"{BLOCK}.text") for value in each(None, 1)),
    *((said({"type": "image", "source": value}), f"{BLOCK}.source") for value in each(None, "x", [])),
    *(
        (said({"type": "image", "source": {"type": value, "url": "https://x.example/a.png"}}), f"{BLOCK}.source.type")
        for value in each("url", "file", None)
    ),
    *(
        (said({"type": "image", "source": {"type": "base64", "data": value}}), f"{BLOCK}.source.data")
        for value in each(None, "", "é", "a b", 1)
    ),
    *((said({**USE, "id": value}), f"{BLOCK}.id") for value in each(None, "", 1)),
    *((said({**USE, "name": value}), f"{BLOCK}.name") for value in each(None, "", 1)),
    *((said({**USE, "input": value}), f"{BLOCK}.input") for value in each("{}", [], 1)),
    *((said({**RESULT, "tool_use_id": value}), f"{BLOCK}.tool_use_id") for value in each(None, 1)),
    (said({**RESULT, "content": {}}), f"{BLOCK}.content"),
    (said({**RESULT, "content": [{"type": "document"}]}), f"{BLOCK}.content[0].type"),
    (said({**RESULT, "content": [RESULT]}), f"{BLOCK}.content[0].type"),
    (said({"type": "thinking"}), f"{BLOCK}.thinking"),
    *(({"system": value}, "system") for value in each(1, {}, True)),
    ({"system": [TEXT, IMAGE]}, "system[1].type"),
    *(({"stream": value}, "stream") for value in each(0, "true")),
    *(({"temperature": value}, "temperature") for value in each("1", True, -0.1, 10.1)),
    *(({"top_p": value}, "top_p") for value in each(1.1, "x")),
    *(({"top_k": value}, "top_k") for value in each(1.0, "1", -2)),
    *(({"stop_sequences": value}, "stop_sequences") for value in each("a", ["a"] * 17)),
    ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
    *(({"tools": value}, "tools") for value in each({}, [TOOL] * 129)),
    ({"tools": [{}]}, "tools[0].name"),
    ({"tools": [{**TOOL, "input_schema": []}]}, "tools[0].input_schema"),
    ({"tools": [{**TOOL, "input_schema": {"x": "y" * 70_000}}]}, "tools[0].input_schema"),
    *(
        ({"tools": [TOOL, {"type": value, "name": "x"}]}, "tools[1].type")
        for value in each(
            "web_search",
            "web_search_20250305",
            "web_search_20260318",
            "web_fetch_20250910",
            "computer_20250124",
            "bash_20250124",
            "text_editor_20250728",
            "code_execution_20250825",
            "memory_20250818",
            "mcp_toolset",
            "tool_search_tool_bm25_20251119",
            "Web_Search",
            "function",
            "",
            1,
        )
    ),
    ({"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}]}, "mcp_servers"),
    *(({"thinking": value}, "thinking") for value in each(True, "enabled")),
    *(({"thinking": {"type": value}}, "thinking.type") for value in each(None, "on", 1)),
    *(({"output_config": {"effort": value}}, "output_config.effort") for value in each("some", 1)),
    ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "output_config.format"),
    ({"output_format": {"type": "json_schema", "schema": SCHEMA}}, "output_format"),
]


@pytest.mark.parametrize(("more", "path"), WRONG, ids=[f"{nth}-{path}" for nth, (_, path) in enumerate(WRONG)])
def test_a_field_of_the_wrong_kind_is_named(more: dict[str, Any], path: str) -> None:
    met = bodies.refusal(Endpoint.ANTHROPIC_MESSAGES, **more)

    assert met.param == path
    assert f"`{path}`" in met.sentence
    assert len(met.sentence) < 300


def test_tool_results_count_as_the_messages_that_they_become() -> None:
    """The cost of a long chat is quadratic at the backend (`content.MAX_MESSAGES`)."""
    results = [turn(*[RESULT] * 200)] * 3

    met = bodies.refusal(Endpoint.ANTHROPIC_MESSAGES, messages=results)

    assert met.code is Code.INVALID_REQUEST
    assert met.param == "messages"
    assert read(messages=results[:2]).pieces == 400


# -- the bounds that the reader prepares ----------------------------------------------------------------------------
@given(st.lists(plain_text, min_size=1, max_size=9), plain_text, plain_text)
def test_p_covers_every_text(texts: list[str], thought: str, system: str) -> None:
    blocks = [{"type": "text", "text": text} for text in texts]
    messages = [USER, turn({"type": "thinking", "thinking": thought}, *blocks)]
    text = sum(len(said.encode()) for said in [*texts, thought, system, "user", "user", "Hi"])
    bare = sum(len(said.encode()) for said in texts)

    call, doubled = read(messages=messages, system=system), read(messages=messages, system=[*blocks, TEXT])

    assert sum(call.inputs_bytes) >= text
    assert sum(doubled.inputs_bytes) == sum(call.inputs_bytes) - len(system.encode()) + bare + len("Hi")
    assert prompt_bound(call) == sum(call.inputs_bytes) + SLACK_PER_PIECE * call.pieces


@given(plain_text.filter(bool), plain_text, st.text(alphabet='<>&a"\\é\n,:', max_size=60))
def test_p_covers_tools_and_calls_as_ollama_makes_them(name: str, key: str, description: str) -> None:
    schema = {"properties": {key: {"enum": [1, 2]}}}
    made_tool = {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
    made_call = {"id": name, "function": {"name": name, "arguments": {key: description}}}
    call = read(
        messages=[turn({"type": "tool_use", "id": name, "name": name, "input": {key: description}}, role="assistant")],
        tools=[{"name": name, "description": description, "input_schema": schema}],
    )

    assert sum(call.inputs_bytes) >= len(go_json(made_tool).encode()) + len(go_json(made_call).encode())
    assert call.pieces == 2


@pytest.mark.parametrize(
    ("content", "made"),
    [
        ("Hi", 1),
        ([TEXT, TEXT, IMAGE], 1),
        ([RESULT], 1),
        ([RESULT, RESULT, TEXT], 3),
        ([RESULT, {"type": "text", "text": ""}], 1),
        ([IMAGE], 1),
    ],
)
def test_each_tool_result_becomes_a_message_and_all_else_another(content: Any, made: int) -> None:
    assert read(messages=[{"role": "user", "content": content}]).pieces == made


def test_a_system_text_is_a_message_too() -> None:
    assert read(system="s").pieces == 2


def test_images_are_counted_wherever_they_are_and_not_measured() -> None:
    call = read(messages=[turn(IMAGE, TEXT, {**RESULT, "content": [IMAGE, TEXT]}), turn(IMAGE)])

    assert call.images == 3
    assert sum(call.inputs_bytes) < 200
