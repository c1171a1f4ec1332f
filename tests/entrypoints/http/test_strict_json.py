import base64
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.refusals import Code, Refusal
from entrypoints.http import sliced_json, slices
from entrypoints.http.fields import Table, apply, flag, keep
from entrypoints.http.native import read_generate
from entrypoints.http.slices import is_base64, utf8
from entrypoints.http.strict_json import MAX_DEPTH, is_light, read_long, read_object, read_short

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


# -- two readers, one meaning -----------------------------------------------------------------------------------------
def outcome(read: Callable[[bytes], Any], body: bytes) -> str:
    """What a reader makes of a body: its value, or that it is refused."""
    try:
        return json.dumps(read(body))
    except (Refusal, ValueError):
        return "refused"


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in [(slices, "SLICE"), (sliced_json, "SLICE"), (sliced_json, "_FIRST_PIECE")]:
        monkeypatch.setattr(module, name, 13)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.usefixtures("_small_slices")
def test_the_reader_of_long_bodies_refuses_what_that_of_short_ones_does(body: bytes) -> None:
    assert outcome(read_long, body) == outcome(read_short, body)


@pytest.mark.parametrize(
    "text",
    [
        r"\\" * 12,
        r"\ud83d\ude00\ud83d\ude00\ud83d\ude00\ud83d\ude00\ud83d\ude00",
        r"x\ud83d\ude00\ud83d\ude00\ud83d\ude00\ud83d\ude00\ud83d\ude00",
        r"xx\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9",
        r"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"",
        r"\u00e9" * 9 + r"\ud83d",
        r"\u00e9" * 9 + r"\ud83dx" + r"\u00e9" * 9,
        "a" * 12 + r"\x" + "a" * 20,
        "a" * 40 + "\n" + "a" * 20,
        "é" * 40 + "\U0001f600" * 20,
    ],
)
@pytest.mark.usefixtures("_small_slices")
def test_a_string_may_be_cut_anywhere(text: str) -> None:
    for shift in range(14):
        body = b'{"a":"' + b"x" * shift + text.encode() + b'","b":1}'
        assert outcome(read_long, body) == outcome(read_short, body), body


pieces = st.sampled_from([
    "{", "}", "[", "]", ",", ":", '"', '"a"', '"b":', '"\\u00e9', "\\ud83d", "\\ude00", "\\\\", '\\"', " ", "\n",
    "true", "nul", "null", "-1", "0.5e3", "1e999", "x" * 15, "é", "\x00", "\\u12",
])  # fmt: skip
wild = st.lists(pieces, max_size=14).map("".join)


@given(wild)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("_small_slices")
def test_both_readers_say_the_same_of_any_text(text: str) -> None:
    for body in (text.encode(), b'{"a":[' + text.encode() + b"]}", b'{"a":"' + text.encode() + b'"}'):
        assert outcome(read_long, body) == outcome(read_short, body), body


def test_a_long_body_is_read_as_a_short_one() -> None:
    value = {"a": ['\u4e2d"\\' * 70_000, "x" * 300_000, {"b": [1, -2.5, None, True]}], "c": "\U0001f600" * 70_000}

    for ascii_only in (True, False):
        assert read_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 300_000, "nested deeper"),
        (b'{"a":' * 60_000, "nested deeper"),
        (b'{"a":"' + b"x" * 300_000, "Unterminated string"),
        (b'{"a":"' + b"x" * 300_000 + b"\n" + b'"}', "control character"),
        (b'{"a":"' + b"x" * 300_000 + rb"\ud800" + b'"}', "half of a surrogate pair"),
        (b'{"a":"' + b"x" * 300_000 + b"\xff" + b'"}', "not UTF-8"),
        (b'{"a":"' + b"x" * 300_000 + b'","A":1}', "same key twice"),
        (b'{"a":"' + b"x" * 300_000 + b'"} 1', "Extra data"),
        (b'{"a":' + b"1" * 300_000 + b"}", "64 bits"),
        (b'{"a":0.' + b"1" * 300_000 + b"}", "too long"),
        (b'{"a":' + b" " * 300_000 + b"}", "Expecting value"),
        (b" " * 300_000, "missing request body"),
    ],
)
def test_a_long_body_is_refused_for_the_same_reasons(body: bytes, said: str) -> None:
    with pytest.raises(Refusal) as met:
        read_object(body)

    assert said in met.value.sentence
    assert len(met.value.sentence) < 200


@pytest.mark.parametrize(
    ("body", "light"),
    [
        (b'{"prompt":"' + b"x" * 100_000 + b'"}', True),
        (b'{"prompt":"' + b"x" * 300_000 + b'"}', False),
        (b"[" + b"0," * 10_000 + b"0]", False),
    ],
)
def test_what_takes_long_is_not_read_on_the_event_loop(body: bytes, light: bool) -> None:  # noqa: FBT001
    assert is_light(body) is light


@pytest.mark.parametrize("path", ["", "messages[0]"])
@pytest.mark.parametrize("name", ["Stream", "STREAM", "\u017ftream", "\u017fTREAM"])
def test_a_known_field_in_another_spelling_is_refused_by_its_name(name: str, path: str) -> None:
    known = Table("Any", [keep("stream", flag, "somewhere")])

    with pytest.raises(Refusal) as met:
        apply(known, {name: True}, path)

    assert met.value.code is Code.INVALID_REQUEST
    assert met.value.param == f"{path}.stream".lstrip(".")


def test_options_that_ollama_takes_by_their_exact_name_may_be_spelt_as_one_likes() -> None:
    body = {"model": "m", "prompt": "p", "options": {"Top_K": 1, "top_k": 2}}

    assert read_generate(body).fields["options"] == {"top_k": 2}


# -- slices ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [2, 3, 4, 65_535, 65_536, 65_537, 200_003])
def test_base64_is_known_at_any_length(length: int) -> None:
    encoded = base64.b64encode(b"\xfb\xff" * length).decode()

    assert is_base64(encoded)
    assert is_base64(encoded.rstrip("="))
    assert is_base64("data:," + encoded, 6)
    for at in (0, len(encoded) // 2, len(encoded.rstrip("=")) - 1):
        for wrong in ("-", "\n", " ", "é", "\u0131"):
            assert not is_base64(encoded[:at] + wrong + encoded[at + 1 :])


@pytest.mark.parametrize("text", ["", "=", "==", "a", "aaaaa", "a===", "aa===", "====", "a=aa"])
def test_what_is_no_base64(text: str) -> None:
    assert not is_base64(text)


@given(st.text(max_size=60), st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("_small_slices")
def test_utf8_is_read_across_slices(text: str, cut: int) -> None:
    octets = text.encode()[: max(len(text.encode()) - cut, 0)]
    whole = octets.decode(errors="ignore")

    if whole.encode() == octets:
        assert utf8(octets) == whole
    else:
        with pytest.raises(UnicodeDecodeError):
            utf8(octets)


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


@pytest.mark.parametrize(
    "tail",
    [
        b"\\",
        b'\\q"}',
        b'\\ud800"}',
        b'\n"}',
        b'"',
        b'"} x',
        b'", "a": 1}',
        b'", "b": 1e999}',
        b'", "b": ' + b"[" * 40,
        b'\xff"}',
    ],
)
def test_nothing_of_a_refused_body_waits_for_the_garbage_collector(tail: bytes) -> None:
    gc.collect()
    gc.disable()
    before = _errors_alive()
    try:
        assert _is_refused(b'{"a": "' + b"x" * 300_000 + tail)
        assert _errors_alive() <= before
    finally:
        gc.enable()


def _is_refused(body: bytes) -> bool:
    try:
        read_object(body)
    except Refusal:
        return True
    return False


def _errors_alive() -> int:
    return sum(issubclass(type(found), ValueError | Refusal) for found in gc.get_objects())
