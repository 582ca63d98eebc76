"""All runs of a server: at most one for each project, and no more than allowed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.protocol.endpoint import NAMESPACE
from ab_ros.protocol.messages import EXTENSIONS, RunState, Started
from ab_ros.server.options import StartOptions
from ab_ros.server.run import Run, RunSettings
from ab_ros.server.store import BrainStore

_log = logging.getLogger(__name__)

_REMEMBERED = 1024  # runs that have ended
_SAVING = 60.0  # s that a brain may take to be saved


class CallError(AbRosError):
    """A call that is refused, with the HTTP status that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Runs:
    """The runs of a server; every method may be called from any thread, and may take its time.

    Parameters
    ----------
    store : brains of the projects.
    settings : of every run.
    most : runs at once.
    projects : ids that are served; empty: any.
    """

    def __init__(
        self,
        store: BrainStore,
        settings: RunSettings,
        most: int = 8,
        projects: Collection[str] = (),
    ) -> None:
        self._store, self._settings = store, settings
        self._most, self._projects = most, frozenset(projects)
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._starting: set[str] = set()
        self._past: deque[str] = deque(maxlen=_REMEMBERED)
        self._closed = False

    def start(self, project: str, options: StartOptions) -> Started:
        """Start a run.

        Raises
        ------
        CallError
            if the project is not served or busy, or there are too many runs.
        BrainError
            if the project's brain cannot be read.
        """
        self._check(project)
        with self._lock:
            if self._closed:
                raise CallError(503, "the server is stopping")
            before = self._runs.get(project)
            if project in self._starting or (before is not None and before.joined):
                raise CallError(
                    409,
                    f"project {project!r} has a run whose client is connected: stop it first, or"
                    f" use another project",
                )
            others = (self._starting | set(self._runs)) - {project}
            if len(others) >= self._most:
                raise CallError(
                    503, f"there are {self._most} runs already, and no more are allowed"
                )
            self._starting.add(project)
        try:
            if before is not None:
                _log.info("project %r: a new run takes the place of one without client", project)
                self._end(before)
            return self._begin(project, options)
        finally:
            with self._lock:
                self._starting.discard(project)

    def stop(self, project: str, run: str = "") -> bool:
        """Stop a project's run and save it; return whether there was one.

        Parameters
        ----------
        project : id.
        run : id of the run; empty for whichever there is.

        Raises
        ------
        CallError
            if the project is not served, or never had that run.
        """
        self._check(project)
        with self._lock:
            current = self._runs.get(project)
            if run and (current is None or current.id != run):
                if run in self._past:
                    return False
                raise CallError(404, f"project {project!r} has no run {run!r}")
        if current is None:
            return False
        self._end(current)
        return True

    def state(self, project: str) -> tuple[RunState, dict[str, int]]:
        """Return the state of a project's run, and what was refused in it."""
        self._check(project)
        with self._lock:
            run = self._runs.get(project)
        return (RunState(""), {}) if run is None else (run.state(), run.counts())

    def contract(self, project: str) -> Started:
        """Return the contract of a project, as an answer without a run."""
        self._check(project)
        return Started("", self._store.contract, None, frozenset(EXTENSIONS), self._store.timestep)

    def find(self, run: str) -> Run | None:
        """Return a run that goes on."""
        with self._lock:
            return next((r for r in self._runs.values() if r.id == run), None)

    def __len__(self) -> int:
        return len(self._runs)

    def close(self) -> None:
        """Take no more starts; stop and save all runs."""
        with self._lock:
            again, self._closed = self._closed, True
            runs = list(self._runs.values())
        for run in runs:
            run.stop()
        for run in runs:
            self._wait(run)
        if not again:
            self._store.close()

    def _begin(self, project: str, options: StartOptions) -> Started:
        try:
            brain = self._store.load(project, options.fresh)
        except ConfigError as error:
            raise CallError(409, str(error)) from None
        path = self._store.path(project)
        run = Run(project, brain, path, options, self._settings, self._forget)
        with self._lock:
            if self._closed:
                raise CallError(503, "the server is stopping")
            self._runs[project] = run
            run.begin()
        _log.info("project %r: run %s begins", project, run.id)
        realtime = {"namespace": NAMESPACE, "url": None}
        return Started(run.id, run.contract, realtime, frozenset(EXTENSIONS), run.dt)

    def _check(self, project: str) -> None:
        if self._projects and project not in self._projects:
            raise CallError(404, f"project {project!r} is not served here")

    def _end(self, run: Run) -> None:
        run.stop()
        self._wait(run)

    def _wait(self, run: Run) -> None:
        if not run.wait(_SAVING):
            _log.error("project %r: its run does not end within %g s", run.project, _SAVING)

    def _forget(self, run: Run) -> None:
        with self._lock:
            if self._runs.get(run.project) is run:
                del self._runs[run.project]
            self._past.append(run.id)
        counts = ", ".join(f"{name} {count}" for name, count in sorted(run.counts().items()))
        _log.info("project %r: run %s has ended; %s", run.project, run.id, counts or "no refusals")
