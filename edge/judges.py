"""Which network judges, now and after an update, and what is compared with it on trial."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.audio.block import SAMPLE_RATE_HZ
from edge.bundle import DEFAULT_BUNDLE, ModelBundle, read_manifest
from edge.config import Config
from edge.ear import Judge
from edge.errors import BundleError, ConfigError, EdgeError
from edge.features import window_features
from edge.inference import open_scorer
from edge.updates.choice import status
from edge.updates.health import WindowOutcome
from edge.updates.store import CURRENT, ReleaseStore
from edge.updates.watch import FAULTS_IN_A_ROW, Choice, ModelWatch, faults_after

MUTE = "The model gives no finite score, and there is no other to go back to."


def bundle_path(config: Config) -> Path:
    """The bundle in use: the configured one, else the installed one, else the one that ships."""
    if config.model.bundle is not None:
        return Path(config.model.bundle)
    installed = config.updates.store / CURRENT
    return installed if installed.exists() else DEFAULT_BUNDLE


def open_judge(config: Config, bundle: ModelBundle) -> Judge:
    """A bundle's network under the settings of a configuration.

    Raises:
        BundleError: the network cannot be loaded, or wants another sample rate.
        ConfigError: the settings do not fit it.
    """
    manifest = bundle.manifest
    settings = config.detector_settings(manifest)
    if settings.front_end.sample_rate_hz != SAMPLE_RATE_HZ:
        raise BundleError(
            f"The bundle {bundle.path} wants audio at {settings.front_end.sample_rate_hz} Hz; "
            f"this version captures at {SAMPLE_RATE_HZ} Hz, so choose another bundle."
        )
    scorer = open_scorer(bundle, config.model.threads)
    # What the first window would otherwise wait for: imports, tables and the network's memory.
    silence = np.zeros(manifest.window_samples, np.float32)
    scorer.score(window_features(silence, manifest.front_end))
    return Judge(f"{manifest.name} {manifest.version}", settings, scorer.score)


@dataclass(frozen=True)
class Bench:
    """Who judges.

    Attributes:
        judge: what judges.
        network: digest of its network and how it is run, to tell whether it is still the same.
        rival: on trial, what judges the same windows for comparison.
    """

    judge: Judge
    network: str
    rival: Judge | None = None

    def same_as(self, other: Bench) -> bool:
        """Would both give the same results, and is neither on trial?"""
        mine = (self.network, self.judge.model, self.judge.settings)
        theirs = (other.network, other.judge.model, other.judge.settings)
        return mine == theirs and self.rival is None and other.rival is None


class Models:
    """Follows the choice of model for one daemon.

    A configured bundle is simply used. Without one, the installed release is followed, put on
    trial and rolled back as `edge.updates.watch` says.

    Args:
        config: names the bundle or the store.
        report: told one sentence for each event worth a line.
    """

    def __init__(self, config: Config, report: Callable[[str], None]) -> None:
        self._watch: ModelWatch | None = None
        self._choice: Choice | None = None
        self._report = report
        self._faults = 0
        self._seen: tuple[int, int] | None = None
        if config.model.bundle is None:
            store = ReleaseStore(config.updates.store)
            self._watch = ModelWatch(
                store, config.updates.trial, variant=config.model.variant, report=report
            )

    def changed(self) -> bool:
        """Is another model to be taken? Costs one readlink."""
        return self._watch is not None and self._watch.changed()

    def take(self, config: Config) -> Bench:
        """Load the model that is to judge from now on.

        Raises:
            BundleError: not even the model of the package can be used.
            ConfigError: the settings do not fit the model.
        """
        if self._watch is None:
            bundle = ModelBundle.load(bundle_path(config), config.model.variant)
            return _bench(config, Choice(bundle, None))
        self._faults = 0
        while True:
            self._choice = self._watch.take()
            try:
                return _bench(config, self._choice)
            except (BundleError, ConfigError) as error:
                # Settings that fit no model are not the fault of a proven one.
                at_fault = isinstance(error, BundleError) or self._choice.on_trial
                if not (at_fault and self._watch.failed(str(error))):
                    raise

    def again(self, config: Config) -> Bench:
        """The model taken last, under other settings; a configured bundle is read anew.

        Raises:
            BundleError, ConfigError: see `take`.
        """
        return self.take(config) if self._choice is None else _bench(config, self._choice)

    def note(self, outcome: WindowOutcome) -> None:
        """Report a window: of a model on trial, or of one that may have gone mute since."""
        before, self._faults = self.mute, faults_after(self._faults, outcome)
        if self._watch is not None:
            self._watch.window(outcome)
        if self.mute != before and not self.changed():
            self._report(MUTE if self.mute else "The model gives scores again.")

    @property
    def mute(self) -> bool:
        """Does the model give nothing any more?"""
        return self._faults >= FAULTS_IN_A_ROW

    def news(self) -> bool:
        """Has anybody recorded something since this was asked last, such as a failed installation?

        Costs one stat.
        """
        before, self._seen = self._seen, None if self._watch is None else self._watch.stamp()
        return self._seen != before

    def failed(self, reason: str) -> bool:
        """Judging failed; true if another model is to be taken."""
        return self._watch is not None and self._watch.failed(reason)

    def status(self, config: Config) -> dict[str, Any]:
        """What is to be told of the models on this device (see `edge.updates.choice.status`)."""
        try:
            told = self._status(config)
        except (EdgeError, OSError) as error:
            told = {"error": str(error)}
        return {**told, "health": "mute", "error": MUTE} if self.mute else told

    def _status(self, config: Config) -> dict[str, Any]:
        if self._watch is not None:
            return status(replace(config.updates, device_id=config.device_id))
        version = read_manifest(bundle_path(config)).version
        return {"device": config.device_id, "version": version, "health": "configured"}

    def stop(self) -> None:
        """The daemon stops in good order."""
        if self._watch is not None:
            self._watch.stop()


def _bench(config: Config, choice: Choice) -> Bench:
    digest = hashlib.sha256(choice.bundle.model).hexdigest()
    rival = open_judge(config, choice.reference) if choice.reference else None
    judge = open_judge(config, choice.bundle)
    return Bench(judge, f"{digest} on {config.model.threads} threads", rival)
