"""Which backend gets a call: healthy ones that have the model; where it is loaded first; then the least busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.models import Model


def in_order(hosts: Mapping[str, Model], in_flight: Mapping[str, int]) -> Sequence[str]:
    """Backend names, best first. Ties keep the operator's order.

    Args:
        hosts: healthy backends that have the model.
        in_flight: our calls at each backend now; absent means none.
    """
    return sorted(hosts, key=lambda name: (not hosts[name].loaded, in_flight.get(name, 0)))
