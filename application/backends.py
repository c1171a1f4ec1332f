"""What is known of the backends: which are healthy, which models they have. Refreshed by polling.

A backend that fails a survey, or refuses a connection, gets no calls until a survey succeeds again. A survey that is
only late counts when it is the second in a row: a machine that is busy with our calls may be slow to tell of itself,
and taking it out would refuse everybody. None counts that is late while the backend serves calls. Its models stay
known, so that a caller is told "unavailable" and not "no such model".

A single model of a backend that is healthy may be wedged (`watchdog.py` says when): only that one gets no calls there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import attrs
import structlog

from application.signs_of_life import SignsOfLife
from domain.faults import BackendFault
from domain.models import EMPTY_CATALOGUE, Catalogue, Model
from domain.ports.model_backend import ModelBackend, Survey
from domain.ports.wedge_board import Runner

SURVEY_TIMEOUT_S = 5.0
LATE_AT_MOST = 1
"""Surveys in a row that may be late before the backend is out."""
_log = structlog.get_logger("neuronetz")


@attrs.frozen(kw_only=True)
class BackendState:
    """One backend as last seen."""

    name: str
    healthy: bool
    version: str
    """Empty before its first good survey."""
    wedged: Sequence[str] = ()
    """Its models that answer no call any more, in canonical form."""


class Backends:
    """All configured backends and the catalogue they make."""

    def __init__(self, backends: Sequence[ModelBackend], signs: SignsOfLife | None = None) -> None:
        """Knows nothing yet.

        Args:
            backends: in the operator's order.
            signs: of life, which excuse a late survey; None for none.
        """
        self._backends = {backend.name: backend for backend in backends}
        self._signs = signs
        self._surveys: dict[str, Survey] = {}
        self._healthy: set[str] = set()
        self._late: Counter[str] = Counter()
        self._well_s: dict[str, float] = {}
        """When the last survey began, of those whose last one was good."""
        self._wedged: set[Runner] = set()
        self.catalogue: Catalogue = EMPTY_CATALOGUE
        """Every model of every backend that was ever seen."""

    def __getitem__(self, name: str) -> ModelBackend:
        return self._backends[name]

    def healthy_hosts(self, model: str) -> Mapping[str, Model]:
        """The healthy backends that have a model (canonical name), those left out where it is wedged."""
        hosts = self.catalogue.hosts(model)
        return {
            name: found
            for name, found in hosts.items()
            if name in self._healthy and not (self._wedged and Runner(name, model) in self._wedged)
        }

    def is_healthy(self, name: str) -> bool:
        """Whether a backend answered when last looked at."""
        return name in self._healthy

    def was_well_since(self, name: str, since_s: float) -> bool:
        """Whether a survey that began after that (monotonic clock) was good, and none has failed or been late since."""
        return self._well_s.get(name, since_s) > since_s

    @property
    def wedged(self) -> AbstractSet[Runner]:
        """What answers no call any more."""
        return frozenset(self._wedged)

    def wedge(self, runner: Runner) -> bool:
        """Keeps calls away from a model at a backend of ours. Whether that is news."""
        is_news = runner.backend in self._backends and runner not in self._wedged
        if is_news:
            self._wedged.add(runner)
        return is_news

    def unwedge(self, runner: Runner) -> bool:
        """Lets calls go there again. Whether that is news."""
        is_news = runner in self._wedged
        self._wedged.discard(runner)
        return is_news

    @property
    def any_healthy(self) -> bool:
        """Whether at least one backend answers."""
        return bool(self._healthy)

    def states(self) -> Sequence[BackendState]:
        """Each backend as last seen, in the operator's order."""
        return [
            BackendState(
                name=name,
                healthy=name in self._healthy,
                version=self._surveys[name].version if name in self._surveys else "",
                wedged=sorted(runner.model for runner in self._wedged if runner.backend == name),
            )
            for name in self._backends
        ]

    def mark_unreachable(self, name: str) -> None:
        """Takes a backend out until its next good survey."""
        if name in self._healthy:
            _log.warning("backend_unreachable", backend=name)
        self._take_out(name)

    async def survey_all(self) -> None:
        """Asks every backend at once what it has."""
        await asyncio.gather(*(self._survey(backend) for backend in self._backends.values()))
        self.catalogue = Catalogue({name: survey.models for name, survey in self._surveys.items()})

    async def _survey(self, backend: ModelBackend) -> None:
        began_s = self._signs.now_s() if self._signs is not None else 0.0
        try:
            async with asyncio.timeout(SURVEY_TIMEOUT_S):
                self._surveys[backend.name] = await backend.survey()
        except TimeoutError:
            if self._signs is not None and self._signs.since(began_s, backend.name):
                return  # it serves calls, and is only slow to tell of itself
            self._well_s.pop(backend.name, None)
            self._late[backend.name] += 1
            if self._late[backend.name] > LATE_AT_MOST:
                self._survey_failed(backend.name, "timed out")
        except BackendFault as fault:
            self._survey_failed(backend.name, str(fault))
        except Exception:  # noqa: BLE001  one backend's nonsense must not keep the others from being surveyed
            _log.exception("backend_survey_failed", backend=backend.name)
            self._take_out(backend.name)
        else:
            self._late[backend.name] = 0
            self._well_s[backend.name] = began_s
            if backend.name not in self._healthy:
                _log.info("backend_healthy", backend=backend.name)
            self._healthy.add(backend.name)

    def _survey_failed(self, name: str, reason: str) -> None:
        if name in self._healthy or name not in self._surveys:
            _log.warning("backend_survey_failed", backend=name, reason=reason)
        self._take_out(name)

    def _take_out(self, name: str) -> None:
        self._well_s.pop(name, None)
        self._healthy.discard(name)
