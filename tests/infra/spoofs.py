"""How a client may try to have another address. 6.6.6.6 is the one it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SPOOFS: Mapping[str, Sequence[str]] = {
    "nothing": [],
    "the header itself": ["X-Forwarded-For: 6.6.6.6"],
    "a list": ["X-Forwarded-For: 6.6.6.6, 7.7.7.7"],
    "a list that ends with the proxy": ["X-Forwarded-For: 6.6.6.6, 127.0.0.1"],
    "the header twice": ["X-Forwarded-For: 7.7.7.7", "X-Forwarded-For: 6.6.6.6"],
    "odd spelling": ["x-fOrWaRdEd-FoR: 6.6.6.6"],
    "underscores": ["X_Forwarded_For: 6.6.6.6"],
    "the standard's header": ["Forwarded: for=6.6.6.6;proto=https"],
    "another proxy's header": ["X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6"],
    "with a port": ["X-Forwarded-For: 6.6.6.6:443"],
    "of the other family": ["X-Forwarded-For: ::ffff:6.6.6.6, [::1]"],
    "empty": ["X-Forwarded-For:", "X-Forwarded-For: 6.6.6.6"],
    "named hop by hop": ["X-Forwarded-For: 6.6.6.6", "Connection: X-Forwarded-For"],
}
ONE_UNDERSCORE = ["X-Forwarded_For: 6.6.6.6"]
"""Caddy passes it on; the gateway refuses names with an underscore."""
