"""The bound on the prompt covers all that Ollama makes of a request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import SLACK_PER_PIECE, bounds_of
from domain.calls import Call, Endpoint
from tests.builders import a_model, caps
from tests.entrypoints.http.bodies import (
    PNG,
    USER,
    read,
    said,
)


# -- the bounds that the readers prepare ----------------------------------------------------------------------------
def go_json(value: Any) -> str:
    """As Go's `json.Marshal` writes it, and with the spaces that some of Ollama's renderers put in."""
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def prompt_bound(call: Call) -> int:
    return bounds_of(call, a_model(context_length=None, template_bytes=0), caps()).prompt


plain_text = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.fixed_dictionaries({"role": plain_text, "content": plain_text, "thinking": plain_text}), min_size=1))
def test_p_covers_every_text_of_a_native_chat(messages: list[dict[str, Any]]) -> None:
    call = read(Endpoint.NATIVE_CHAT, messages=messages)
    text = sum(len(value.encode()) for message in messages for value in message.values())

    assert call.inputs_bytes == (text,)
    assert prompt_bound(call) == text + SLACK_PER_PIECE * len(messages)


@given(plain_text, plain_text, st.text(alphabet='<>&a"\\é\n,:', max_size=60))
def test_p_covers_tools_and_calls_as_go_writes_them(name: str, key: str, description: str) -> None:
    tool = {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": {"properties": {key: {"enum": [1, 2]}}}},
    }
    calls = [{"function": {"name": name, "arguments": {key: description}}}]
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}]
    call = read(Endpoint.NATIVE_CHAT, messages=messages, tools=[tool])

    assert sum(call.inputs_bytes) >= len(go_json(tool).encode()) + len(go_json(calls).encode())
    assert call.pieces == 2


@given(st.lists(plain_text, min_size=1, max_size=40), plain_text)
def test_p_covers_the_messages_that_ollama_makes_of_parts(parts: list[str], role: str) -> None:
    """Each part becomes a message of its own, with the role of the whole."""
    content = [{"type": "text", "text": text} for text in parts]
    made = [{"role": role, "content": text} for text in parts]
    one = read(Endpoint.OPENAI_CHAT, messages=[{"role": role, "content": content}])
    many = read(Endpoint.OPENAI_CHAT, messages=made)

    assert one.pieces == many.pieces == len(parts)
    assert one.inputs_bytes == many.inputs_bytes


def test_p_covers_the_function_names_that_ollama_gives_to_answers() -> None:
    """A tool's answer that names a call is given that function's name."""
    name = "f" * 1000
    called = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    answers = [{"role": "tool", "content": "x", "tool_call_id": "1"}] * 5
    call = read(Endpoint.OPENAI_CHAT, messages=[{"role": "assistant", "tool_calls": [called]}, *answers])

    assert sum(call.inputs_bytes) >= len(name) * 6


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("[1e20,-1e20,1.5E+20]", "[100000000000000000000,-100000000000000000000,150000000000000000000]"),
        ("[1e-6,1e5]", "[0.000001,100000]"),
        ('["\u2028\u2029"]', r'["\u2028\u2029"]'),
        ('["\\u0001<&>"]', r'["\u0001\u003c\u0026\u003e"]'),
    ],
)
def test_p_covers_arguments_as_go_writes_them_anew(given: str, written: str) -> None:
    """What Go's `json.Marshal` makes of what it has decoded; OpenAI's clients send arguments as text."""
    count = 200
    arguments = json.dumps({"a": json.loads(given) * count})
    as_text = f'{{"a":[{",".join([given] * count)}]}}'
    function = {"name": "f", "arguments": as_text}
    calls = {
        Endpoint.NATIVE_CHAT: {"function": {"name": "f", "arguments": json.loads(arguments)}},
        Endpoint.OPENAI_CHAT: {"id": "1", "type": "function", "function": function},
    }
    for endpoint, call in calls.items():
        messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
        assert sum(read(endpoint, messages=messages).inputs_bytes) >= (len(written.encode()) - 2) * count

    item = {"type": "function_call", "call_id": "1", **function}
    assert read(Endpoint.RESPONSES, input=[item], max_output_tokens=1).inputs_bytes[0] >= (len(written) - 2) * count


def test_p_covers_arguments_that_become_tags() -> None:
    """Some of Ollama's renderers write `<parameter=a1>`, nine tokens with its end, where JSON has `"a1":1,`."""
    arguments = dict.fromkeys((f"a{nth}" for nth in range(500)), 1)
    call = {"function": {"name": "f", "arguments": arguments}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]

    assert sum(read(Endpoint.NATIVE_CHAT, messages=messages).inputs_bytes) >= 500 * 9 + sum(map(len, arguments))


@pytest.mark.parametrize("said", ['"', "\\", "\n", "<", "\x01", "\u2028"])
def test_p_covers_a_tools_answer_written_as_json(said: str) -> None:
    """As Llama 3.1's chat template has it, and Ollama's renderer for Cohere's models, in an object of its own."""
    answer = said * 1000
    written = len(go_json({"tool_call_id": "0", "results": {"0": {"content": answer}}, "is_error": None}))
    result = {"type": "tool_result", "tool_use_id": "1", "content": answer}
    parted = {**result, "content": [{"type": "text", "text": answer}]}
    output = {"type": "function_call_output", "call_id": "1", "output": answer}
    bodies: list[tuple[Endpoint, dict[str, Any]]] = [
        (Endpoint.NATIVE_CHAT, {"messages": [{"role": "tool", "content": answer}]}),
        (Endpoint.OPENAI_CHAT, {"messages": [{"role": "tool", "content": answer, "tool_call_id": "1"}]}),
        (Endpoint.ANTHROPIC_MESSAGES, {"messages": [{"role": "user", "content": [result]}], "max_tokens": 1}),
        (Endpoint.ANTHROPIC_MESSAGES, {"messages": [{"role": "user", "content": [parted]}], "max_tokens": 1}),
        (Endpoint.RESPONSES, {"input": [output]}),
    ]

    for endpoint, body in bodies:
        assert sum(read(endpoint, **body).inputs_bytes) >= written


def test_p_covers_the_function_names_that_models_are_shown_with_results() -> None:
    """Ollama's renderers for Gemma's models name the function with each of its results."""
    name = "f" * 1000
    use = {"type": "tool_use", "id": "1", "name": name, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "x"}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result] * 5}]
    called = {"function": {"name": name, "arguments": {}}}
    native = [{"role": "assistant", "content": "", "tool_calls": [called]}, *[{"role": "tool", "content": "x"}] * 5]

    assert sum(read(Endpoint.ANTHROPIC_MESSAGES, messages=turns, max_tokens=1).inputs_bytes) >= len(name) * 6
    assert sum(read(Endpoint.NATIVE_CHAT, messages=native).inputs_bytes) >= len(name) * 6


def test_images_are_counted_and_not_measured() -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    openai_call = read(Endpoint.OPENAI_CHAT, **said(picture, {"type": "text", "text": "Hi"}, picture))
    chat = read(Endpoint.NATIVE_CHAT, messages=[USER | {"images": [PNG, PNG]}, USER | {"images": [PNG]}])

    assert openai_call.images == 2
    assert chat.images == 3
    assert read(Endpoint.NATIVE_GENERATE, images=[PNG]).images == 1
    assert sum(openai_call.inputs_bytes) < 20


def test_embeddings_are_measured_input_by_input() -> None:
    for endpoint in (Endpoint.NATIVE_EMBED, Endpoint.OPENAI_EMBEDDINGS):
        assert read(endpoint, input=["é", "", "abc"]).inputs_bytes == (2, 0, 3)
        assert read(endpoint, input="é").inputs_bytes == (2,)


def test_p_covers_prompt_suffix_and_system() -> None:
    assert read(Endpoint.NATIVE_GENERATE, prompt="é", suffix="abc", system="xy").inputs_bytes == (7,)
    assert read(Endpoint.OPENAI_COMPLETIONS, prompt=["é"], suffix="abc").inputs_bytes == (5,)
