import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.transcripts import Said, answer_said, prompt_said

RECORDINGS = Path(__file__).parents[1] / "recordings"


def recorded(name: str) -> bytes:
    chunks = json.loads((RECORDINGS / f"{name}.json").read_text())["response"]["chunks"]
    return "".join(text for _, text in chunks).encode()


def by_who(said: object) -> dict[str, str]:
    return {one.who: one.text for one in said}  # type: ignore[attr-defined]  # a sequence of Said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("native-chat", None),
        ("native-chat-stream", None),
        ("native-generate", "Hello! I'sure to help you with your next adventure"),
        ("native-generate-stream", None),
        ("openai-chat", "Hello to the world of humor!"),
        ("openai-chat-stream", "Hello to the world of humor!"),
        ("openai-chat-stream-usage", "Hello to the world of humor!"),
        ("openai-completions", "Welcome to our chat. I'm here"),
        ("openai-completions-stream-usage", None),
        ("anthropic-messages", "Hello to the world of humor!"),
        ("anthropic-messages-stream", "Hello to the world of humor!"),
        ("responses", "Hello! I'sure to help you with your next adventure"),
        ("responses-stream", "Hello! I'sure to help you with your next adventure"),
    ],
)
def test_a_recorded_answer_reads_as_its_text(name: str, text: str | None) -> None:
    said = by_who(answer_said(recorded(name)))

    assert set(said) == {"answer"}
    assert len(said["answer"]) > 5
    assert "{" not in said["answer"]
    assert text in (None, said["answer"])


@pytest.mark.parametrize("name", ["native-chat-tool", "native-chat-tool-stream", "openai-chat-tool-stream"])
def test_tool_calls_of_a_recorded_answer_are_shown(name: str) -> None:
    assert "get_weather" in by_who(answer_said(recorded(name)))["tool call"]


def test_thinking_is_told_from_the_answer() -> None:
    said = by_who(answer_said(recorded("native-chat-thinking-stream")))

    assert " help" in said["thinking"]


@pytest.mark.parametrize("name", ["native-embed", "native-embeddings", "openai-embeddings"])
def test_of_vectors_only_the_number_is_shown(name: str) -> None:
    assert len(by_who(answer_said(recorded(name)))["answer"]) < 40


def test_an_error_in_an_answer_is_shown() -> None:
    assert by_who(answer_said(b'{"response":"a"}\n{"error":"broken"}\n')) == {"answer": "a", "error": "broken"}


def test_a_stream_cut_anywhere_reads_as_far_as_it_goes() -> None:
    whole = recorded("openai-chat-stream")
    full = by_who(answer_said(whole))["answer"]

    for end in range(whole.index(b"\n"), len(whole), 97):  # before its first line is whole, it is shown as it is
        assert full.startswith(by_who(answer_said(whole[:end]))["answer"])


def test_an_answer_that_is_no_json_is_shown_as_it_is() -> None:
    assert answer_said(b"plain \xff") == [Said("answer", "plain \ufffd")]
    assert answer_said(b"") == []


def test_a_prompts_messages_come_in_order_and_the_rest_behind() -> None:
    body = {
        "model": "m",
        "stream": True,
        "options": {"seed": 1},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hello", "images": ["(image of 3 bytes)"]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"function": {"name": "f"}}]},
            {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "lines"}]},
        ],
    }

    assert [(said.who, said.text) for said in prompt_said(json.dumps(body).encode())] == [
        ("system", "be brief"),
        ("user", "hello\n(image of 3 bytes)"),
        ("assistant, thinking", "hm"),
        ("assistant, tool call", '{"function": {"name": "f"}}'),
        ("user", "two\nlines"),
        ("other fields", '{"options": {"seed": 1}}'),
    ]


def test_an_anthropic_prompt_comes_in_the_order_it_was_said() -> None:
    body = {
        "system": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}],
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "let me see"},
                    {"type": "tool_use", "id": "1", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "12"},
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
    }

    assert [(said.who, said.text) for said in prompt_said(json.dumps(body).encode())] == [
        ("system", "be"),
        ("system", "brief"),
        ("assistant, thinking", "hm"),
        ("assistant", "let me see"),
        ("assistant, tool call", '{"type": "tool_use", "id": "1", "name": "f", "input": {}}'),
        ("user, tool result", '{"type": "tool_result", "tool_use_id": "1", "content": "12"}'),
        ("user", "and?"),
    ]


def test_tool_calls_and_thinking_of_anthropic_answers_are_shown() -> None:
    events = [
        {"type": "content_block_start", "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {}}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    whole = {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]}

    for kept in (stream.encode(), json.dumps(whole).encode()):
        said = by_who(answer_said(kept))
        assert said["thinking"] == "hm"
        assert '"name": "f"' in said["tool call"]
        assert '"a"' in said["tool call"]


def test_the_items_of_an_input_come_in_the_order_they_were_said() -> None:
    body = {
        "instructions": "be brief",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "hm"},
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "output": "12"},
        ],
        "text": {"format": {"type": "text"}},
    }

    assert [(said.who, said.text) for said in prompt_said(json.dumps(body).encode())] == [
        ("instructions", "be brief"),
        ("user", "look"),
        ("assistant, thinking", "hm"),
        ("assistant, tool call", '{"type": "function_call", "name": "f", "arguments": "{}"}'),
        ("tool", "12"),
        ("other fields", '{"text": {"format": {"type": "text"}}}'),
    ]


def test_tool_calls_and_thinking_of_responses_are_shown_once() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "hm"}
    events: list[dict[str, object]] = [
        {"type": "response.reasoning_summary_text.delta", "delta": "h"},
        {"type": "response.reasoning_summary_text.delta", "delta": "m"},
        {"type": "response.reasoning_summary_text.done", "text": "hm"},
        {"type": "response.output_item.done", "item": thought},
        {"type": "response.output_item.added", "item": call | {"arguments": ""}},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.output_item.done", "item": call},
        {"type": "response.completed", "response": {"output": [thought, call]}},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)

    for kept in (stream.encode(), json.dumps({"object": "response", "output": [thought, call]}).encode()):
        assert by_who(answer_said(kept)) == {"thinking": "hm", "tool call": json.dumps(call)}


def test_prompts_and_inputs_are_shown_as_text() -> None:
    assert by_who(prompt_said(b'{"system":"s","prompt":"p"}')) == {"system": "s", "prompt": "p"}
    assert [said.text for said in prompt_said(b'{"input":["a","b"]}')] == ["a", "b"]


def test_a_prompt_that_is_no_whole_json_is_shown_as_it_is() -> None:
    assert prompt_said(b'{"prompt":"cut he') == [Said("prompt", '{"prompt":"cut he')]


@given(kept=st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail(kept: bytes) -> None:
    prompt_said(kept)
    answer_said(kept)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "content",
                    "choices",
                    "delta",
                    "message",
                    "tool_calls",
                    "images",
                    "text",
                    "input",
                    "type",
                    "content_block",
                    "thinking",
                    "partial_json",
                    "system",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_no_json_at_all_makes_it_fail(value: object) -> None:
    names = ("messages", "choices", "input", "data", "system", "content", "content_block", "delta", "output", "item")
    kept = json.dumps(dict.fromkeys(names, value)).encode()

    prompt_said(kept)
    answer_said(kept)


def test_what_was_said_is_not_in_its_text_form() -> None:
    assert "canary" not in repr(Said("user", "canary"))
