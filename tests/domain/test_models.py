"""Model names against a second reading of Ollama's rules, and the catalogue.

Source: Ollama v0.33 `types/model/name.go` (ParseNameBare, Merge, isValidPart) and `internal/modelref/modelref.go`
(parseSourceSuffix, ParseRef), written down again here in Python.
"""

from itertools import product
from typing import NamedTuple

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.bounds import bounds_of
from domain.models import EMPTY_CATALOGUE, MAX_NAME_LENGTH, Catalogue, Model, as_typed, canonical, shortest
from domain.refusals import Code, Refusal
from tests.builders import a_call, a_model, caps

LLAMA3 = "registry.ollama.ai/library/llama3:latest"


# -- Ollama's parser ------------------------------------------------------------------------------------------------
class Reference(NamedTuple):
    cloud: bool
    conflict: bool
    name: str | None
    """`host/namespace/model:tag` in lower case; None when it is not valid."""


def _cut_source(raw: str) -> tuple[str, str]:
    at = raw.rfind(":")
    if at >= 0:
        suffix = raw[at + 1 :].strip()
        if suffix.lower() in ("cloud", "local"):
            return raw[:at], suffix.lower()
        if "/" not in suffix and suffix.lower().endswith("-cloud"):
            return raw[: at + 1] + suffix[: -len("-cloud")], "cloud"
    return raw, ""


def _cut_promised(text: str, mark: str) -> tuple[str, str, bool]:
    before, found, after = text.rpartition(mark)
    if not found:
        return text, "", False
    return before or "!MISSING!", after or "!MISSING!", True


def _valid(part: str, kind: str) -> bool:
    if not 1 <= len(part) <= (350 if kind == "host" else 80):
        return False
    for at, character in enumerate(part):
        word = character.isascii() and (character.isalnum() or character == "_")
        inner = at > 0 and (
            character == "-" or (character == "." and kind != "namespace") or (character == ":" and kind == "host")
        )
        if not word and not inner:
            return False
    return True


def _parts(text: str) -> tuple[str, str, str, str]:
    tag = ""
    if text.rfind(":") > text.rfind("/"):
        text, tag, _ = _cut_promised(text, ":")
    text, model, more = _cut_promised(text, "/")
    if not more:
        return "", "", text, tag
    text, namespace, more = _cut_promised(text, "/")
    if not more:
        return "", text, model, tag
    scheme, mark, host = text.partition("://")
    return (host if mark else scheme), namespace, model, tag


def ollama(raw: str) -> Reference:
    base, source = _cut_source(raw.strip())
    conflict = bool(source) and bool(_cut_source(base)[1])
    host, namespace, model, tag = _parts(base)
    host, namespace, tag = host or "registry.ollama.ai", namespace or "library", tag or "latest"
    valid = all(
        _valid(part, kind) for part, kind in ((host, "host"), (namespace, "namespace"), (model, "model"), (tag, "tag"))
    )
    name = f"{host}/{namespace}/{model}:{tag}".lower()
    return Reference(cloud=source == "cloud", conflict=conflict, name=name if valid else None)


def ours(name: str) -> str | Code:
    try:
        return canonical(name)
    except Refusal as refusal:
        return refusal.code


# -- spellings ------------------------------------------------------------------------------------------------------
HOSTS = ("", "registry.ollama.ai/library/", "Registry.Ollama.AI/LIBRARY/", "library/", "LIBRARY/")
MODELS = ("llama3", "LLAMA3", "LlAmA3")
TAGS = ("", ":latest", ":LATEST", ":local", ":LOCAL", ":latest:local", ":Latest:Local")


@pytest.mark.parametrize("spelling", ["".join(parts) for parts in product(HOSTS, MODELS, TAGS)])
def test_every_spelling_of_a_model_is_one_name(spelling: str) -> None:
    assert ours(spelling) == ollama(spelling).name == LLAMA3


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("llama3.2", "registry.ollama.ai/library/llama3.2:latest"),
        ("qwen3:0.6b-Q4_K_M", "registry.ollama.ai/library/qwen3:0.6b-q4_k_m"),
        ("me/mine", "registry.ollama.ai/me/mine:latest"),
        ("Me/Mine:V1", "registry.ollama.ai/me/mine:v1"),
        ("hf.co/TheBloke/some-GGUF:Q4_0", "hf.co/thebloke/some-gguf:q4_0"),
        ("localhost:5000/me/mine:v1", "localhost:5000/me/mine:v1"),
        ("localhost:5000/me/mine", "localhost:5000/me/mine:latest"),
        ("localhost:5000/me/mine:local", "localhost:5000/me/mine:latest"),
        ("my-cloud", "registry.ollama.ai/library/my-cloud:latest"),
        ("my-cloud:local", "registry.ollama.ai/library/my-cloud:latest"),
        ("cloud", "registry.ollama.ai/library/cloud:latest"),
        ("cloud:latest", "registry.ollama.ai/library/cloud:latest"),
        ("cloud/x", "registry.ollama.ai/cloud/x:latest"),
        ("x:cloudy", "registry.ollama.ai/library/x:cloudy"),
        ("x:cloud-8b", "registry.ollama.ai/library/x:cloud-8b"),
        ("h:1/n/x-cloud", "h:1/n/x-cloud:latest"),
        ("h:1/n/x-cloud:local", "h:1/n/x-cloud:latest"),
        ("local", "registry.ollama.ai/library/local:latest"),
        ("_x_:_", "registry.ollama.ai/library/_x_:_"),
        ("m" * 80, f"registry.ollama.ai/library/{'m' * 80}:latest"),
        ("h" * 350 + "/n/m", f"{'h' * 350}/n/m:latest"),
    ],
)
def test_where_a_spelling_leads(spelling: str, expected: str) -> None:
    assert ours(spelling) == ollama(spelling).name == expected


CLOUD_TAGS = (":cloud", ":CLOUD", ":Cloud", ":20b:cloud", ":20b-cloud", ":20B-CLOUD", ":-cloud", ":a-b-cloud")
CLOUD_ENDS = ("", ":local", ":LOCAL", ":cloud")


CLOUD_FORMS = product(("", "me/", "h.io/me/", "h:1/me/"), ("x", "gpt-oss"), CLOUD_TAGS, CLOUD_ENDS)


@pytest.mark.parametrize("spelling", ["".join(parts) for parts in CLOUD_FORMS])
def test_every_cloud_form_is_refused(spelling: str) -> None:
    reference = ollama(spelling)

    assert reference.cloud or reference.conflict
    assert ours(spelling) is Code.CLOUD_MODEL


MALFORMED = [
    "", " ", "\n", ":", "/", ".", "..", "-", "-x", ".x", ":x", "/x", "x/", "x:", "x::local", "x:local:local",
    "x:LOCAL:local", ":local", "a//b", "a/b/c/d", "/a/b/c", "a/b/", "a:b:c", "a:b/c", "a.b/c", "localhost:5000/x",
    "x@sha256:abc", "x@sha256-abc", "x+y", "x y", " llama3", "llama3 ", "llama3\n", "\tllama3", "llama3:\tlatest",
    "x: cloud", "x:cloud ", "llama3\0", "llama3:latest\r\n", "https://registry.ollama.ai/library/llama3",
    "http://x/y/z", "x://y", "ftp://h/n/m", "../../etc/passwd", "%2e%2e", "x%3alatest", "llama3?", "llama3#a",
    "llama3\\x", "llämä", "\uff4c\uff4clama3", "llama٣", "llama\u017f", "\u212a", "x:\u017f", "\ufeffllama3",
    "\u00a0llama3",
    "\u200bllama3", "x\u2028", "m" * 81, "x:" + "t" * 81, "n" * 81 + "/m", "h" * 351 + "/n/m", "a" * 601,
    "h/n.s/m", "h/-n/m", "h/n/-m", "h/n/m:-t", "h/n/m:.t", "-h/n/m", "h/n/m:", "!MISSING!", "x;y", "x,y", "x|y",
    "$(x)", "`x`", "'x'", '"x"', "{x}", "<x>", "x=y", "x&y", "*", "x*", "~x",
]  # fmt: skip


@pytest.mark.parametrize("spelling", MALFORMED)
def test_a_malformed_name_is_refused(spelling: str) -> None:
    assert ours(spelling) in (Code.INVALID_MODEL_NAME, Code.CLOUD_MODEL)


def test_a_name_has_a_greatest_length() -> None:
    assert ours("a" * 5_000_000) is Code.INVALID_MODEL_NAME
    assert MAX_NAME_LENGTH >= 350 + 80 + 80 + 80 + 3


words = st.sampled_from(
    [*"abZ0_-.:/@+ \n", "local", "cloud", "LOCAL", "Cloud", "-cloud", ":local", ":cloud", "library", "latest", "é",
     "registry.ollama.ai", "://", "http://", "\u212a", "\u017f", "h" * 81]
)  # fmt: skip
spellings = st.lists(words, max_size=9).map("".join) | st.text(max_size=40)
many = settings(max_examples=max(1_000, settings.default.max_examples if settings.default else 0))


@many
@given(spellings)
@example("x:local:local")
@example("h:1/n/x-cloud:local")
@example("x:local-cloud")
@example("x:20b-cloud:local")
def test_a_spelling_names_the_model_that_ollama_would_use_or_is_refused(spelling: str) -> None:
    reference = ollama(spelling)
    verdict = ours(spelling)

    if not isinstance(verdict, Code):
        assert not reference.cloud
        assert not reference.conflict
        assert verdict == reference.name


@many
@given(spellings)
def test_only_whitespace_schemes_and_cloud_are_stricter_than_ollama(spelling: str) -> None:
    reference = ollama(spelling)
    plain = spelling.isascii() and not any(c.isspace() for c in spelling) and "://" not in spelling

    if plain and reference.name and not (reference.cloud or reference.conflict) and len(spelling) <= MAX_NAME_LENGTH:
        assert ours(spelling) == reference.name


@many
@given(spellings)
def test_what_ollama_would_send_to_the_cloud_is_told_so_or_malformed(spelling: str) -> None:
    if ollama(spelling).cloud:
        assert ours(spelling) in (Code.CLOUD_MODEL, Code.INVALID_MODEL_NAME)


@given(spellings)
def test_a_canonical_name_and_its_short_form_name_the_same_model(spelling: str) -> None:
    verdict = ours(spelling)
    if isinstance(verdict, Code):
        return

    assert canonical(verdict) == verdict
    assert canonical(shortest(verdict)) == verdict
    assert canonical(as_typed(verdict)) == verdict


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("llama3", "llama3:latest"),
        ("me/x:1", "me/x:1"),
        ("hf.co/me/x", "hf.co/me/x:latest"),
        ("hf.co/library/x", "hf.co/library/x:latest"),
        ("library/me/x", "library/me/x:latest"),
    ],
)
def test_the_short_form_leaves_out_what_is_filled_in(name: str, short: str) -> None:
    assert shortest(canonical(name)) == short
    assert canonical(short) == canonical(name)


@pytest.mark.parametrize(
    ("name", "typed"),
    [("gpt-4o-mini:latest", "gpt-4o-mini"), ("openai/gpt-4o", "openai/gpt-4o"), ("qwen3:8b", "qwen3:8b")],
)
def test_most_people_leave_the_default_tag_out(name: str, typed: str) -> None:
    assert as_typed(canonical(name)) == typed


@pytest.mark.parametrize("spelling", ["x:cloud", "no good"])
def test_a_refused_name_is_blamed_on_its_field_and_not_repeated(spelling: str) -> None:
    with pytest.raises(Refusal) as met:
        canonical(spelling)

    assert met.value.param == "model"
    assert spelling not in met.value.sentence


# -- the catalogue --------------------------------------------------------------------------------------------------
NAME = canonical("llama3.2")


def test_an_empty_catalogue_has_nothing() -> None:
    assert list(EMPTY_CATALOGUE.names()) == []
    assert EMPTY_CATALOGUE.hosts(NAME) == {}
    assert EMPTY_CATALOGUE.one(NAME) is None
    assert EMPTY_CATALOGUE.bound(NAME) is None


def test_names_come_in_the_order_of_the_first_backend() -> None:
    catalogue = Catalogue({"a": [a_model("z"), a_model("m")], "b": [a_model("a"), a_model("m")]})

    assert [shortest(name) for name in catalogue.names()] == ["z:latest", "m:latest", "a:latest"]
    assert list(catalogue.hosts(canonical("m"))) == ["a", "b"]


def test_a_loaded_host_describes_the_model() -> None:
    cold, warm = a_model(), a_model("LLAMA3.2", loaded=True)

    assert Catalogue({"a": [cold], "b": [warm]}).one(NAME) is warm
    assert Catalogue({"a": [cold], "b": [cold]}).one(NAME) is cold


def test_under_an_alias_a_model_is_listed_by_that_name_and_is_itself_in_all_else() -> None:
    listing = {"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 7}
    model = a_model(listing=listing, loaded=True, loaded_listing=listing, description={"details": {}})

    shown = model.under(canonical("GPT-4o-mini"))

    assert shown.name == "gpt-4o-mini"
    assert shown.listing == {"name": "gpt-4o-mini:latest", "model": "gpt-4o-mini:latest", "size": 7}
    assert shown.loaded_listing is None
    assert attrs.evolve(shown, name=model.name, listing=listing, loaded_listing=listing) == model


models = st.builds(
    a_model,
    context_length=st.none() | st.integers(1, 200_000),
    template_bytes=st.integers(0, 10_000),
    capabilities=st.frozensets(st.sampled_from(["completion", "thinking", "tools"])),
    loaded=st.booleans(),
)


@given(st.lists(models, min_size=1, max_size=5))
def test_bounds_hold_on_every_host(hosts: list[Model]) -> None:
    bound = Catalogue({str(at): [model] for at, model in enumerate(hosts)}).bound(NAME)

    assert bound is not None
    for host in hosts:
        assert bound.template_bytes >= host.template_bytes
        if bound.context_length is not None:
            assert host.context_length is not None
            assert bound.context_length >= host.context_length
        may_think = not host.capabilities or "thinking" in host.capabilities
        assert not may_think or not bound.capabilities or "thinking" in bound.capabilities


@given(st.lists(models, min_size=1, max_size=5), st.integers(1, 200_000))
def test_a_prompt_with_images_is_bounded_on_every_host(hosts: list[Model], unknown_context: int) -> None:
    """A host that does not tell its context may have what is assumed of it, and does not hide what the others told."""
    bound = Catalogue({str(at): [model] for at, model in enumerate(hosts)}).bound(NAME)

    assert bound is not None
    widest = max(host.context_length or unknown_context for host in hosts)
    prompt = bounds_of(a_call(images=1), bound, caps(unknown_context=unknown_context)).prompt
    assert prompt == widest


def test_the_bound_is_no_wider_than_the_widest_host() -> None:
    narrow = a_model(context_length=2048, template_bytes=900, capabilities=frozenset({"tools"}))
    wide = a_model(context_length=8192, template_bytes=100, capabilities=frozenset({"thinking"}))
    bound = Catalogue({"a": [narrow], "b": [wide]}).bound(NAME)

    assert bound == attrs.evolve(
        narrow, context_length=8192, template_bytes=900, capabilities=frozenset({"tools", "thinking"})
    )
