"""Which backend gets a call: healthy ones that have the model; where it is loaded first; then the least busy.

Who is busy is known where turns are given out, because it counts the calls of every gateway. So the rule here only
says which backends are equally good; `domain/ports/turns.py` takes the least busy of the first that have room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.models import Model


def in_tiers(hosts: Mapping[str, Model]) -> Sequence[Sequence[str]]:
    """Backend names, the best tier first. Within a tier they keep the operator's order.

    Args:
        hosts: healthy backends that have the model.
    """
    loaded = [name for name, model in hosts.items() if model.loaded]
    others = [name for name, model in hosts.items() if not model.loaded]
    return [tier for tier in (loaded, others) if tier]
