"""Trials of a brain in the arena: from many starts, with controls, in parallel processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Literal

from ab_ros.engine.brain import Brain
from ab_ros.environments.chemotaxis import Chemotaxis, Start, Track, run_trial
from ab_ros.environments.worm_brain import WormBrain
from ab_ros.errors import WorldError

_POLL = 0.1
"""Seconds between looks at how far the other processes are."""

Backend = Literal["auto", "numpy", "numba"]


@dataclass(frozen=True)
class Condition:
    """What a brain has in a trial; without learning it neither learns nor prunes."""

    learning: bool = True
    sensors: bool = True


@dataclass(frozen=True)
class _Course:
    """Trials that follow each other, of one brain that is loaded for them."""

    file: Path
    condition: Condition
    starts: tuple[Start, ...]
    ticks: int
    carry: bool
    save: Path | None
    backend: Backend


def run_trials(
    file: Path,
    conditions: Sequence[Condition],
    starts: Sequence[Start],
    ticks: int,
    *,
    carry: bool = False,
    save: Path | None = None,
    jobs: int = 1,
    backend: Backend = "auto",
    progress: Callable[[int], None] | None = None,
) -> list[list[Track]]:
    """Let a brain find food from every start, under every condition.

    Tracks do not depend on the number of jobs, but for the seconds that they took.

    Parameters
    ----------
    file : a brain with a body map and a sensor map; it stays as it is.
    conditions : at least one.
    starts : at least one.
    ticks : of each trial, >= 1.
    carry : whether the brain's life goes on from start to start, instead of beginning each trial
        as it is in the file.  Life under every condition begins as in the file.
    save : where to save the brain as it is after the last trial of the first condition; needs
        ``carry``.
    jobs : processes, >= 1.  With 1 everything happens in this one; with more, nothing does.
    backend : of brain and worm.
    progress : is called with the number of ticks done so far.

    Returns
    -------
    list
        of tracks, by condition and start.

    Raises
    ------
    BrainFileError
        if the brain cannot be loaded, or saved.
    WorldError
        if the brain has no maps, nothing is asked for, ``save`` is given without ``carry``, or a
        process ended by itself.
    """
    if not conditions or not starts or jobs < 1:
        raise WorldError(
            f"trials: need at least one condition, start and job (got {len(conditions)},"
            f" {len(starts)}, {jobs})"
        )
    if save is not None and not carry:
        raise WorldError("trials: a brain that begins every trial anew is not to be saved")
    together = carry or jobs == 1
    runs = [tuple(starts)] if together else [(start,) for start in starts]
    courses = [
        _Course(file, condition, run, ticks, carry, None if k else save, backend)
        for k, condition in enumerate(conditions)
        for run in runs
    ]
    done = _run_here(courses, progress) if jobs == 1 else _run_parallel(courses, jobs, progress)
    tracks = [track for course in done for track in course]
    each = len(starts)
    return [tracks[k : k + each] for k in range(0, len(tracks), each)]


def _live(course: _Course, advance: Callable[[int], None]) -> list[Track]:
    """Run the trials of a course; ``advance`` is called with steps of ticks."""
    brain = Brain.load(course.file, course.backend)
    ready_to_learn = brain.learning
    controller = WormBrain(brain, carry=course.carry)
    brain.learning = course.condition.learning
    world = Chemotaxis(blind=not course.condition.sensors, backend=course.backend)
    tracks = []
    for start in course.starts:
        before = 0

        def at(tick: int) -> None:
            nonlocal before
            advance(tick - before)
            before = tick

        tracks.append(run_trial(controller, start, course.ticks, world, progress=at))
    if course.save is not None:
        brain.learning = ready_to_learn
        brain.save(course.save)
    return tracks


def _run_here(
    courses: Sequence[_Course], progress: Callable[[int], None] | None
) -> list[list[Track]]:
    done = 0

    def advance(ticks: int) -> None:
        nonlocal done
        done += ticks
        if progress is not None:
            progress(done)

    return [_live(course, advance) for course in courses]


def _run_parallel(
    courses: Sequence[_Course], jobs: int, progress: Callable[[int], None] | None
) -> list[list[Track]]:
    # Spawned, not forked: this process may have threads, of NumPy or of a terminal.
    context = multiprocessing.get_context("spawn")
    ticks, stop = context.Value("q", 0), context.Event()
    shared = (ticks, stop)
    with ProcessPoolExecutor(min(jobs, len(courses)), context, _enter, shared) as pool:
        try:
            with _interrupts_ignored():
                futures = [pool.submit(_live_apart, course) for course in courses]
            waiting: set[Future[list[Track]]] = set(futures)
            while waiting:
                finished, waiting = wait(waiting, _POLL, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                if progress is not None:
                    progress(ticks.value)
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise WorldError("trials: a process ended by itself; is the memory full?") from None
        finally:
            # Those that still run stop at their next look.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes be born deaf to Ctrl-C, which goes to all; this one tells them to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _StoppedError(Exception):
    """The process that wanted the trials wants them no more."""


_ticks: Any = None
_stop: Event | None = None


def _enter(ticks: Any, stop: Event) -> None:
    """Begin a process of trials."""
    global _ticks, _stop
    _ticks, _stop = ticks, stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this process when the one that began it has ended, however it did."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _live_apart(course: _Course) -> list[Track]:
    def advance(ticks: int) -> None:
        assert _stop is not None
        if _stop.is_set():
            raise _StoppedError
        with _ticks.get_lock():
            _ticks.value += ticks

    return _live(course, advance)
