"""Ollama's refusal of foreign Host and Origin headers when it is bound to loopback (`server/routes.go`,
`envconfig/config.go`): 403 with an empty body, before anything else is looked at.
"""

import ipaddress
import socket
from functools import lru_cache
from urllib.parse import urlsplit

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_ORIGIN_HOSTS = frozenset({"localhost", "127.0.0.1", "0.0.0.0"})  # noqa: S104 -- compared with, not bound to
_ORIGIN_SCHEMES = frozenset({"app", "file", "tauri", "vscode-webview", "vscode-file"})


@lru_cache(maxsize=256)
def host_is_ours(host: str) -> bool:
    """Say whether a Host header names this machine."""
    name = (urlsplit(f"//{host}").hostname or "").lower()
    if name in {"", "localhost", socket.gethostname().lower()} or name.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


@lru_cache(maxsize=256)
def origin_is_ours(origin: str, host: str) -> bool:
    """Say whether an Origin header, if there is one, may ask."""
    if origin in {"", f"http://{host}", f"https://{host}"}:
        return True
    parts = urlsplit(origin)
    return parts.scheme in _ORIGIN_SCHEMES or parts.hostname in _ORIGIN_HOSTS
