"""The tables say what becomes of a field; the body that is sent upstream is held to it, and so are other bodies."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ollama.body import body_of
from domain.calls import Endpoint
from domain.refusals import Code, Refusal
from entrypoints.http.fields import EMPTY, Fate, Field, Table, apply, drop, keep, rewrite, table, text
from tests.adapters.ollama.tapes import upstream_of
from tests.entrypoints.http.bodies import BASES, EVERY_ENDPOINT, PNG, ROUTES
from tests.entrypoints.http.ollama_fields import IGNORED_BY_OLLAMA, OLLAMA
from tests.entrypoints.http.values import BY_REF, JUNK, requests

TABLES = {found.name: found for found in BY_REF.values()}
OURS, CAP = "Ours:1b", 77
SENT_BY_US = {"model", "stream", "stream_options", "max_tokens", "max_output_tokens", "options"}


def upstream(endpoint: Endpoint, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a backend gets for a request."""
    call = ROUTES[endpoint].read(body)
    sent: dict[str, Any] = json.loads(body_of(upstream_of(call, ours=OURS, output=CAP)))
    return sent


# -- the tables are complete ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OLLAMA)
def test_every_field_that_ollama_reads_has_a_row(name: str) -> None:
    where, _, fields = OLLAMA[name].partition(": ")

    assert set(fields.split()) <= TABLES[name].names
    assert where.startswith(("api/", "openai/", "anthropic/"))


@pytest.mark.parametrize("name", IGNORED_BY_OLLAMA)
def test_what_clients_send_in_vain_has_a_row_that_keeps_it_from_ollama(name: str) -> None:
    rows = {row.name: row for row in TABLES[name].fields}

    for field in IGNORED_BY_OLLAMA[name].split():
        assert rows[field].fate is not Fate.KEEP


def test_two_tables_never_share_a_name() -> None:
    assert len(TABLES) == len({id(found) for found in BY_REF.values()})


def test_a_row_says_whose_it_is_and_why_it_is_not_kept() -> None:
    for found in TABLES.values():
        for row in found.fields:
            assert row.source.partition(" ")[0].endswith(".go") or "reference" in row.source or "not of" in row.source


# -- the tables and the body that is sent ---------------------------------------------------------------------------
def check_object(rows: Table, given: Mapping[str, Any], sent: Mapping[str, Any], *, ours: set[str]) -> None:
    """That what was sent of an object is what its table says."""
    fates = {row.name: row for row in rows.fields}
    for name in sent.keys() - ours:
        assert fates[name].fate in (Fate.KEEP, Fate.REWRITE), name
        assert given.get(name) is not None, name
    for row in rows.fields:
        value = given.get(row.name)
        if row.fate is Fate.KEEP and value is not None:
            if row.name in sent:
                check_value(row, row.rule.schema, value, sent[row.name])
            else:
                assert row.rule(value, "") in EMPTY or not isinstance(row.rule(value, ""), str | list | dict)


def check_value(row: Field, schema: Mapping[str, Any], given: Any, sent: Any) -> None:
    """That a kept value is as it was, but for what the tables inside it say."""
    chosen = next((one for one in schema.get("anyOf", ()) if _fits(one, given)), schema)
    if chosen is not schema:
        check_value(row, chosen, given, sent)
    elif "items" in schema:
        assert len(given) == len(sent)
        for before, after in zip(given, sent, strict=True):
            check_value(row, schema["items"], before, after)
    elif "$ref" in schema:
        check_object(BY_REF[schema["$ref"]], given, sent, ours=set(schema.get("properties", ())))
    else:
        assert type(given) is type(sent), row.name
        assert given == sent, row.name


def _fits(schema: Mapping[str, Any], given: Any) -> bool:
    kinds = {"string": str, "array": list, "object": dict, "boolean": bool}
    if "$ref" in schema:
        tags = schema.get("properties", {}).items()
        return isinstance(given, dict) and all(
            given.get(name) in (tag.get("enum") or [tag["const"]]) for name, tag in tags
        )
    return isinstance(given, kinds.get(schema.get("type", ""), object))


@EVERY_ENDPOINT
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_the_body_that_is_sent_is_what_the_tables_say(endpoint: Endpoint, data: st.DataObject) -> None:
    rows = ROUTES[endpoint].fields
    body = data.draw(requests(rows))
    try:
        sent = upstream(endpoint, body)
    except Refusal as refusal:
        if refusal.code is Code.EMPTY_PROMPT:  # what no schema says
            return
        raise

    assert sent["model"] == OURS
    ours = SENT_BY_US | ({"input"} if endpoint is Endpoint.NATIVE_EMBEDDINGS else set())
    check_object(rows, body, sent, ours=ours)


DROPPED_ROWS = [(found.name, row.name) for found in TABLES.values() for row in found.fields if row.fate is Fate.DROP]


@pytest.mark.parametrize(("name", "field"), DROPPED_ROWS)
@settings(deadline=None, max_examples=5)
@given(value=JUNK)
def test_a_dropped_field_may_be_anything_and_goes_nowhere(name: str, field: str, value: Any) -> None:
    required = {row.name for row in TABLES[name].fields if row.required}
    optional = Table(name, [row for row in TABLES[name].fields if row.name not in required])

    assert apply(optional, {field: value}) == {}


# -- what is rewritten: a table's field -> the route, what is given, and what is sent of it --------------------------
C, G, E = Endpoint.NATIVE_CHAT, Endpoint.NATIVE_GENERATE, Endpoint.NATIVE_EMBED
OC, OP, OE = Endpoint.OPENAI_CHAT, Endpoint.OPENAI_COMPLETIONS, Endpoint.OPENAI_EMBEDDINGS
R, A = Endpoint.RESPONSES, Endpoint.ANTHROPIC_MESSAGES
OLD = Endpoint.NATIVE_EMBEDDINGS
IMAGE = f"data:image/png;base64,{PNG}"
CAPPED = {"options": {"num_predict": CAP}}
ANY_OBJECT = {"type": "json_schema", "name": "json_object", "schema": {"type": "object"}}
Sample = tuple[Endpoint, Mapping[str, Any], Mapping[str, Any]]


def _of_all(field: str, samples: Mapping[str, Sample]) -> dict[str, Sample]:
    return {f"{name}.{field}": sample for name, sample in samples.items()}


def _options(given: Mapping[str, Any], sent: Mapping[str, Any]) -> Sample:
    return (C, {"options": given}, {"options": {**sent, "num_predict": CAP}})


def _said(part: Any) -> Mapping[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


REWRITTEN: dict[str, Sample] = {
    **_of_all("model", {
        rows.fields.name: (endpoint, {"model": "mine"}, {"model": OURS}) for endpoint, rows in ROUTES.items()
    }),
    **_of_all("stream", {
        "NativeChat": (C, {}, {"stream": True}),
        "NativeGenerate": (G, {"stream": False}, {"stream": False}),
        "OpenAIChat": (OC, {}, {"stream": False}),
        "OpenAICompletions": (OP, {"stream": True}, {"stream": True}),
        "ResponsesRequest": (R, {}, {"stream": False}),
        "AnthropicMessages": (A, {"stream": True}, {"stream": True}),
    }),
    **_of_all("options", {"NativeChat": (C, {"options": {"x": 1}}, CAPPED), "NativeGenerate": (G, {}, CAPPED)}),
    "NativeOptions.num_predict": _options({"num_predict": -1}, {}),
    "NativeOptions.num_keep": _options({"num_keep": 4.9}, {"num_keep": 4}),
    "NativeOptions.top_k": _options({"top_k": 4.9}, {"top_k": 4}),
    "NativeOptions.repeat_last_n": _options({"repeat_last_n": -0.5}, {"repeat_last_n": 0}),
    "NativeOptions.seed": _options({"seed": 2**33 + 5}, {"seed": 5}),
    "NativeOptions.stop": _options({"stop": "end"}, {"stop": ["end"]}),
    "NativeEmbeddings.prompt": (OLD, {"prompt": "p"}, {"input": "p", "prompt": None}),
    **_of_all("max_tokens", {
        "OpenAIChat": (OC, {"max_tokens": 0}, {"max_tokens": CAP}),
        "OpenAICompletions": (OP, {"max_tokens": -1}, {"max_tokens": CAP}),
        "AnthropicMessages": (A, {"max_tokens": 2**40}, {"max_tokens": CAP}),
    }),
    **_of_all("max_completion_tokens", {
        "OpenAIChat": (OC, {"max_completion_tokens": 5}, {"max_tokens": CAP, "max_completion_tokens": None}),
        "OpenAICompletions": (OP, {"max_completion_tokens": 5}, {"max_tokens": CAP, "max_completion_tokens": None}),
    }),
    **_of_all("seed", {
        "OpenAIChat": (OC, {"seed": 2**33 + 5}, {"seed": 5}),
        "OpenAICompletions": (OP, {"seed": -1}, {"seed": -1}),
    }),
    **_of_all("stop", {
        "OpenAIChat": (OC, {"stop": "end"}, {"stop": ["end"]}),
        "OpenAICompletions": (OP, {"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
    }),
    **_of_all("stream_options", {
        "OpenAIChat": (OC, {"stream_options": {"x": 1}}, {"stream_options": None}),
        "OpenAICompletions": (OP, {"stream": True}, {"stream_options": {"include_usage": True}}),
    }),
    "OpenAIStreamOptions.include_usage": (
        OC,
        {"stream": True, "stream_options": {"include_usage": False}},
        {"stream_options": {"include_usage": True}},
    ),
    "OpenAIChat.response_format": (OC, {"response_format": {"type": "text"}}, {"response_format": None}),
    "OpenAIImagePart.image_url": (
        OC,
        _said({"type": "image_url", "image_url": IMAGE}),
        _said({"type": "image_url", "image_url": {"url": IMAGE}}),
    ),
    "OpenAICompletions.prompt": (OP, {"prompt": ["p"]}, {"prompt": "p"}),
    "OpenAIEmbeddings.encoding_format": (OE, {"encoding_format": "BASE64"}, {"encoding_format": "base64"}),
    "ResponsesRequest.max_output_tokens": (R, {"max_output_tokens": 0}, {"max_output_tokens": CAP}),
    "ResponsesText.format": (R, {"text": {"format": {"type": "json_object"}}}, {"text": {"format": ANY_OBJECT}}),
}  # fmt: skip


@pytest.mark.parametrize("row", REWRITTEN)
def test_a_rewritten_field_is_sent_as_its_row_says(row: str) -> None:
    endpoint, given, sent = REWRITTEN[row]
    found = upstream(endpoint, {**BASES[endpoint], **given})

    assert {name: found.get(name) for name in sent} == sent


def test_every_rewritten_field_has_a_sample() -> None:
    rows = {f"{found.name}.{row.name}" for found in TABLES.values() for row in found.fields if row.fate is Fate.REWRITE}

    assert rows == REWRITTEN.keys()


# -- what is refused ------------------------------------------------------------------------------------------------
REFUSED = [
    (endpoint, row) for endpoint, route in ROUTES.items() for row in route.fields.fields if row.fate is Fate.REFUSE
]


@pytest.mark.parametrize(("endpoint", "row"), REFUSED, ids=lambda value: getattr(value, "name", str(value)))
def test_a_refused_field_is_named_unless_it_asks_for_nothing(endpoint: Endpoint, row: Field) -> None:
    for nothing in (None, *row.rule.schema["enum"]):
        assert row.name not in upstream(endpoint, BASES[endpoint] | {row.name: nothing})
    with pytest.raises(Refusal) as met:
        upstream(endpoint, BASES[endpoint] | {row.name: "something"})

    assert met.value.param == row.name
    assert met.value.code is Code.INVALID_REQUEST


# -- the vocabulary -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("row", "arguments", "more"),
    [(keep, (text, ""), {}), (drop, ("x.go",), {"because": ""}), (rewrite, (text, "x.go"), {"because": ""})],
)
def test_a_row_without_a_source_or_a_reason_is_no_row(
    row: Callable[..., Field], arguments: Sequence[Any], more: Mapping[str, str]
) -> None:
    with pytest.raises(ValueError, match="`a`"):
        row("a", *arguments, **more)


def test_a_field_has_one_row() -> None:
    with pytest.raises(ValueError, match="two rows"):
        Table("T", [keep("a", text, "x.go"), keep("a", text, "x.go")])


def test_what_a_required_field_must_be_is_said_when_it_is_missing() -> None:
    inner = Table("Inner", [keep("a", text, "x.go", required=True)])
    outer = Table("Outer", [keep("b", table(inner), "x.go", required=True)])

    bodies: list[tuple[dict[str, Any], str]] = [
        ({}, "b"),
        ({"b": None}, "b"),
        ({"b": {}}, "b.a"),
        ({"b": {"a": None}}, "b.a"),
    ]
    for body, path in bodies:
        with pytest.raises(Refusal) as met:
            apply(outer, body)
        assert met.value.param == path
