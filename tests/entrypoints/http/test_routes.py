from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calls import Dialect, Endpoint
from domain.refusals import Code, Refusal
from entrypoints.http.routes import CLOSED, TABLE, Health, Inference, Look, MethodNotAllowed, dialect_of, route_of
from tests.entrypoints.http.bodies import BASES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
ODD_METHODS = ("post", "Get", "", "POST ", "PRI", "PROPFIND", "\0")
SERVED: dict[bytes, set[str]] = {
    b"/api/chat": {"POST"},
    b"/api/generate": {"POST"},
    b"/api/embed": {"POST"},
    b"/v1/chat/completions": {"POST"},
    b"/v1/completions": {"POST"},
    b"/v1/embeddings": {"POST"},
    b"/v1/messages": {"POST"},
    b"/v1/responses": {"POST"},
    b"/api/embeddings": {"POST"},
    b"/api/show": {"POST"},
    b"/api/tags": {"GET", "HEAD"},
    b"/api/ps": {"GET"},
    b"/api/version": {"GET", "HEAD"},
    b"/v1/models": {"GET"},
    b"/openapi.json": {"GET"},
    b"/": {"GET", "HEAD"},
    b"/healthz": {"GET", "HEAD"},
    b"/readyz": {"GET", "HEAD"},
}
MUTATING = (
    b"/api/pull", b"/api/push", b"/api/create", b"/api/delete", b"/api/copy", b"/api/blobs", b"/api/blobs/sha256:abc",
    b"/api/blobs/sha256-0123", b"/api/me", b"/api/signout", b"/api/user", b"/api/user/keys/abc",
    b"/api/experimental/web_search", b"/api/experimental/web_fetch", b"/api/experimental/aliases",
    b"/api/experimental/model-recommendations", b"/api/status",
)  # fmt: skip
NOBODYS = (
    b"/api", b"/v1", b"/v1/", b"/v1/messages/count_tokens", b"/v1/audio/transcriptions",
    b"/v1/images/generations", b"/v1/images/edits", b"/v1/files", b"/v1/batches", b"/metrics", b"/debug/pprof",
    b"/debug/vars", b"/api/pulls", b"/api/pul", b"/api/tokenize", b"/favicon.ico", b"/.env", b"", b"*", b"api/chat",
    b"http://ollama:11434/api/chat", b"/v1/models/", b"/v1/models/a/b", b"/v1/models//a", b"/healthz/", b"//",
)  # fmt: skip


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _encoded_last(path: bytes) -> bytes:
    head, slash, last = path.rpartition(b"/")
    return head + slash + b"%%%02x" % last[0] + last[1:]


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "trailing slash": lambda p: p + b"/",
    "two trailing slashes": lambda p: p + b"//",
    "leading double slash": lambda p: b"/" + p,
    "triple slash": lambda p: b"//" + p,
    "inner double slash": lambda p: p.replace(b"/", b"//")[1:],
    "%2f lower": lambda p: p[:1] + p[1:].replace(b"/", b"%2f"),
    "%2F upper": lambda p: p[:1] + p[1:].replace(b"/", b"%2F"),
    "leading %2f": lambda p: b"%2f" + p[1:],
    "double-encoded slash": lambda p: p[:1] + p[1:].replace(b"/", b"%252f"),
    "encoded letter": _encoded_last,
    "all encoded": lambda p: b"/" + b"".join(b"%%%02X" % c for c in p[1:]),
    "double-encoded letter": lambda p: _encoded_last(p).replace(b"%", b"%25"),
    "dot segment": lambda p: b"/." + p,
    "inner dot segment": lambda p: p.replace(b"/", b"/./", 2)[2:],
    "trailing dot": lambda p: p + b"/.",
    "parent": lambda p: b"/x/.." + p,
    "inner parent": lambda p: p.rpartition(b"/")[0] + b"/x/../" + _last(p),
    "encoded parent": lambda p: b"/x/%2e%2e" + p,
    "parent above the root": lambda p: b"/.." + p,
    "trailing parent": lambda p: p + b"/x/..",
    "path parameter": lambda p: p + b";a=b",
    "inner path parameter": lambda p: p.rpartition(b"/")[0] + b";a=b/" + _last(p),
    "upper case": lambda p: p.upper() if p.upper() != p else p + b"X",
    "title case": lambda p: p.title() if p.title() != p else p + b"X",
    "%0a": lambda p: p + b"%0a",
    "%0d%0a": lambda p: p + b"%0d%0a",
    "%00": lambda p: p + b"%00",
    "%20": lambda p: p + b"%20",
    "%09": lambda p: p + b"%09",
    "leading %20": lambda p: p.rpartition(b"/")[0] + b"/%20" + _last(p),
    "%3f": lambda p: p + b"%3f",
    "%23": lambda p: p + b"%23x",
    "question mark": lambda p: p + b"?x=1",
    "overlong slash": lambda p: p[:1] + p[1:].replace(b"/", b"%c0%af"),
    "overlong letter": lambda p: p.rpartition(b"/")[0] + b"/%c1%b0" + _last(p)[1:],
    "backslash": lambda p: b"\\" + p[1:].replace(b"/", b"\\"),
    "encoded backslash": lambda p: b"%5c" + p[1:].replace(b"/", b"%5c"),
    "full-width": lambda p: p + "\uff0f".encode(),
    "trailing dot character": lambda p: p + b".",
    "json suffix": lambda p: p + b".json",
    "bare percent": lambda p: p + b"%",
    "bad escape": lambda p: p + b"%zz",
    "raw newline": lambda p: p + b"\n",
    "raw NUL": lambda p: p + b"\0",
    "raw space": lambda p: p + b" ",
}
EVERY_SPELLING = pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())


def verdict(method: str, path: bytes) -> Code | None:
    try:
        route_of(method, path)
    except Refusal as refusal:
        return refusal.code
    return None


def test_the_table_serves_what_it_should_and_nothing_else() -> None:
    assert {path: set(methods) for path, (methods, _) in TABLE.items()} == SERVED


@pytest.mark.parametrize("path", SERVED, ids=bytes.decode)
@pytest.mark.parametrize("method", [*METHODS, *ODD_METHODS])
def test_a_route_takes_its_own_methods_exactly(path: bytes, method: str) -> None:
    expected = None if method in SERVED[path] else Code.METHOD_NOT_ALLOWED

    assert verdict(method, path) is expected


def test_a_refused_method_is_told_which_are_taken() -> None:
    with pytest.raises(MethodNotAllowed) as met:
        route_of("DELETE", b"/api/tags")

    assert met.value.allowed == "GET, HEAD"


@EVERY_SPELLING
def test_no_other_spelling_of_a_served_route_is_served(spell: Callable[[bytes], bytes]) -> None:
    for path in SERVED.keys() - {b"/"}:
        spelt = spell(path)
        if spelt == path:  # a path of one segment has no inner slash to spell
            assert path.count(b"/") == 1
        elif spelt == b"/v1/models/.":  # one segment: a model of an impossible name
            assert route_of("GET", spelt)[0] is Look.MODEL
        else:
            assert [verdict(method, spelt) for method in METHODS] == [Code.UNKNOWN_ROUTE] * len(METHODS), spelt


@pytest.mark.parametrize(
    "path", [b"//", b"/.", b"/./", b"/..", b"/;a", b"/%2f", b"/%00", b"/\n", b"/\\", b"\\", b"", b"/?x"]
)
def test_no_other_spelling_of_the_root_is_served(path: bytes) -> None:
    assert {verdict(method, path) for method in METHODS} == {Code.UNKNOWN_ROUTE}


@EVERY_SPELLING
def test_no_spelling_of_a_closed_route_is_anything_but_closed_or_unknown(spell: Callable[[bytes], bytes]) -> None:
    for path in MUTATING:
        verdicts = {verdict(method, spell(path)) for method in METHODS}
        assert verdicts in ({Code.ROUTE_CLOSED}, {Code.UNKNOWN_ROUTE}), spell(path)


@pytest.mark.parametrize("path", MUTATING, ids=bytes.decode)
@pytest.mark.parametrize("method", [*METHODS, *ODD_METHODS])
def test_a_closed_route_is_closed_for_every_method(path: bytes, method: str) -> None:
    assert verdict(method, path) is Code.ROUTE_CLOSED


@pytest.mark.parametrize("spelling", ["trailing slash", "%2F upper", "encoded letter", "leading double slash"])
def test_spellings_that_ollama_would_serve_are_told_apart_from_typing_errors(spelling: str) -> None:
    assert {verdict("POST", SPELLINGS[spelling](path)) for path in MUTATING} == {Code.ROUTE_CLOSED}


def test_every_closed_route_is_tried_here() -> None:
    assert {path for path in MUTATING if path.count(b"/") == 2} <= set(CLOSED)
    assert all(any(path.startswith(closed) for path in MUTATING) for closed in CLOSED)


@pytest.mark.parametrize("path", NOBODYS, ids=bytes.decode)
def test_what_is_not_in_the_table_is_not_served(path: bytes) -> None:
    assert {verdict(method, path) for method in METHODS} == {Code.UNKNOWN_ROUTE}


@given(st.binary(max_size=30), st.sampled_from(METHODS))
def test_any_bytes_are_served_from_the_table_or_not_at_all(path: bytes, method: str) -> None:
    for raw in (path, b"/" + path, b"/api/" + path, b"/v1/" + path):
        if verdict(method, raw) is None:
            assert raw in SERVED or raw.startswith(b"/v1/models/")


@given(st.text(alphabet="/.%2e2fpulapi\\;", max_size=200))
def test_any_path_is_brought_to_its_plain_form_without_failing(path: str) -> None:
    assert verdict("POST", path.encode()) in (Code.UNKNOWN_ROUTE, Code.ROUTE_CLOSED, None, Code.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    "name", [b"llama3", b"llama3.2:1b", b"qwen3:0.6b-q4_K_M", b"hf.co%2Fme%2Fmodel", b"a%3Ab", b"..", b"%2e%2e"]
)
def test_a_model_is_one_segment_of_the_path(name: bytes) -> None:
    assert route_of("GET", b"/v1/models/" + name) == (Look.MODEL, "/v1/models/{model}")
    assert verdict("DELETE", b"/v1/models/" + name) is Code.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("name", [b"", b"a/b", b"a b", b"a\n", b"a?b", b"a\xff", b"a" * 601, b"a;b", b"a\\b"])
def test_what_no_model_can_be_named_is_no_route(name: bytes) -> None:
    assert verdict("GET", b"/v1/models/" + name) is Code.UNKNOWN_ROUTE


def test_a_route_is_named_by_its_constant() -> None:
    assert {route_of(min(methods), path)[1].encode() for path, methods in SERVED.items()} == set(SERVED)


def test_every_inference_endpoint_has_its_own_reader() -> None:
    routes = [route for _, route in TABLE.values() if isinstance(route, Inference)]

    assert {route.endpoint for route in routes} == set(Endpoint)
    assert len({route.read for route in routes}) == len(Endpoint)
    for route in routes:
        assert route.read(BASES[route.endpoint]).endpoint is route.endpoint


def test_every_look_and_health_route_can_be_reached() -> None:
    routes = {route for _, route in TABLE.values() if isinstance(route, Look | Health)}

    assert routes == {*Look, *Health} - {Look.MODEL}


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        (b"/v1/models", Dialect.OPENAI),
        (b"/v1/nothing", Dialect.OPENAI),
        (b"/api/chat", Dialect.NATIVE),
        (b"/nothing", Dialect.NATIVE),
        (b"", Dialect.NATIVE),
    ],
)
def test_errors_are_told_in_the_dialect_of_the_path(path: bytes, dialect: Dialect) -> None:
    assert dialect_of(path) is dialect


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", b"/v1/messages/count_tokens"), ("GET", b"/v1/messages/batches"), ("POST", b"/v1/messages/batches/1")],
)
def test_what_anthropics_clients_ask_for_besides_is_unknown_in_their_dialect(method: str, path: bytes) -> None:
    with pytest.raises(Refusal) as met:
        route_of(method, path)

    assert met.value.code is Code.UNKNOWN_ROUTE
    assert dialect_of(path) is Dialect.ANTHROPIC


def test_an_unknown_path_is_not_repeated() -> None:
    with pytest.raises(Refusal) as met:
        route_of("GET", b"/canary\r\n")

    assert "canary" not in met.value.sentence
