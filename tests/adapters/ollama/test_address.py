from __future__ import annotations

import attrs
import pytest

from adapters.ollama.address import BackendAddress, forbidden
from adapters.ollama.transport import ForbiddenAddressError, GuardedResolver
from domain.keys import Secret


@pytest.mark.parametrize(
    "url",
    [
        "", "ollama", "ollama:11434", "ftp://h", "file:///etc/passwd", "unix:///run/x", "http://", "http:///x",
        "http://user@h", "http://user:pass@h", "http://h?a=b", "http://h?", "http://h#x", "http://h/#", "http://h:0x",
        "http://h:99999", "http://169.254.169.254", "http://169.254.1.1:11434/x", "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]", "http://[fd00:ec2::254]", "http://100.100.100.200",
    ],
)  # fmt: skip
def test_such_a_url_is_no_backend(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|link-local"):
        BackendAddress(name="a", url=url)


@pytest.mark.parametrize(
    ("url", "chat"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/api/chat"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434/api/chat"),
        ("https://gpu.example.com", "https://gpu.example.com/api/chat"),
        ("http://[::1]:11434", "http://[::1]:11434/api/chat"),
        ("https://proxy.example.com/gpu-1/", "https://proxy.example.com/gpu-1/api/chat"),
        ("http://10.0.0.7", "http://10.0.0.7/api/chat"),
    ],
)
def test_a_path_prefix_is_kept(url: str, chat: str) -> None:
    assert str(BackendAddress(name="a", url=url).target("/api/chat")) == chat


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a b"}, {"name": "a\n"}, {"header": "Host"}, {"header": "content-length"},
        {"header": "a b"}, {"header": "a\r\nb"}, {"scheme": "a b"}, {"token": Secret("a\r\nb: c")},
        {"token": Secret("")}, {"token": Secret("ä")}, {"most_in_flight": 0},
    ],
)  # fmt: skip
def test_such_a_value_is_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"name": "a", "url": "http://h", **wrong}

    with pytest.raises(ValueError, match=r"must|name"):
        BackendAddress(**fields)  # type: ignore[arg-type]  # wrong values are the point


def test_the_token_shows_nowhere_but_in_the_headers() -> None:
    address = BackendAddress(name="a", url="http://h", token=Secret("canary"), header="X-Key", scheme="")

    assert address.headers()["X-Key"] == "canary"
    assert "canary" not in repr(address) + str(attrs.asdict(address, recurse=False))
    assert address.redact("it said canary") == "it said ***"


def test_cloud_metadata_is_forbidden_in_every_spelling() -> None:
    assert forbidden("169.254.169.254")
    assert forbidden("fe80::1%eth0")
    assert forbidden("::ffff:169.254.169.254")
    assert not forbidden("10.0.0.7")
    assert not forbidden("gpu.example.com")


async def test_a_name_that_resolves_there_is_refused_each_time() -> None:
    with pytest.raises(ForbiddenAddressError):
        await GuardedResolver().resolve("2852039166", 80)
