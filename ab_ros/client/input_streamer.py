"""Answering what a brain needs with samples from the user's functions."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.client.exchange import Request
from ab_ros.client.run import Run
from ab_ros.client.samples import read_sample
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.protocol.formats import Payload
from ab_ros.protocol.messages import NeedItem

_log = logging.getLogger(__name__)
_PATIENCE = 5.0

Provider = Callable[[], Mapping[str, Any] | None]
"""Returns ``{"format", "meta", "data"}``, or None if there is nothing new."""


@dataclass(frozen=True)
class _Source:
    """A provider, and the kind it was registered with."""

    kind: str
    provider: Provider


class InputStreamer:
    """Answers each ``io:need`` of a run by the providers that are registered.

    A provider for an input's id goes before one for its kind.  All are called in one thread, one
    after the other, in the order of the need.  One that raises, or returns what is no sample, is
    logged with its stack trace; the others go on.  A need whose deadline has passed gets no sample
    that would arrive late, and an input whose last sample has not yet left this computer gets none
    that would queue behind it.

    Parameters
    ----------
    run : whose needs are answered.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._by_id: dict[str, _Source] = {}
        self._by_kind: dict[str, _Source] = {}
        self._counts: Counter[str] = Counter()
        self._missed: set[str] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def register_input(self, id: str, kind: str, provider: Provider) -> None:
        """Let a provider answer for one input; one that was registered before is replaced.

        Parameters
        ----------
        id : of the input, by the contract.
        kind : ``Image``, ``Audio`` …; what is sent has the kind that the need names, if it does.
        provider : called once for each need; returns ``{"format", "meta", "data"}``.

        Raises
        ------
        ConfigError
            for an empty id, or a provider that cannot be called.
        """
        self._by_id[_name("input id", id)] = _Source(kind, _function(id, provider))

    def register_kind(self, kind: str, provider: Provider) -> None:
        """Let a provider answer for all inputs of a kind that have none of their own."""
        self._by_kind[_name("kind", kind)] = _Source(kind, _function(kind, provider))

    def start(self) -> None:
        """Begin to answer, with the need that is open now, if there is one.

        Raises
        ------
        ConfigError
            if it answers already.
        """
        if self._thread is not None:
            raise ConfigError("the input streamer was started already")
        self._stopped.clear()
        self._thread = threading.Thread(target=self._answer_all, name="ab_ros inputs", daemon=True)
        self._run.add_part(self)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; a provider that is being called is waited for, up to 5 s."""
        self._stopped.set()
        self._run.requests.wake()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)
            if thread.is_alive():
                _log.warning("a provider of samples has not returned for %g s", _PATIENCE)
        self._run.remove_part(self)

    def counts(self) -> Mapping[str, int]:
        """Return how often what was sent or not, by name, such as ``"cam_rgb late"``."""
        return dict(self._counts)

    def _answer_all(self) -> None:
        while not self._stopped.is_set():
            request = self._run.requests.take(1.0)
            if request is not None:
                for item in request.need.needs:
                    if self._stopped.is_set():
                        return
                    try:
                        self._answer(request, item)
                    except Exception:
                        self._counts[f"{item.id} failed"] += 1
                        _log.exception("input %r could not be answered", item.id)

    def _answer(self, request: Request, item: NeedItem) -> None:
        source = self._by_id.get(item.id) or self._by_kind.get(item.kind)
        if source is None:
            self._run.answer(request, item, self._nobody_provides(item))
        elif request.late(time.monotonic()):
            self._counts[f"{item.id} late"] += 1
            self._run.answer(request, item, "same")
        elif not self._run.may_send(item.id):
            self._counts[f"{item.id} held back"] += 1
            self._run.answer(request, item, "same")
        else:
            self._send(request, item, source)

    def _send(self, request: Request, item: NeedItem, source: _Source) -> None:
        taken = time.time()
        payload = self._provided(item, source.provider)
        if payload is None:
            self._run.answer(request, item, "same")
        elif self._run.requests.outdated(request) or request.late(time.monotonic()):
            self._counts[f"{item.id} late"] += 1
            self._run.answer(request, item, "same")
        else:
            kind = item.kind or source.kind
            sent = self._run.answer(request, item, "new", kind, payload, taken)
            self._counts[f"{item.id} sent" if sent else f"{item.id} late"] += 1

    def _provided(self, item: NeedItem, provider: Provider) -> Payload | None:
        try:
            result = provider()
            if result is not None:
                return read_sample(result)
        except ObservationError as error:
            self._counts[f"{item.id} refused"] += 1
            _log.error("input %r: what its provider returned %s", item.id, error, exc_info=True)
        except Exception:
            self._counts[f"{item.id} failed"] += 1
            _log.exception("input %r: its provider failed", item.id)
        else:
            self._counts[f"{item.id} nothing new"] += 1
        return None

    def _nobody_provides(self, item: NeedItem) -> str:
        """Return what to say of an item without a provider."""
        if item.kind == "Feedback" or item.from_output:
            return ""  # it is made of the deviations, not asked from here
        self._counts[f"{item.id} without a provider"] += 1
        if item.id not in self._missed:
            self._missed.add(item.id)
            _log.warning(
                "the brain needs input %r of kind %r, but no provider is registered for either",
                item.id,
                item.kind,
            )
        # A server may take joint positions from the robot's state instead.
        return "same" if item.kind == "Proprioception" else "none"


def _name(what: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{what}: must be a name, not {value!r}")
    return value


def _function(name: str, provider: Provider) -> Provider:
    if not callable(provider):
        raise ConfigError(f"provider of {name!r}: must be a function, not {provider!r}")
    return provider
