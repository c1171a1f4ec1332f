import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.refusals import Code, Refusal
from entrypoints.http.native import CHAT, GENERATE, read_generate
from entrypoints.http.strict_json import MAX_DEPTH, read_object

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t ",
    "null": b"null",
    "array": b"[]",
    "array of objects": b'[{"model":"a"}]',
    "text": b'"a"',
    "number": b"1",
    "true": b"true",
    "bare word": b"model",
    "form": b"model=a&prompt=b",
    "xml": b"<model>a</model>",
    "unclosed": b'{"model":"a"',
    "unclosed text": b'{"model":"a',
    "unopened": b'"model":"a"}',
    "single quotes": b"{'model':'a'}",
    "bare key": b'{model:"a"}',
    "trailing comma": b'{"model":"a",}',
    "leading comma": b'{,"model":"a"}',
    "two commas": b'{"a":1,,"b":2}',
    "no colon": b'{"model" "a"}',
    "no value": b'{"model":}',
    "trailing comma in array": b'{"a":[1,]}',
    "comment": b'{"model":"a"}//x',
    "comment inside": b'{/*x*/"model":"a"}',
    "hash comment": b'{"model":"a"}#x',
    "second value": b'{"model":"a"}{"model":"b"}',
    "second value on a line": b'{"model":"a"}\n{"model":"b"}',
    "second scalar": b'{"model":"a"} 1',
    "trailing NUL": b'{"model":"a"}\0',
    "trailing bracket": b'{"model":"a"}]',
    "trailing word": b'{"model":"a"}x',
    "leading NUL": b'\0{"model":"a"}',
    "leading vertical tab": b'\x0b{"model":"a"}',
    "leading form feed": b'\x0c{"model":"a"}',
    "leading no-break space": '\u00a0{"model":"a"}'.encode(),
    "UTF-8 BOM": b'\xef\xbb\xbf{"model":"a"}',
    "UTF-16 LE": '{"model":"a"}'.encode("utf-16-le"),
    "UTF-16 BE": '{"model":"a"}'.encode("utf-16-be"),
    "UTF-16 with BOM": '{"model":"a"}'.encode("utf-16"),
    "UTF-32 LE": '{"model":"a"}'.encode("utf-32-le"),
    "UTF-32 BE": '{"model":"a"}'.encode("utf-32-be"),
    "UTF-7": b'+AHs-"model":"a"}',
    "Latin-1": '{"model":"é"}'.encode("latin-1"),
    "overlong quote": b'{"model":"\xc0\xa2"}',
    "overlong slash": b'{"model":"a\xc0\xafb"}',
    "surrogate bytes": b'{"model":"\xed\xa0\x80"}',
    "pair of surrogate bytes": b'{"model":"\xed\xa0\xbd\xed\xb8\x80"}',
    "beyond Unicode": b'{"model":"\xf4\x90\x80\x80"}',
    "cut character": b'{"model":"\xe2\x82"}',
    "stray continuation": b'{"model":"\x80"}',
    "0xff": b'{"model":"\xff"}',
    "high half": b'{"model":"\\ud800"}',
    "low half": b'{"model":"\\uDC00"}',
    "halves in the wrong order": b'{"model":"\\udc00\\ud800"}',
    "half in a key": b'{"\\ud83d":1}',
    "half deep inside": b'{"a":[{"b":{"c":"x\\uD83Dx"}}]}',
    "half after a whole character": b'{"a":"\\ud83d\\ude00\\ud83d"}',
    "short escape": b'{"model":"\\u12"}',
    "signed escape": b'{"model":"\\u+123"}',
    "spaced escape": b'{"model":"\\u 123"}',
    "unknown escape": b'{"model":"\\x61"}',
    "raw newline": b'{"model":"a\nb"}',
    "raw tab": b'{"model":"a\tb"}',
    "raw NUL": b'{"model":"a\0b"}',
    "raw escape": b'{"model":"\x1b[2J"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "lower-case nan": b'{"a":nan}',
    "1e999": b'{"a":1e999}',
    "-1e999": b'{"a":-1e999}',
    "1.0e400": b'{"a":[{"b":1.0e400}]}',
    "2**63": b'{"a":9223372036854775808}',
    "below -2**63": b'{"a":-9223372036854775809}',
    "2**64": b'{"a":18446744073709551616}',
    "5000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "5000 negative digits": b'{"a":-' + b"9" * 5000 + b"}",
    "leading zero": b'{"a":01}',
    "plus sign": b'{"a":+1}',
    "no fraction": b'{"a":1.}',
    "no whole part": b'{"a":.5}',
    "no exponent": b'{"a":1e}',
    "hexadecimal": b'{"a":0x10}',
    "underscore": b'{"a":1_000}',
    "Arabic digits": '{"a":\u0661}'.encode(),
    "Python True": b'{"a":True}',
    "same key twice": b'{"model":"a","model":"b"}',
    "same key escaped": b'{"model":"a","\\u006dodel":"b"}',
    "same key in upper case": b'{"model":"a","MODEL":"b"}',
    "same key in mixed case": b'{"mOdel":"a","modEl":"b"}',
    "long s": '{"stream":true,"\u017ftream":false}'.encode(),
    "long s escaped": b'{"stream":true,"\\u017ftream":false}',
    "long s alone with upper case": '{"STREAM":true,"\u017ftream":false}'.encode(),
    "Kelvin sign": '{"keep_alive":1,"\u212aeep_alive":0}'.encode(),
    "Kelvin sign against K": '{"KEEP_ALIVE":1,"\u212aeep_alive":0}'.encode(),
    "options twice": b'{"options":{"num_ctx":1},"options":{"top_k":1}}',
    "options in two cases": b'{"options":{"num_ctx":1},"Options":{"top_k":1}}',
    "twice inside options": b'{"options":{"top_k":1,"top_k":2}}',
    "twice inside a message": b'{"messages":[{"role":"user","ROLE":"system"}]}',
    "empty key twice": b'{"":1,"":2}',
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_body_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as met:
        read_object(body)

    assert met.value.code is Code.INVALID_JSON
    assert len(met.value.sentence) < 200
    assert met.value.sentence.isprintable()


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_absent_body_is_told_in_ollamas_words(body: bytes) -> None:
    with pytest.raises(Refusal, match="missing request body"):
        read_object(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a" : 1 } \n', {"a": 1}),
        (b'{"a":9223372036854775807,"b":-9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}),
        (b'{"a":-0,"b":1E2,"c":1e-999}', {"a": 0, "b": 100.0, "c": 0.0}),
        (b'{"a":"\\ud83d\\ude00","b":"\\u0000","c":"\\\\ud800"}', {"a": "\U0001f600", "b": "\0", "c": "\\ud800"}),
        ('{"é":"ü","e":"\u2028"}'.encode(), {"é": "ü", "e": "\u2028"}),
        (b'{"a":{"x":1},"b":{"X":1}}', {"a": {"x": 1}, "b": {"X": 1}}),
        (b'{"a":[{"x":1},{"x":2}],"":null}', {"a": [{"x": 1}, {"x": 2}], "": None}),
        (b'{"a":true,"b":false}', {"a": True, "b": False}),
    ],
)
def test_an_honest_body_is_read_as_it_stands(body: bytes, value: dict[str, Any]) -> None:
    assert read_object(body) == value


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_bounded(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"

    read_object(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 500, 5000):
        with pytest.raises(Refusal, match="nested deeper than 32"):
            read_object(nested(depth))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a_nesting_bomb_is_refused_at_once(opening: bytes) -> None:
    body = b'{"a":' + opening * 2_000_000
    began = time.perf_counter()
    with pytest.raises(Refusal):
        read_object(body)

    assert time.perf_counter() - began < 0.5


def test_a_thousand_keys_that_differ_are_read() -> None:
    value = {f"key{number}": number for number in range(1000)}

    assert read_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    refused: Code | None = None
    try:
        assert isinstance(read_object(body), dict)
    except Refusal as refusal:
        refused = refusal.code

    assert refused in (None, Code.INVALID_JSON)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdé"), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["x", "y", "ß", "model"]), json_values), st.booleans())
def test_what_json_says_is_what_is_read(value: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001
    assert read_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


# -- a second reading, as Go's encoding/json fills a struct ----------------------------------------------------------
class _Pairs(list[tuple[str, Any]]):
    pass


def _fold(key: str) -> str:
    return key.replace("\u017f", "s").replace("\u212a", "k").lower()


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def go_read(body: bytes, fields: frozenset[str]) -> dict[str, Any]:
    """Case-folding, last wins, `null` changes nothing, repeated `options` are merged, trailing data is ignored."""
    pairs, _ = json.JSONDecoder(object_pairs_hook=_Pairs).raw_decode(body.decode())
    found: dict[str, Any] = {}
    for key, value in pairs:
        field = next((name for name in fields if key == name or _fold(key) == name), None)
        if field is None or value is None:
            continue
        plain = _plain(value)
        found[field] = found.get(field, {}) | plain if field == "options" and isinstance(plain, dict) else plain
    return found


GO_FIELDS = frozenset(GENERATE) | frozenset(CHAT)
spellings = st.sampled_from(sorted(GO_FIELDS)).flatmap(
    lambda name: st.sampled_from(
        [name, name, name.upper(), name.title(), name.replace("s", "\u017f"), name.replace("k", "\u212a")]
    )
)
options = st.lists(
    st.tuples(st.sampled_from(["top_k", "num_ctx", "TOP_K", "num_predict", "\u017feed"]), st.integers(1, 9)),
    max_size=3,
).map(lambda pairs: "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}")
values = options | st.sampled_from(['"a"', '"b"', "true", "false", "null", "0", "[]", "-1"])
bodies = st.lists(st.tuples(spellings, values), max_size=6).map(
    lambda pairs: ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}").encode()
)


@given(bodies)
def test_go_reads_every_known_field_of_an_accepted_body_as_we_do(body: bytes) -> None:
    try:
        value = read_object(body)
    except Refusal:
        return
    there = go_read(body, GO_FIELDS)

    for name in GO_FIELDS & value.keys():
        assert there.get(name) == value[name]


@given(bodies)
def test_a_body_in_which_go_would_choose_between_spellings_is_refused(body: bytes) -> None:
    pairs = json.loads(body, object_pairs_hook=_Pairs)
    folded = [_fold(key) for key, _ in pairs]
    inner = [_fold(key) for _, value in pairs if isinstance(value, _Pairs) for key, _ in value]
    ambiguous = len(set(folded)) < len(folded)
    try:
        read_object(body)
    except Refusal:
        assert ambiguous or len(inner) > 0
    else:
        assert not ambiguous


@given(bodies, st.sampled_from(["", ',"prompt":"p"', ',"model":"m","prompt":"p"']))
def test_go_reads_what_we_build_as_we_do(body: bytes, more: str) -> None:
    whole = body[:-1] + (more.encode() if len(body) > 2 else more.lstrip(",").encode()) + b"}"
    try:
        call = read_generate(read_object(whole))
    except Refusal:
        return
    built = json.dumps({"model": "operators:own", "stream": call.streamed, **call.fields}).encode()
    there = go_read(built, GO_FIELDS)

    assert there == {"model": "operators:own", "stream": call.streamed, **call.fields}
    assert call.fields.keys() <= GENERATE.keys()
    assert not {"keep_alive", "raw", "template", "context", "shift", "_debug_render_only"} & there.keys()
    assert there.get("options", {}).keys() <= {"top_k"}


@pytest.mark.parametrize("item", [b"0", b"{}", b"[]", b'"a":0'])
def test_a_body_of_nothing_but_structure_is_refused_quickly(item: bytes) -> None:
    inside = b",".join([item] * (4_000_000 // (len(item) + 1)))
    body = b"{" + inside + b"}" if b":" in item else b'{"a":[' + inside + b"]}"

    with pytest.raises(Refusal) as refused:
        read_object(body)

    assert "too many values" in refused.value.sentence


def test_long_text_and_code_are_not_taken_for_structure() -> None:
    code = "def f(a, b): return {'x': [a, b]}\n" * 30_000

    assert read_object(msgspec.json.encode({"prompt": code}))["prompt"] == code
