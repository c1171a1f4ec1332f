"""Each wrong field is refused by its path."""

from typing import Any

import pytest

from domain.calls import Endpoint
from domain.refusals import Code
from tests.entrypoints.http.bodies import PNG, ROUTES, TOOL, USER, each, refusal, said


# -- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("endpoint", "more", "field"),
    [
        *((Endpoint.NATIVE_CHAT, {"messages": value}, "messages") for value in each(None, [])),
        *((Endpoint.NATIVE_GENERATE, {"prompt": value}, "prompt") for value in each(None, "")),
        *((Endpoint.NATIVE_EMBED, {"input": value}, "input") for value in each(None, "", [], [""], ["", ""])),
        *((Endpoint.OPENAI_CHAT, {"messages": value}, "messages") for value in each(None, [])),
        *((Endpoint.OPENAI_COMPLETIONS, {"prompt": value}, "prompt") for value in each(None, "", [""])),
        *((Endpoint.OPENAI_EMBEDDINGS, {"input": value}, "input") for value in each(None, "", [], [""])),
        (Endpoint.NATIVE_GENERATE, {"prompt": "", "images": [PNG]}, "prompt"),
        (Endpoint.NATIVE_GENERATE, {"prompt": "", "keep_alive": 0}, "prompt"),
    ],
)
def test_an_empty_prompt_is_a_free_load_and_refused(endpoint: Endpoint, more: dict[str, Any], field: str) -> None:
    met = refusal(endpoint, **more)

    assert met.code is Code.EMPTY_PROMPT
    assert met.param == field


C, G, E = Endpoint.NATIVE_CHAT, Endpoint.NATIVE_GENERATE, Endpoint.NATIVE_EMBED
OC, OP, OE = Endpoint.OPENAI_CHAT, Endpoint.OPENAI_COMPLETIONS, Endpoint.OPENAI_EMBEDDINGS


def image(url: Any) -> dict[str, Any]:
    return said({"type": "image_url", "image_url": {"url": url}})


URL_PATH = "messages[0].content[0].image_url.url"
WRONG: list[tuple[Endpoint, dict[str, Any], str]] = [
    *((endpoint, {"model": value}, "model") for endpoint in ROUTES for value in each(None, "", 1, ["m"], {})),
    *((endpoint, {"stream": value}, "stream") for endpoint in (C, G, OC, OP) for value in each(0, 1, "true", [], {})),
    *((C, {"messages": value}, "messages") for value in each("Hi", {"role": "user"}, 1, True)),
    *((endpoint, {"messages": [USER] * 513}, "messages") for endpoint in (C, OC)),
    *(
        (endpoint, {"messages": [USER, value]}, "messages[1]")
        for endpoint in (C, OC)
        for value in each("x", None, 1, [])
    ),
    *((endpoint, {"messages": [{"role": value}]}, "messages[0].role") for endpoint in (C, OC) for value in each(1, [])),
    (C, {"messages": [{"content": ["Hi"]}]}, "messages[0].content"),
    (C, {"messages": [{"content": 1}]}, "messages[0].content"),
    (C, {"messages": [{"images": PNG}]}, "messages[0].images"),
    (C, {"messages": [{"images": [PNG] * 17}]}, "messages[0].images"),
    *(
        (C, {"messages": [{"images": [value]}]}, "messages[0].images[0]")
        for value in each("", "é", "a", "a b", "===", 1)
    ),
    (C, {"messages": [{"images": [f"data:image/png;base64,{PNG}"]}]}, "messages[0].images[0]"),
    (C, {"messages": [{"tool_calls": {}}]}, "messages[0].tool_calls"),
    (
        C,
        {"messages": [{"tool_calls": [{"function": {"arguments": "{}"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    (C, {"messages": [{"tool_calls": [{"function": "f"}]}]}, "messages[0].tool_calls[0].function"),
    *((C, {"options": value}, "options") for value in each([], "x", 1, False)),
    *((C, {"options": {"temperature": value}}, "options.temperature") for value in each("0.5", True, -1, 11, [])),
    *((C, {"options": {"top_k": value}}, "options.top_k") for value in each("1", True, -2, 10**6)),
    *((C, {"options": {"num_predict": value}}, "options.num_predict") for value in each("9", True, [], 1e30)),
    *((C, {"options": {"seed": value}}, "options.seed") for value in each(1.5, "1", True)),
    *((C, {"options": {"stop": value}}, "options.stop") for value in each(1, {}, ["a"] * 17)),
    (C, {"options": {"stop": ["a", "b", 3]}}, "options.stop[2]"),
    (C, {"options": {"stop": ["a", None]}}, "options.stop[1]"),
    *((C, {"format": value}, "format") for value in each("xml", "JSON", 1, [], True, "out of memory")),
    (C, {"format": {"x": "y" * 70_000}}, "format"),
    *(
        (C, {"format": {"description": words}}, "format")
        for words in (
            "out of memory",
            "CUDA Out Of Memory",
            "cudaMalloc failed",
            "an OOM!",
            "failed to allocate",
            "fa\u0130led to allocate",
        )
    ),
    *((C, {"think": value}, "think") for value in each("yes", 1, [], "HIGH", {})),
    *((C, {"top_logprobs": value}, "top_logprobs") for value in each(-1, 21, 1.0, "5", True)),
    (C, {"logprobs": 1}, "logprobs"),
    (C, {"tools": {}}, "tools"),
    (C, {"tools": [TOOL] * 129}, "tools"),
    *((endpoint, {"tools": [{"type": "web_search"}]}, "tools[0].type") for endpoint in (C, OC)),
    *((endpoint, {"tools": [{"type": "Function"}]}, "tools[0].type") for endpoint in (C, OC)),
    (C, {"tools": [{"function": {"parameters": []}}]}, "tools[0].function.parameters"),
    (OC, {"tools": [{"function": {"name": 1}}]}, "tools[0].function.name"),
    (OC, {"tools": [{"function": {"parameters": {"x": "y" * 70_000}}}]}, "tools[0].function.parameters"),
    (G, {"prompt": ["Hi"]}, "prompt"),
    (G, {"prompt": 1}, "prompt"),
    (G, {"suffix": 1}, "suffix"),
    (G, {"system": []}, "system"),
    (G, {"truncate": "yes"}, "truncate"),
    *((E, {"input": value}, "input") for value in each(1, {}, True, ["a"] * 513)),
    *((E, {"input": ["a", value]}, "input[1]") for value in each(1, None, ["b"])),
    *((endpoint, {"dimensions": value}, "dimensions") for endpoint in (E, OE) for value in each(0, -1, 1.5, "64")),
    *((OC, {"max_tokens": value}, "max_tokens") for value in each(1.0, "9", True, [])),
    *((OC, {"max_completion_tokens": value}, "max_completion_tokens") for value in each(1.0, "9")),
    *((OC, {"stream_options": value}, "stream_options") for value in each(True, [], "x")),
    (OC, {"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    *((OC, {"response_format": value}, "response_format") for value in each("json", [], 1)),
    (OC, {"response_format": {"type": "xml"}}, "response_format.type"),
    (OC, {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        OC,
        {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
        "response_format.json_schema.schema",
    ),
    (
        OC,
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"title": "out of memory"}}}},
        "response_format.json_schema.schema",
    ),
    *((OC, {"reasoning_effort": value}, "reasoning_effort") for value in each("some", 1, True, [])),
    (OC, {"reasoning": {"effort": "some"}}, "reasoning.effort"),
    (OC, {"reasoning": "high"}, "reasoning"),
    *((OC, {"temperature": value}, "temperature") for value in each("1", True, -0.1, 10.1)),
    *((OC, {"top_p": value}, "top_p") for value in each(1.1, -0.1, "x")),
    *((OC, said(value), "messages[0].content[0]") for value in each("Hi", 1, [])),
    *((OC, said(value), "messages[0].content[0].type") for value in each({}, {"type": "input_audio"}, {"type": []})),
    (OC, said({"type": "file", "file": {"file_id": "x"}}), "messages[0].content[0].type"),
    (OC, said({"type": "text", "text": 1}), "messages[0].content[0].text"),
    (OC, said({"type": "text"}), "messages[0].content[0].text"),
    (OC, {"messages": [{"content": 1}]}, "messages[0].content"),
    *(
        (OC, image(url), URL_PATH)
        for url in (
            None,
            1,
            "",
            "https://example.com/a.png",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "data:text/html;base64,AAAA",
            "data:image/png,AAAA",
            "data:image/png;base64",
            "data:image/png;base64,",
            "data:image/png;base64,é",
            "data:image/png;base64,\u0661AAA",
            "data:image/png;base64,A",
            "data:image/png;base64,AA=A",
            "data:image/png;base64,A===",
            "data:image/png;base64,AAAA\n",
            "data:image/png;base64," + "A" * 80 + "é",
            "DATA:image/png;base64,AAAA",
        )
    ),
    (OC, said({"type": "image_url"}), "messages[0].content[0].image_url"),
    (
        OC,
        {"messages": [{"tool_calls": [{"function": {"arguments": {}}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    *((OP, {"prompt": value}, "prompt") for value in each(["a", "b"], [], [1, 2], [[1]], 1, {})),
    *((OE, {"input": value}, "input") for value in each([1, 2, 3], [[1, 2], [3]], 1, {}, ["a"] * 513)),
    (OE, {"input": ["a", 1]}, "input[1]"),
    *((endpoint, {"n": value}, "n") for endpoint in (OC, OP) for value in each(2, 10**9, "3", [2], -1)),
    *((Endpoint.NATIVE_EMBEDDINGS, {"prompt": value}, "prompt") for value in each(None, "", 1, ["Hi"])),
    *((OE, {"encoding_format": value}, "encoding_format") for value in each("hex", 1, [])),
]


@pytest.mark.parametrize(
    ("endpoint", "more", "path"), WRONG, ids=[f"{number}-{e.value}-{p}" for number, (e, _, p) in enumerate(WRONG)]
)
def test_a_field_of_the_wrong_kind_is_named(endpoint: Endpoint, more: dict[str, Any], path: str) -> None:
    met = refusal(endpoint, **more)

    assert met.code in (Code.INVALID_REQUEST, Code.EMPTY_PROMPT)
    assert met.param == path
    assert f"`{path}`" in met.sentence
    assert len(met.sentence) < 300


@pytest.mark.parametrize(("endpoint", "field"), [(OP, "prompt"), (OE, "input")])
@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_who_sends_tokens_in_place_of_text_is_told_so(endpoint: Endpoint, field: str, tokens: list[Any]) -> None:
    assert "token arrays are not served" in refusal(endpoint, **{field: tokens}).sentence
