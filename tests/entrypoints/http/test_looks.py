from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from adapters.ollama import listings
from application.backends import Backends
from application.look_up import LookUp
from application.rooms.permit import not_found
from domain.models import Catalogue, Model, canonical
from domain.policies import EVERYTHING, Policy
from domain.refusals import Code, Refusal
from entrypoints.http import looks
from entrypoints.http.routes import Look
from tests.builders import a_caller, a_model

Recorded = Callable[[str], Any]
PRUNED = {"parent_model", "modelfile", "template", "system", "license", "parameters", "messages", "tensors"}


ALIASES = {
    canonical("gpt-4o-mini"): canonical("smollm2:135m"),
    canonical("openai/gpt-4o"): canonical("smollm2:135m"),
    canonical("gpt-5"): canonical("gone"),
}


class Known(LookUp):
    """A catalogue without the rooms around it."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._backends = Backends([])
        self._backends.catalogue = Catalogue({"backend": models})

    def version(self) -> str:
        return "0.24.0"


@pytest.fixture
def known(recorded: Recorded) -> Known:
    """The catalogue that the recorded backend makes."""
    shown = listings.describe(recorded("show"))
    assert shown is not None
    loaded = listings.loaded_by_name(recorded("ps")["models"])
    served = listings.served(recorded("tags")["models"])
    return Known([listings.model_of(listed, shown, loaded.get(listed.canonical)) for listed in served])


def look(what: Look, known: Known, *, path: bytes = b"", body: bytes = b"", **caller: Any) -> Any:
    raw_path = path or what.value.encode()
    return msgspec.json.decode(looks.answer(what, known, a_caller(**caller), raw_path=raw_path, body=body))


def keys(value: Any) -> Any:
    """The shape of an answer: its keys, and of a list the shape of the first."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items() if key not in PRUNED}
    return [keys(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_the_version_looks_like_ollamas(known: Known, recorded: Recorded) -> None:
    assert look(Look.VERSION, known) == recorded("version")


def test_the_tags_look_like_ollamas(known: Known, recorded: Recorded) -> None:
    ours, theirs = look(Look.TAGS, known), recorded("tags")

    assert [model["name"] for model in ours["models"]] == [model["name"] for model in theirs["models"]]
    assert keys(ours) == keys(theirs)
    assert "parent_model" not in ours["models"][0]["details"]


def test_the_loaded_models_look_like_ollamas(known: Known, recorded: Recorded) -> None:
    ours = look(Look.PS, known)

    assert keys(ours) == keys(recorded("ps"))
    assert [model["name"] for model in ours["models"]] == ["smollm2:135m"]


def test_a_shown_model_looks_like_ollamas_without_what_is_the_operators(known: Known, recorded: Recorded) -> None:
    ours = look(Look.SHOW, known, body=b'{"model":"smollm2:135m"}')
    theirs = recorded("show")

    assert ours.keys() == {"details", "model_info", "capabilities", "modified_at"} <= theirs.keys()
    assert ours["model_info"].keys() <= theirs["model_info"].keys()
    assert ours["model_info"]["general.architecture"] == "llama"
    assert "/models/blobs" not in msgspec.json.encode(ours).decode()


def test_the_openai_list_is_ollamas_to_the_second(known: Known, recorded: Recorded) -> None:
    assert look(Look.MODELS, known) == recorded("openai-models")


def test_one_openai_model_is_ollamas(known: Known, recorded: Recorded) -> None:
    assert look(Look.MODEL, known, path=b"/v1/models/smollm2:135m") == recorded("openai-model")


@pytest.mark.parametrize("spelt", [b"SmolLM2%3a135M", b"library%2Fsmollm2:135m", b"%73mollm2:135m"])
def test_a_model_is_found_in_any_spelling_and_echoed_in_the_callers(known: Known, spelt: bytes) -> None:
    answer = look(Look.MODEL, known, path=b"/v1/models/" + spelt)

    assert canonical(answer["id"]) == canonical("smollm2:135m")
    assert answer["object"] == "model"


def test_an_empty_catalogue_is_an_empty_list() -> None:
    nothing = Known([])

    assert look(Look.MODELS, nothing) == {"object": "list", "data": []}
    assert look(Look.TAGS, nothing) == {"models": []}
    assert look(Look.PS, nothing) == {"models": []}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"smollm2:135m"}',
        b'{"name":"smollm2:135m"}',
        b'{"model":"smollm2:135m","name":""}',
        b'{"model":"","name":"smollm2:135m"}',
        b'{"model":null,"name":"smollm2:135m","verbose":true,"system":"","template":"","options":null}',
    ],
)
def test_show_takes_the_name_under_both_keys(known: Known, body: bytes) -> None:
    assert "details" in look(Look.SHOW, known, body=body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.INVALID_JSON),
        (b"{}", Code.INVALID_REQUEST),
        (b'{"model":""}', Code.INVALID_REQUEST),
        (b'{"model":1}', Code.INVALID_REQUEST),
        (b'{"model":["smollm2:135m"]}', Code.INVALID_REQUEST),
        (b'{"model":"nothing"}', Code.MODEL_NOT_FOUND),
        (b'{"model":"x:cloud"}', Code.CLOUD_MODEL),
        (b'{"model":"a b"}', Code.INVALID_MODEL_NAME),
        (b'{"model":"smollm2:135m","MODEL":"loop"}', Code.INVALID_JSON),
    ],
)
def test_a_malformed_show_is_refused(known: Known, body: bytes, code: Code) -> None:
    with pytest.raises(Refusal) as met:
        look(Look.SHOW, known, body=body)

    assert met.value.code is code


@pytest.mark.parametrize("path", [b"..", b"%2e%2e", b"%00", b"%ED%A0%80", b"%ff", b"%", b"%2F"])
def test_a_path_that_names_no_model_is_refused(known: Known, path: bytes) -> None:
    with pytest.raises(Refusal) as met:
        look(Look.MODEL, known, path=b"/v1/models/" + path)

    assert met.value.code is Code.INVALID_MODEL_NAME


@pytest.mark.parametrize("changed", [None, 17, "", "yesterday", [], "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_date_that_a_backend_made_up_spoils_nothing(changed: Any) -> None:
    models = Known([a_model(listing={"name": "llama3.2", "modified_at": changed})])
    (model,) = look(Look.MODELS, models)["data"]

    assert isinstance(model["created"], int)


def test_an_alias_is_listed_with_what_its_model_is(known: Known) -> None:
    tags = look(Look.TAGS, known, aliases=ALIASES)["models"]
    model = next(entry for entry in tags if entry["name"] == "smollm2:135m")
    listed = [entry["id"] for entry in look(Look.MODELS, known, aliases=ALIASES)["data"]]

    assert tags[:-2] == look(Look.TAGS, known)["models"]
    assert tags[-2:] == [
        model | {"name": name, "model": name} for name in ("gpt-4o-mini:latest", "openai/gpt-4o:latest")
    ]
    assert listed[-2:] == ["gpt-4o-mini", "openai/gpt-4o"]
    assert look(Look.PS, known, aliases=ALIASES) == look(Look.PS, known)


@pytest.mark.parametrize("spelt", [b"gpt-4o-mini", b"GPT-4o-mini:latest", b"openai%2Fgpt-4o", b"openai%2fGPT-4o"])
def test_an_alias_is_found_and_echoed_as_it_was_asked(known: Known, spelt: bytes) -> None:
    asked = unquote(spelt.decode())
    plain = look(Look.MODEL, known, path=b"/v1/models/smollm2:135m")

    answer = look(Look.MODEL, known, path=b"/v1/models/" + spelt, aliases=ALIASES)
    shown = look(Look.SHOW, known, body=msgspec.json.encode({"model": asked}), aliases=ALIASES)

    assert answer == plain | {"id": asked}
    assert shown == look(Look.SHOW, known, body=b'{"model":"smollm2:135m"}')


def test_an_alias_of_what_is_gone_or_not_allowed_is_not_listed_and_not_told_from_nothing(known: Known) -> None:
    nothing = Policy(models=frozenset())

    assert look(Look.TAGS, known, aliases=ALIASES, key_policy=nothing) == {"models": []}
    for asked, policy in (("gpt-5", EVERYTHING), ("gpt-4o-mini", nothing), ("gpt-6", EVERYTHING)):
        with pytest.raises(Refusal) as met:
            look(Look.MODEL, known, path=f"/v1/models/{asked}".encode(), aliases=ALIASES, key_policy=policy)
        assert (met.value.code, met.value.sentence) == (Code.MODEL_NOT_FOUND, not_found(asked).sentence)


def test_an_alias_takes_the_place_of_a_model_of_its_name() -> None:
    models = Known([a_model(name, listing={"name": name, "model": name}) for name in ("small:latest", "large:latest")])
    aliases = {canonical("small"): canonical("large")}

    assert [entry["name"] for entry in look(Look.TAGS, models, aliases=aliases)["models"]] == [
        "large:latest",
        "small:latest",
    ]
    assert models.model(a_caller(aliases=aliases), "small").name == "large:latest"


def test_a_model_without_a_listing_has_its_own_name() -> None:
    (model,) = look(Look.MODELS, Known([a_model("llama3.2")]))["data"]

    assert model == {"id": "llama3.2", "object": "model", "created": 0, "owned_by": "library"}
