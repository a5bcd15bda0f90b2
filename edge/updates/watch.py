"""What the daemon has to do with updates: ask which model, notice a change, report each window.

How a daemon uses it, between two windows and never inside one:

    watch = ModelWatch(ReleaseStore(settings.store), settings.trial)
    choice = watch.take()                  # at start, and whenever `changed()` is true
    ... load choice.bundle; while choice.reference is not None, a second Detector with
        choice.reference is fed the same blocks; the new Detector `take_over`s the old one ...
        scorers are wrapped: Detector(..., guarded(open_scorer(bundle).score, report)): a network
        that raises costs a "model-fault" window instead of the daemon
    for each window:
        watch.window(WindowOutcome(latency_s, finite, spoof, previous_spoof))
        if watch.changed():                # a readlink: no disk write, no lock
            choice = watch.take()          # also after a rollback
    if a choice cannot be loaded: `if watch.failed(reason): choice = watch.take()`, else raise:
        it is the model of the package itself
    on SIGTERM: watch.stop()

Nothing here imports python-tuf or a TFLite runtime, and the disk is written only when a trial
begins or ends.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import DEFAULT_BUNDLE, ModelBundle
from edge.errors import BundleError, UpdateError
from edge.features import Float32
from edge.updates.health import Judgement, Step, Trial, TrialSettings, WindowOutcome, judge
from edge.updates.store import CURRENT, ReleaseStore

# A model that was proven long ago is left too when it gives nothing any more, or when the daemon
# keeps dying with it. More starts are forgiven it than one on trial: a power cut is no crash.
FAULTS_IN_A_ROW = 10
STARTS_IN_A_ROW = 10
SETTLED_WINDOWS = 300


def faults_after(faults: int, outcome: WindowOutcome) -> int:
    """How many windows in a row had no finite score; silence between two of them proves nothing."""
    if not outcome.finite:
        return faults + 1
    return faults if outcome.spoof is None else 0


def guarded(
    score: Callable[[Float32], float], report: Callable[[str], None]
) -> Callable[[Float32], float]:
    """A scorer that gives NaN where the runtime raises, so that the window is not lost.

    Args:
        score: features (frames, bands) to a logit.
        report: told what the runtime said.
    """

    def safe(features: Float32) -> float:
        try:
            return score(features)
        except (RuntimeError, ValueError) as error:
            report(f"The network failed on a window: {error}")
            return math.nan

    return safe


@dataclass(frozen=True)
class Choice:
    """The model to run.

    Attributes:
        bundle: it, verified.
        release: its name in the store; None = the model of the package.
        on_trial: each window is to be reported to `ModelWatch.window`.
        reference: while on trial, the model that it is compared with on the same sound.
    """

    bundle: ModelBundle
    release: str | None
    on_trial: bool = False
    reference: ModelBundle | None = None


class ModelWatch:
    """Follows the current release for one daemon.

    Args:
        store: the releases.
        settings: when a trial ends.
        variant: form of the network that the daemon runs; None = each manifest's default.
        fallback: the bundle that serves when the store has none.
        report: called with one sentence for each event worth a log line.
        clock_s: the system clock, Unix seconds.
    """

    def __init__(
        self,
        store: ReleaseStore,
        settings: TrialSettings | None = None,
        *,
        variant: str | None = None,
        fallback: Path = DEFAULT_BUNDLE,
        report: Callable[[str], None] = lambda sentence: None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings or TrialSettings()
        self._variant = variant
        self._fallback = fallback
        self._report = report
        self._clock_s = clock_s
        self._link = ""
        self._taken: str | None = None
        self._trial: Trial | None = None
        self._faults = 0
        self._windows = 0
        # Outlives a disk that is too full, or read-only, to record a rollback on.
        self._refused: set[str] = set()

    @property
    def trial(self) -> Trial | None:
        """The trial of the model in use; None = it is proven."""
        return self._trial

    def changed(self) -> bool:
        """Is another model to be taken than the one taken last?"""
        return self._read_link() != self._link or self._taken in self._refused

    def stamp(self) -> tuple[int, int] | None:
        """Something that changes with the store's state; None where there is none."""
        return self._store.stamp()

    def take(self) -> Choice:
        """The model to run from now on.

        A release that the disk has damaged, that this version cannot use, or that the daemon did
        not survive, is left for the last good one, and in the end for the model of the package.

        Raises:
            BundleError: not even that one can be used.
        """
        self._trial, self._faults, self._windows = None, 0, 0
        choice = self._release() or Choice(ModelBundle.load(self._fallback, self._variant), None)
        self._taken = choice.release
        self._link = self._read_link()
        if choice.on_trial:
            self._trial = Trial(self._settings, choice.bundle.manifest.hop_s)
        return choice

    def window(self, outcome: WindowOutcome) -> Judgement:
        """Report one window. After a rollback `changed()` is true."""
        if self._taken is None:
            return Judgement(Step.GO_ON)
        self._windows += 1
        if self._trial is None:
            return self._watch_proven(self._taken, outcome)
        self._trial, judgement = judge(self._trial, outcome)
        if judgement.step is Step.COMMIT:
            self._commit(self._taken, self._trial.scored)
        elif judgement.step is Step.ROLL_BACK:
            self._send_back(self._taken, judgement.reason)
        return judgement

    def failed(self, reason: str) -> bool:
        """The model taken last could not be loaded, or scoring raised; go back from it.

        Returns:
            False if there is nothing to go back from: it is the model of the package.
        """
        if self._taken is None:
            return False
        self._send_back(self._taken, reason)
        return True

    def stop(self) -> None:
        """The daemon stops in good order, so this start is no sign of a crash loop."""
        if self._taken is not None:
            with self._reporting():
                self._store.count_stop()

    def _watch_proven(self, name: str, outcome: WindowOutcome) -> Judgement:
        if self._windows == SETTLED_WINDOWS:
            with self._reporting():
                self._store.settle()
        self._faults = faults_after(self._faults, outcome)
        if self._faults < FAULTS_IN_A_ROW:
            return Judgement(Step.GO_ON)
        reason = f"{self._faults} windows in a row without a finite score"
        self._send_back(name, reason)
        return Judgement(Step.ROLL_BACK, reason)

    def _release(self) -> Choice | None:
        """The current release if it can be used, else the previous one."""
        with self._reporting():
            self._store.recover()
        for name in dict.fromkeys((self._store.current(), self._store.previous())):
            if name is None or name in self._refused:
                continue
            try:
                bundle = self._store.verify(name, self._variant)
            except BundleError as error:
                self._send_back(name, str(error), quarantine=False)
                continue
            on_trial, starts = self._count_start(name)
            if starts <= (self._settings.max_starts if on_trial else STARTS_IN_A_ROW):
                return Choice(bundle, name, on_trial, self._reference(name) if on_trial else None)
            self._send_back(name, f"the daemon has not survived {starts - 1} starts with it")
        return None

    def _count_start(self, name: str) -> tuple[bool, int]:
        """Is it on trial, and how often has the daemon been started with it in a row?"""
        with self._reporting():
            if name == self._store.current():
                return self._store.pending() is not None, self._store.count_start()
        return False, 0

    def _reference(self, name: str) -> ModelBundle | None:
        """What a release on trial is compared with: the last good one, or the package's model."""
        previous = self._store.previous()
        try:
            if previous is not None and previous != name:
                return self._store.verify(previous, self._variant)
            return ModelBundle.load(self._fallback, self._variant)
        except BundleError as error:
            self._report(f"Model {name} has nothing to be compared with: {error}")
            return None

    def _commit(self, name: str, scored: int) -> None:
        self._trial = None
        with self._reporting():
            self._store.commit(name)
            self._report(f"Model {name} is committed after {scored} healthy windows.")

    def _send_back(self, name: str, reason: str, *, quarantine: bool = True) -> None:
        self._trial = None
        self._refused.add(name)
        self._report(f"Model {name} is rolled back: {reason}")
        with self._reporting():
            self._store.roll_back(reason, self._clock_s(), bad=name, quarantine=quarantine)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """A store that cannot be written must not end the daemon."""
        try:
            yield
        except (UpdateError, OSError) as error:
            self._report(f"The model store cannot be used: {error}")

    def _read_link(self) -> str:
        try:
            return os.readlink(self._store.root / CURRENT)
        except OSError:
            return ""
