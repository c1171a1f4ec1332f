"""What becomes of each field of a request, in both dialects."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calls import Endpoint
from domain.refusals import Refusal
from entrypoints.http import native
from entrypoints.http.fields import Fate
from tests.entrypoints.http.bodies import (
    BASES,
    EVERY_ENDPOINT,
    PNG,
    ROUTES,
    SCHEMA,
    TOOL,
    USER,
    junk,
    read,
)

DROPPED = object()

# -- the fate of every field that Ollama reads ----------------------------------------------------------------------
# Field -> (a value, what of it goes upstream). `model`, `stream` and the output cap are rewritten and so never kept.
Fates = Mapping[str, tuple[Any, Any]]
NATIVE_SHARED: Fates = {
    "model": ("m", DROPPED),
    "stream": (True, DROPPED),
    "options": ({"top_k": 5, "num_predict": 9, "num_ctx": 99}, {"top_k": 5}),
    "format": ("json", "json"),
    "think": ("high", "high"),
    "truncate": (False, False),
    "logprobs": (True, True),
    "top_logprobs": (20, 20),
    "keep_alive": ("10m", DROPPED),
    "shift": (False, DROPPED),
    "_debug_render_only": (True, DROPPED),
}
OPENAI_SHARED: Fates = {
    "model": ("m", DROPPED),
    "stream": (True, DROPPED),
    "stream_options": ({"include_usage": True}, DROPPED),
    "max_tokens": (5, DROPPED),
    "max_completion_tokens": (5, DROPPED),
    "seed": (7, 7),
    "stop": ("end", ["end"]),
    "temperature": (0.5, 0.5),
    "top_p": (0.5, 0.5),
    "frequency_penalty": (0.5, 0.5),
    "presence_penalty": (0.5, 0.5),
    "n": (1, DROPPED),
    "logit_bias": ({"50256": -100}, DROPPED),
    "user": ("u", DROPPED),
    "_debug_render_only": (True, DROPPED),
}
FATES: dict[Endpoint, Fates] = {
    Endpoint.NATIVE_CHAT: {**NATIVE_SHARED, "messages": ([USER], [USER]), "tools": ([TOOL], [TOOL])},
    Endpoint.NATIVE_GENERATE: {
        **NATIVE_SHARED,
        "prompt": ("p", "p"),
        "suffix": ("s", "s"),
        "system": ("s", "s"),
        "images": ([PNG], [PNG]),
        "template": ("{{ .Prompt }}", DROPPED),
        "raw": (True, DROPPED),
        "context": ([1, 2, 3], DROPPED),
    },
    Endpoint.NATIVE_EMBED: {
        "model": ("m", DROPPED),
        "input": (["a", "b"], ["a", "b"]),
        "truncate": (False, False),
        "dimensions": (64, 64),
        "options": ({"num_ctx": 9}, DROPPED),
        "keep_alive": (0, DROPPED),
    },
    Endpoint.NATIVE_EMBEDDINGS: {
        "model": ("m", DROPPED),
        "prompt": ("p", "p"),
        "options": ({"num_ctx": 9}, DROPPED),
        "keep_alive": (0, DROPPED),
    },
    Endpoint.OPENAI_CHAT: {
        **OPENAI_SHARED,
        "messages": ([USER], [USER]),
        "tools": ([TOOL], [TOOL]),
        "response_format": ({"type": "json_object"}, {"type": "json_object"}),
        "reasoning": ({"effort": "low", "summary": "auto"}, {"effort": "low"}),
        "reasoning_effort": ("high", "high"),
        "logprobs": (True, True),
        "top_logprobs": (3, 3),
        "tool_choice": ("auto", DROPPED),
        "parallel_tool_calls": (True, DROPPED),
        "store": (False, DROPPED),
        "metadata": ({"a": "b"}, DROPPED),
        "service_tier": ("auto", DROPPED),
    },
    Endpoint.OPENAI_COMPLETIONS: {
        **OPENAI_SHARED,
        "prompt": ("p", "p"),
        "suffix": ("s", "s"),
        "logprobs": (5, DROPPED),
        "best_of": (1, DROPPED),
        "echo": (False, DROPPED),
    },
    Endpoint.OPENAI_EMBEDDINGS: {
        "model": ("m", DROPPED),
        "input": (["a", "b"], ["a", "b"]),
        "dimensions": (64, 64),
        "encoding_format": ("Base64", "base64"),
        "user": ("u", DROPPED),
        "options": ({"num_ctx": 9}, DROPPED),
        "keep_alive": (0, DROPPED),
    },
    Endpoint.RESPONSES: {
        "model": ("m", DROPPED),
        "stream": (True, DROPPED),
        "max_output_tokens": (5, DROPPED),
        "input": ([USER], [{"type": "message"} | USER]),
        "instructions": ("s", "s"),
        "temperature": (0.5, 0.5),
        "top_p": (0.5, 0.5),
        "reasoning": ({"effort": "low", "summary": "auto"}, {"effort": "low"}),
        "text": (
            {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
            {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        ),
        "tools": (
            [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}],
            [{"type": "function", "name": "f", "parameters": SCHEMA}],
        ),
        "background": (True, DROPPED),
        "include": (["reasoning.encrypted_content"], DROPPED),
        "truncation": ("auto", DROPPED),
        "stream_options": ({"include_obfuscation": False}, DROPPED),
        "store": (True, DROPPED),
        "tool_choice": ({"type": "function", "name": "f"}, DROPPED),
        "parallel_tool_calls": (True, DROPPED),
        "metadata": ({"a": "b"}, DROPPED),
        "user": ("u", DROPPED),
        "service_tier": ("auto", DROPPED),
        "prompt_cache_key": ("k", DROPPED),
        "safety_identifier": ("s", DROPPED),
        "previous_response_id": ("", DROPPED),
        "conversation": ("", DROPPED),
        "prompt": ({}, DROPPED),
        "keep_alive": (0, DROPPED),
    },
    Endpoint.ANTHROPIC_MESSAGES: {
        "model": ("m", DROPPED),
        "max_tokens": (5, DROPPED),
        "stream": (True, DROPPED),
        "messages": ([USER], [USER]),
        "system": ("s", "s"),
        "temperature": (0.5, 0.5),
        "top_p": (0.5, 0.5),
        "top_k": (5, 5),
        "stop_sequences": (["end"], ["end"]),
        "tools": ([{"name": "f", "input_schema": SCHEMA}], [{"type": "custom", "name": "f", "input_schema": SCHEMA}]),
        "thinking": ({"type": "enabled", "budget_tokens": 1024}, {"type": "enabled"}),
        "output_config": ({"effort": "low"}, {"effort": "low"}),
        "tool_choice": ({"type": "any"}, DROPPED),
        "metadata": ({"user_id": "u"}, DROPPED),
        "service_tier": ("auto", DROPPED),
        "betas": (["x"], DROPPED),
        "cache_control": ({"type": "ephemeral"}, DROPPED),
        "container": ("c", DROPPED),
        "mcp_servers": ([], DROPPED),
        "keep_alive": (0, DROPPED),
    },
}
EVERY_FATED = pytest.mark.parametrize("endpoint", list(FATES), ids=lambda endpoint: endpoint.value)
FATE_ROWS = [(endpoint, name) for endpoint, fates in FATES.items() for name in fates]


@pytest.mark.parametrize(("endpoint", "name"), FATE_ROWS, ids=lambda value: getattr(value, "value", value))
def test_the_fate_of_a_field(endpoint: Endpoint, name: str) -> None:
    value, upstream = FATES[endpoint][name]
    fields = read(endpoint, **{name: value}).fields

    if upstream is DROPPED:
        assert name not in fields
    else:
        assert fields[name] == upstream


@EVERY_FATED
def test_all_fields_at_once_have_the_fates_they_have_alone(endpoint: Endpoint) -> None:
    call = read(endpoint, **{name: value for name, (value, _) in FATES[endpoint].items()})

    assert call.fields == {name: kept for name, (_, kept) in FATES[endpoint].items() if kept is not DROPPED}


@EVERY_FATED
def test_every_field_that_goes_upstream_has_a_stated_fate(endpoint: Endpoint) -> None:
    upstream = {row.name for row in ROUTES[endpoint].fields.fields if row.fate in (Fate.KEEP, Fate.REWRITE)}

    assert upstream <= FATES[endpoint].keys()


@EVERY_FATED
def test_null_means_not_given(endpoint: Endpoint) -> None:
    nulls = dict.fromkeys(FATES[endpoint].keys() - BASES[endpoint].keys())

    assert read(endpoint, **nulls) == read(endpoint)


FORBIDDEN = [
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict", "low_vram", "numa",
    "num_predict", "NUM_CTX", "Num_Gpu", "num_\u0441tx", "vocab_only", "use_mlock", "f16_kv", "mirostat", "tfs_z",
    "keep_alive", "Keep_Alive", "\u212aeep_alive", "shift", "template", "raw", "context", "_debug_render_only",
    "model", "stream", "max_tokens", "name", "remote_host", "tool_choice", "web_search",
]  # fmt: skip
ALLOWED_OPTIONS = {
    "num_keep", "seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "stop",
}  # fmt: skip
unknown = st.dictionaries(st.sampled_from(FORBIDDEN), junk, max_size=5)


@given(st.sampled_from(list(FATES)), unknown, unknown)
def test_forbidden_options_never_go_upstream(endpoint: Endpoint, top: dict[str, Any], inner: dict[str, Any]) -> None:
    spoken = BASES[endpoint].keys() | {"stream", "max_tokens"}
    refused = {"Keep_Alive", "\u212aeep_alive"}  # a known field in another spelling
    more = {name: value for name, value in top.items() if name not in spoken | refused}
    options = {name: value for name, value in inner.items() if name != "num_predict"}
    fields = read(endpoint, options=options, **more).fields

    assert fields.keys() <= BASES[endpoint].keys() | {"options"}
    assert fields.get("options", {}).keys() <= ALLOWED_OPTIONS


@pytest.mark.parametrize("name", sorted(ALLOWED_OPTIONS))
def test_every_option_of_one_request_is_served(name: str) -> None:
    value = ["a"] if name == "stop" else 1

    assert read(Endpoint.NATIVE_CHAT, options={name: value}).fields["options"] == {name: value}


@given(st.dictionaries(st.sampled_from(sorted(ALLOWED_OPTIONS)), st.floats() | st.integers(-(2**63), 2**63 - 1)))
def test_options_that_go_upstream_are_within_bounds(options: dict[str, Any]) -> None:
    try:
        kept = read(Endpoint.NATIVE_GENERATE, options=options).fields["options"]
    except Refusal:
        return

    assert all(-10 <= value <= 2**31 for value in kept.values())


# -- shapes of real clients -----------------------------------------------------------------------------------------
CALLED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
REAL: dict[str, tuple[Endpoint, dict[str, Any]]] = {
    "Ollama's Go client, generate": (
        Endpoint.NATIVE_GENERATE,
        {"suffix": "", "system": "", "template": "", "options": None, "images": []},
    ),
    "Ollama's Go client, chat": (Endpoint.NATIVE_CHAT, {"options": None, "format": "", "tools": []}),
    "langchain-ollama": (
        Endpoint.NATIVE_CHAT,
        {
            "format": "",
            "options": {"mirostat": None, "mirostat_eta": None, "mirostat_tau": None, "tfs_z": None, "stop": None},
            "tools": [],
            "keep_alive": None,
        },
    ),
    "litellm, images": (Endpoint.NATIVE_GENERATE, {"images": []}),
    "a message of litellm": (Endpoint.NATIVE_CHAT, {"messages": [USER | {"images": [], "tool_calls": []}]}),
    "think as an empty text": (Endpoint.NATIVE_CHAT, {"think": ""}),
    "ollama-ai-provider-v2, misplaced": (
        Endpoint.NATIVE_CHAT,
        {"temperature": 0.5, "max_output_tokens": 9, "tool_choice": {"type": "auto"}},
    ),
    "ollama-python, a tool's answer": (
        Endpoint.NATIVE_CHAT,
        {
            "messages": [
                USER,
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
                {"role": "tool", "content": "1", "tool_name": "f"},
            ]
        },
    ),
    "a seed of 64 bits": (Endpoint.NATIVE_CHAT, {"options": {"seed": 2**63 - 1, "num_predict": -1}}),
    "langchain-openai": (
        Endpoint.OPENAI_CHAT,
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALLED]},
                {"role": "tool", "content": "1", "tool_call_id": "call_1"},
            ],
            "logprobs": None,
            "seed": None,
            "n": 1,
            "stream": False,
            "tools": [],
        },
    ),
    "openai, everything": (
        Endpoint.OPENAI_CHAT,
        {
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
            "store": True,
            "metadata": {"a": "b"},
            "service_tier": "auto",
            "user": "u",
            "logit_bias": {"1": -100},
            "n": 1,
            "max_completion_tokens": 9,
            "tools": [{"type": "function", "function": TOOL["function"] | {"strict": True}}],  # type: ignore[operator]
            "response_format": {"type": "text"},
            "stream_options": None,
        },
    ),
    "instructor": (
        Endpoint.OPENAI_CHAT,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "City", "strict": True, "schema": SCHEMA},
            }
        },
    ),
    "parts": (
        Endpoint.OPENAI_CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "me"}]},
    ),
    "an image with its detail": (
        Endpoint.OPENAI_CHAT,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
                    ],
                }
            ]
        },
    ),
    "langchain-openai, completions": (Endpoint.OPENAI_COMPLETIONS, {"prompt": ["Hi"], "best_of": 1, "suffix": ""}),
    "openai, embeddings": (Endpoint.OPENAI_EMBEDDINGS, {"input": ["a"], "encoding_format": "base64"}),
    "no stop words": (Endpoint.OPENAI_CHAT, {"stop": []}),
}


@pytest.mark.parametrize(("endpoint", "more"), REAL.values(), ids=REAL.keys())
def test_what_real_clients_send_is_accepted(endpoint: Endpoint, more: dict[str, Any]) -> None:
    call = read(endpoint, **more)

    assert call.endpoint is endpoint
    assert call.model == "m"
    assert not {"temperature", "max_output_tokens", "tool_choice", "n"} & call.fields.keys()
    json.dumps(call.fields)


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        (Endpoint.NATIVE_GENERATE, {"suffix": "", "system": "", "images": [], "format": "", "think": ""}),
        (Endpoint.NATIVE_CHAT, {"tools": [], "format": ""}),
        (Endpoint.OPENAI_CHAT, {"tools": [], "stop": "", "response_format": {"type": "text"}, "reasoning": {}}),
        (Endpoint.OPENAI_COMPLETIONS, {"suffix": "", "stop": []}),
    ],
)
def test_empty_means_not_given(endpoint: Endpoint, more: dict[str, Any]) -> None:
    assert read(endpoint, **more) == read(endpoint)


def test_a_tool_is_cut_to_what_is_known_of_it() -> None:
    sent = {"type": "function", "strict": True, "function": {**TOOL["function"], "strict": True, "x": 1}}  # type: ignore[dict-item]

    assert read(Endpoint.OPENAI_CHAT, tools=[sent]).fields["tools"] == [TOOL]
    assert read(Endpoint.NATIVE_CHAT, tools=[sent]).fields["tools"] == [TOOL]


# -- streaming, caps, thinking --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("endpoint", "given", "streamed"),
    [
        (Endpoint.NATIVE_CHAT, {}, True),
        (Endpoint.NATIVE_CHAT, {"stream": None}, True),
        (Endpoint.NATIVE_CHAT, {"stream": False}, False),
        (Endpoint.NATIVE_GENERATE, {}, True),
        (Endpoint.NATIVE_EMBED, {"stream": True}, False),
        (Endpoint.OPENAI_CHAT, {}, False),
        (Endpoint.OPENAI_CHAT, {"stream": None}, False),
        (Endpoint.OPENAI_CHAT, {"stream": True}, True),
        (Endpoint.OPENAI_COMPLETIONS, {}, False),
        (Endpoint.OPENAI_EMBEDDINGS, {"stream": True}, False),
    ],
)
def test_each_dialect_streams_by_its_own_default(endpoint: Endpoint, given: dict[str, Any], *, streamed: bool) -> None:
    assert read(endpoint, **given).streamed is streamed


@pytest.mark.parametrize(
    ("asked", "cap"),
    [(None, None), (0, None), (0.9, None), (-1, None), (-2, None), (1, 1), (1.9, 1), (64, 64), (2**63 - 1, 2**63 - 1)],
)
def test_num_predict_caps_only_when_it_is_positive(asked: float | None, cap: int | None) -> None:
    for endpoint in (Endpoint.NATIVE_CHAT, Endpoint.NATIVE_GENERATE):
        call = read(endpoint, options={"num_predict": asked})
        assert call.asked_output_tokens == cap
        assert "num_predict" not in call.fields["options"]


@pytest.mark.parametrize(
    ("given", "cap"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 9}, 5),
        ({"max_tokens": 9, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 0, "max_completion_tokens": 5}, 5),
        ({"max_tokens": -1}, None),
        ({"max_tokens": None, "max_completion_tokens": None}, None),
    ],
)
def test_both_names_of_the_cap_are_understood(given: dict[str, Any], cap: int | None) -> None:
    for endpoint in (Endpoint.OPENAI_CHAT, Endpoint.OPENAI_COMPLETIONS):
        assert read(endpoint, **given).asked_output_tokens == cap


@pytest.mark.parametrize(
    ("given", "sent"), [(0, 0), (42, 42), (-1, -1), (-2, 2**31 - 2), (2**31, 0), (2**63 - 1, 2**31 - 1)]
)
def test_a_seed_is_brought_to_31_bits_and_minus_one_stays_random(given: int, sent: int) -> None:
    assert read(Endpoint.NATIVE_CHAT, options={"seed": given}).fields["options"]["seed"] == sent
    assert read(Endpoint.OPENAI_CHAT, seed=given).fields["seed"] == sent


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, False), ({"include_usage": True}, True), ({"include_usage": None}, False)]
)
def test_whether_the_usage_chunk_was_asked_for_is_kept(given: dict[str, Any], *, wanted: bool) -> None:
    assert read(Endpoint.OPENAI_CHAT, stream=True, stream_options=given).wants_usage is wanted


@pytest.mark.parametrize(
    ("endpoint", "given", "structured", "thinks"),
    [
        (Endpoint.NATIVE_CHAT, {}, False, True),
        (Endpoint.NATIVE_CHAT, {"format": "json"}, True, True),
        (Endpoint.NATIVE_CHAT, {"format": SCHEMA, "think": False}, True, False),
        (Endpoint.NATIVE_GENERATE, {"format": SCHEMA, "think": "low"}, True, True),
        (Endpoint.OPENAI_CHAT, {"response_format": {"type": "json_object"}}, True, True),
        (Endpoint.OPENAI_CHAT, {"response_format": {"type": "text"}, "reasoning_effort": "none"}, False, False),
        (Endpoint.OPENAI_CHAT, {"reasoning": {"effort": "none"}, "reasoning_effort": "high"}, False, False),
        (Endpoint.OPENAI_CHAT, {"reasoning": {"effort": "high"}, "reasoning_effort": "none"}, False, True),
        (Endpoint.OPENAI_COMPLETIONS, {}, False, True),
    ],
)
def test_format_and_thinking_are_noticed(
    endpoint: Endpoint, given: dict[str, Any], *, structured: bool, thinks: bool
) -> None:
    call = read(endpoint, **given)

    assert (call.structured, call.thinks) == (structured, thinks)


@pytest.mark.parametrize("reasoning", [None, {}, {"effort": None}, {"summary": "auto"}])
def test_an_empty_reasoning_cannot_hide_the_effort_from_us_and_show_it_to_the_backend(reasoning: Any) -> None:
    """Ollama takes `reasoning` before `reasoning_effort` whenever it is there, even when it is empty."""
    call = read(Endpoint.OPENAI_CHAT, reasoning=reasoning, reasoning_effort="none")

    assert "reasoning" not in call.fields
    assert call.fields["reasoning_effort"] == "none"
    assert not call.thinks


@EVERY_ENDPOINT
def test_the_callers_spelling_of_the_model_is_kept(endpoint: Endpoint) -> None:
    assert read(endpoint, model=" LLAMA3:Latest ").model == " LLAMA3:Latest "


@given(st.sampled_from(list(FATES)), st.data())
def test_any_json_is_a_call_or_a_refusal(endpoint: Endpoint, data: st.DataObject) -> None:
    values = st.recursive(
        junk | st.text(max_size=3) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "type", "function", "text", "image_url", "url", "tool_calls", "stop"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    )
    body = data.draw(st.dictionaries(st.sampled_from(sorted(FATES[endpoint])), values))
    try:
        json.dumps(ROUTES[endpoint].read(BASES[endpoint] | body).fields, allow_nan=False)
    except Refusal as met:
        param = met.param
    else:
        param = "none"
    assert param


@pytest.mark.parametrize(("given", "sent"), [(40.0, 40), (40.9, 40), (-1, -1), (0, 0)])
def test_a_whole_numbered_option_is_cut_towards_zero_as_ollama_does(given: float, sent: int) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "options": {"top_k": given}}

    assert native.read_chat(body).fields["options"] == {"top_k": sent}
