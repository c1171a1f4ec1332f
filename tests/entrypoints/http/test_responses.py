"""`/v1/responses`: what becomes of an input, and what is refused."""

from typing import Any

import pytest

from domain.calls import Call, Endpoint
from domain.refusals import Code
from entrypoints.http import content
from tests.entrypoints.http.bodies import PNG, SCHEMA, USER, each, read, refusal

R = Endpoint.RESPONSES
FUNCTION = {"type": "function", "name": "f"}
IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
HISTORY: list[Any] = [
    {"role": "user", "content": "What is the weather?"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "hm"},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c",
        "name": "weather",
        "arguments": "{}",
        "status": "completed",
    },
    {"type": "function_call_output", "call_id": "c", "output": "sunny"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Sunny.", "annotations": [], "logprobs": []}],
    },
]


def asked(*items: Any, **more: Any) -> Call:
    return read(R, input=list(items), **more)


def said(*parts: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


def test_a_conversation_goes_upstream_without_what_ollama_does_not_read() -> None:
    assert asked(*HISTORY).fields["input"] == [
        {"type": "message", "role": "user", "content": "What is the weather?"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "hm"},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "sunny"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]},
    ]


@pytest.mark.parametrize(
    "nothing",
    [
        *each(None, "", []),
        [{"type": "reasoning", "summary": []}],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": ""}],
    ],
)
@pytest.mark.parametrize("instructions", [None, "Be brief."])
def test_an_input_that_makes_no_message_is_a_free_load_and_refused(nothing: Any, instructions: str | None) -> None:
    met = refusal(R, input=nothing, instructions=instructions)

    assert met.code is Code.EMPTY_PROMPT
    assert met.param == "input"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        *(({"input": value}, "input") for value in each(1, True, {"role": "user"})),
        ({"input": [{"role": "user"}] * (content.MAX_MESSAGES + 1)}, "input"),
        *(({"input": [USER, value]}, "input[1]") for value in each("Hi", 1, None, [])),
        ({"input": [{"content": "Hi"}]}, "input[0].role"),
        *(
            ({"input": [{"type": kind, "role": "user"}]}, "input[0].type")
            for kind in each("item_reference", "web_search_call", "compaction", "custom_tool_call", "mcp_call", 1, [])
        ),
        *(({"input": [{"role": "user", "content": value}]}, "input[0].content") for value in each(1, {}, True)),
        *(
            (said({"type": kind}), "input[0].content[0].type")
            for kind in each("input_file", "input_audio", "refusal", "text", "image_url", None, 1)
        ),
        (said({"type": "input_text", "text": 1}), "input[0].content[0].text"),
        (said({"type": "input_text"}), "input[0].content[0].text"),
        *(
            (said({"type": "input_image", "image_url": url}), "input[0].content[0].image_url")
            for url in each("https://x.example/a.png", "data:image/png,x", {"url": IMAGE["image_url"]}, None)
        ),
        (said(IMAGE | {"file_id": "file_1"}), "input[0].content[0].file_id"),
        (said(*[IMAGE] * 257), "input[0].content"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [FUNCTION | {"type": "function_call", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "output": {}}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "output": [{"type": "x"}]}]}, "input[0].output[0].type"),
        ({"input": [{"type": "reasoning", "encrypted_content": 1}]}, "input[0].encrypted_content"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "input[0].summary[0]"),
        *(({"instructions": value}, "instructions") for value in each(1, [USER])),
        *(({"max_output_tokens": value}, "max_output_tokens") for value in each("9", 1.5, True, 2**63)),
        *(({"temperature": value}, "temperature") for value in each("1", -1, 11)),
        *(({"stream": value}, "stream") for value in each(0, "true")),
        *(
            ({"tools": [{"type": kind, "name": "x"}]}, "tools[0].type")
            for kind in each(
                "web_search",
                "web_search_preview",
                "file_search",
                "code_interpreter",
                "mcp",
                "computer_use_preview",
                "image_generation",
                "local_shell",
                "shell",
                "apply_patch",
                "custom",
                "tool_search",
                None,
                1,
            )
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [FUNCTION | {"parameters": "x"}]}, "tools[0].parameters"),
        ({"tools": [FUNCTION] * 129}, "tools"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]}, "tools[0].tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION] * 65}] * 2}, "tools"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {"a": "out of memory"}}}}, "text.format.schema"),
        *(({"reasoning": {"effort": value}}, "reasoning.effort") for value in each("more", 1, "")),
        *(({"previous_response_id": value}, "previous_response_id") for value in each("resp_1", 5, {"id": "x"})),
        *(({"conversation": value}, "conversation") for value in each("conv_1", {"id": "conv_1"})),
        *(({"prompt": value}, "prompt") for value in each("x", {"id": "pmpt_1"})),
    ],
)
def test_each_wrong_field_is_refused_by_its_path(more: dict[str, Any], field: str) -> None:
    met = refusal(R, **more)

    assert met.code is Code.INVALID_REQUEST
    assert met.param == field
    assert f"`{field}` must be" in met.sentence


@pytest.mark.parametrize(
    "strange",
    [
        {
            "tool_choice": 5,
            "store": "x",
            "metadata": [1],
            "include": {},
            "background": "x",
            "truncation": 7,
            "user": {},
        },
        {"tools": None, "text": {}, "reasoning": {}, "instructions": "", "temperature": None, "stream": None},
        {"tools": [], "text": {"format": None}, "reasoning": {"effort": None, "summary": 5}, "conversation": None},
        {"previous_response_id": None, "prompt": None, "stream_options": [], "n": 5, "stop": 1, "seed": "x"},
    ],
)
def test_what_asks_for_nothing_and_what_is_ignored_is_dropped_whatever_it_is(strange: dict[str, Any]) -> None:
    assert read(R, **strange).fields == {"input": "Hi"}


@pytest.mark.parametrize(
    ("given", "cap"), [({}, None), ({"max_output_tokens": 0}, None), ({"max_output_tokens": 9}, 9)]
)
def test_the_cap_is_the_callers_if_it_caps(given: dict[str, Any], cap: int | None) -> None:
    assert read(R, **given).asked_output_tokens == cap


@pytest.mark.parametrize(
    ("format_", "upstream"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_schema", "name": "json_object", "schema": {"type": "object"}}),
        (
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
        ),
    ],
)
def test_json_mode_which_ollama_ignores_here_becomes_a_schema(format_: Any, upstream: Any) -> None:
    call = read(R, text={"format": format_, "verbosity": "low"})

    assert call.fields.get("text", {}).get("format") == upstream
    assert call.structured is (upstream is not None)


@pytest.mark.parametrize(("effort", "thinks"), [(None, True), ("none", False), ("low", True), ("xhigh", True)])
def test_a_thinking_that_is_turned_off_is_known(effort: str | None, *, thinks: bool) -> None:
    assert read(R, reasoning={"effort": effort}).thinks is thinks


def test_every_text_that_reaches_the_model_is_counted() -> None:
    text = "ä" * 100
    parts = [{"type": "input_text", "text": text}, {"type": "output_text", "text": text}]
    items: list[dict[str, Any]] = [
        {"role": "user", "content": text},
        {"role": "user", "content": parts},
        {"type": "function_call", "name": text, "call_id": text, "namespace": text, "arguments": text},
        {"type": "function_call_output", "call_id": text, "output": text},
        {"type": "function_call_output", "call_id": text, "output": parts},
        {"type": "reasoning", "encrypted_content": text, "summary": [{"type": "summary_text", "text": text}]},
    ]
    tools = [FUNCTION | {"description": text}, {"type": "namespace", "name": text, "tools": [FUNCTION]}]

    call = asked(*items, instructions=text, tools=tools)

    # 15 texts are given; a result is shown with the name of its call, a function with the name of its namespace.
    assert 200 * (1 + 1 + 2 + 4 + 2 + 3 + 2 + 2 + 2 + 1) <= call.inputs_bytes[0] <= 200 * 20 + 500
    assert call.pieces == 1 + len(items) + 2


def test_images_are_counted_wherever_they_are() -> None:
    call = asked({"role": "user", "content": [IMAGE, IMAGE]}, {"type": "function_call_output", "output": [IMAGE]})

    assert call.images == 3
    assert call.inputs_bytes[0] < 200
