"""The client of a service of brains: its calls, and the runs that it starts."""

from __future__ import annotations

import atexit
import importlib
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ab_ros.brains.remote import Link, RemoteSettings
from ab_ros.client.link_connection import LinkConnection
from ab_ros.client.run import Run
from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, one_of
from ab_ros.learning.scaffold import SyncReport, sync_policies
from ab_ros.protocol import Endpoint, Key, RunState, read_key

SETTINGS = (
    "key_variable",
    "key_file",
    "plain_http",
    "allowed_origins",
    "ca_file",
    "proxy",
    "connect_timeout",
    "link_timeout",
    "backoff_first",
    "backoff_most",
    "largest_payload",
)
"""Settings of :class:`~ab_ros.brains.remote.RemoteSettings` that a client takes by name."""


class ABClient:
    """A service of brains, such as ``ab_ros serve``, by the 0.1 protocol.

    It can be used as a context manager, which closes the runs that it started.

    Parameters
    ----------
    url : address of the service; https, or http to this computer.
    api_key : of the service; None: from the environment variable ``AB_ROS_KEY`` (or
        ``key_variable``), else from the file ``key_file``, else none.  It is never shown.
    settings : any of :data:`SETTINGS`, as :class:`~ab_ros.brains.remote.RemoteSettings` has them.

    Raises
    ------
    ConfigError
        for an address, key or setting that is not allowed.
    """

    def __init__(self, url: str, api_key: str | None = None, **settings: Any) -> None:
        for name in settings:
            if name not in SETTINGS:
                raise ConfigError(f"ABClient: unknown setting {name!r}; {one_of(SETTINGS)}")
        self._given = {"url": url, **settings}
        checked = self._settings("any")
        self._endpoint = checked.endpoint
        self._key: Key | None
        if api_key is not None:
            self._key = Key(api_key, "api_key")
        else:
            self._key = read_key(checked.key_variable, checked.key_file)
        self._lock = threading.Lock()
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        _CLIENTS.add(self)

    def __repr__(self) -> str:
        return f"ABClient({self._endpoint.base!r})"

    @property
    def endpoint(self) -> Endpoint:
        """Address of the service, normalised."""
        return self._endpoint

    def start(self, project: str, options: Mapping[str, Any] | None = None, **more: Any) -> Run:
        """Start a run of a project's brain and join it.

        Parameters
        ----------
        project : id of the project.
        options : of the run, as the service has them; also by name.  Those of ``ab_ros serve``:
            ``learning`` (bool), ``seed`` (int), ``fresh`` (begin with the brain as it was at
            first), ``reset`` (forget its momentary state), ``pacing`` (``"gated"``: the brain
            waits for each cycle's execution; ``"free"``: it does not) and ``deadlineMs``.

        Raises
        ------
        BrainUnreachable
            if the service does not answer in time.
        BrainError, ProtocolError
            if it refuses, or answers what cannot be understood.  A run that was started is
            stopped again then.
        """
        connection = LinkConnection(self._settings(project), self._key, {**(options or {}), **more})
        run = Run(connection)
        connection.join(run)
        with self._lock:
            self._runs.add(run)
        return run

    def stop(self, run: Run | str) -> None:
        """Stop a run, which closes it; or, by a project's id, whatever that project runs.

        Raises
        ------
        BrainError, ProtocolError
            if a project's run could not be stopped.
        """
        if isinstance(run, Run):
            run.close()
            return
        with self._link(run) as link:
            link.stop("")

    def get_contract(self, project: str) -> Contract:
        """Return what a project's brain takes and gives, without starting a run."""
        with self._link(project) as link:
            return link.contract()

    def get_state(self, project: str) -> RunState:
        """Return a project's run, its cycle and what it needs."""
        with self._link(project) as link:
            return link.state()

    def sync_policies(self, project: str, policies_dir: str | Path = "policies") -> SyncReport:
        """Write a project's contract into a policy folder; make the policies that it lacks.

        Files of the user's are never overwritten; see :mod:`ab_ros.learning.scaffold`.
        """
        return sync_policies(self.get_contract(project), policies_dir)

    def close(self) -> None:
        """Close all runs that were started here.  May be called twice."""
        with self._lock:
            runs = list(self._runs)
            self._runs.clear()
        for run in runs:
            run.close()

    def __enter__(self) -> ABClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _settings(self, project: str) -> RemoteSettings:
        return parse(RemoteSettings, {**self._given, "project": project})

    def _link(self, project: str) -> Link:
        return Link(self._settings(project), key=self._key)


_CLIENTS: weakref.WeakSet[ABClient] = weakref.WeakSet()


def _close_all() -> None:
    """Let no run outlive its program only because nobody closed it."""
    for client in list(_CLIENTS):
        client.close()


# Executors, which look up the names of hosts, end before the functions of atexit are called: no run
# could be stopped any more by then.  What registers after them, as here, comes before them.
importlib.import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_close_all)
