"""The straight line: samples in, results out. No clock, device, thread or socket. Pure.

One Detector serves the live daemon, `earwitness score`, the benchmark, evaluation and the tests;
only the source before it and the sink behind it differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edge.audio.block import AudioBlock
from edge.audio.health import HealthSettings, health_of
from edge.bundle import Manifest
from edge.decision import (
    Calibration,
    DecisionRule,
    DecisionState,
    aggregate,
    decide,
    sigmoid,
)
from edge.features import (
    Float32,
    FrontEnd,
    LogMelStream,
    finish,
    log_mel_db,
)
from edge.speech import SpeechSettings, peak_level_dbfs, speech_activity
from edge.windows import fit_window

BONAFIDE = "bonafide"
SPOOF = "spoof"
NO_SPEECH = "no-speech"
NOT_SCORED = "not-scored"
HEALTHY = "ok"
MODEL_FAULT = "model-fault"

# The stages that a window passes, in order, as `on_stage` names them.
STAGES = ("health", "log_mel", "gate", "inference", "decision")


@dataclass(frozen=True)
class WindowResult:
    """What is known of one window.

    Attributes:
        index: counts the windows of this source from 0 and never goes back.
        start, end: its samples on the source's timeline, end exclusive.
        health: "ok", or why the input cannot be trusted ("silent-input", "clipped" ...),
            or "model-fault" when the network gave no finite number.
        level_dbfs: RMS level of the loudest tenth of a second.
        speech: does it hold speech?
        logit: the network's output; None when the window was not scored.
        probability: calibrated probability of spoof, likewise.
        smoothed: probability after smoothing, likewise.
        verdict: "bonafide", "spoof", "no-speech", or "not-scored" (see `health`).
        raised: is an alert standing after this window?
        alert: "raised" or "cleared" when this window changed that, else None.
    """

    index: int
    start: int
    end: int
    health: str
    level_dbfs: float
    speech: bool
    logit: float | None
    probability: float | None
    smoothed: float | None
    verdict: str
    raised: bool
    alert: str | None


@dataclass(frozen=True)
class DetectorSettings:
    """Everything that shapes the results, as numbers of samples and pure settings.

    Attributes:
        front_end: settings of the features.
        model_samples: the network's input, samples.
        window_samples: samples per window; fewer than `model_samples` are fitted as `padding` says.
        hop_samples: between the starts of windows; at most one window.
        padding: how short windows fill the network's input.
        calibration: logit to log-odds.
        rule: log-odds to alerts.
        speech: when a window counts as speech.
        health: when the input cannot be trusted.
    """

    front_end: FrontEnd
    model_samples: int
    window_samples: int
    hop_samples: int
    padding: str
    calibration: Calibration
    rule: DecisionRule
    speech: SpeechSettings = SpeechSettings()
    health: HealthSettings = HealthSettings()

    def __post_init__(self) -> None:
        if not 0 < self.window_samples <= self.model_samples:
            raise ValueError(
                f"a window of {self.window_samples} samples does not fit the network's "
                f"{self.model_samples}"
            )
        if not 0 < self.hop_samples <= self.window_samples:
            raise ValueError(
                f"the hop of {self.hop_samples} samples must be above 0 and at most the window's "
                f"{self.window_samples}"
            )

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        rule: DecisionRule | None = None,
        *,
        hop_s: float | None = None,
        window_s: float | None = None,
        speech: SpeechSettings = SpeechSettings(),
        health: HealthSettings = HealthSettings(),
    ) -> DetectorSettings:
        """Settings for a bundle's network; what is None is as the bundle says.

        Raises:
            ValueError: the window is longer than the network's input, or the hop than the window.
        """
        rate = manifest.front_end.sample_rate_hz
        window = manifest.window_samples if window_s is None else round(window_s * rate)
        hop = manifest.hop_s if hop_s is None else hop_s
        return cls(
            front_end=manifest.front_end,
            model_samples=manifest.window_samples,
            window_samples=window,
            hop_samples=round(hop * rate),
            padding=manifest.padding,
            calibration=manifest.calibration,
            rule=rule or DecisionRule(manifest.operating_point.threshold),
            speech=speech,
            health=health,
        )


class Detector:
    """Turns audio blocks into window results, whatever the size of the blocks.

    Args:
        settings: everything that shapes the results.
        score: features (rows, bands) to a logit; usually `edge.inference.Scorer.score`.
        on_stage: called with the name of each stage (`STAGES`) as a window has passed it, and with
            "start" before the first; whoever has a clock may read it there.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        score: Callable[[Float32], float],
        on_stage: Callable[[str], None] = lambda stage: None,
    ) -> None:
        self.settings = settings
        self._score = score
        self._on_stage = on_stage
        self._stream = LogMelStream(settings.front_end)
        self._cues = settings.front_end.cue_stream()
        self._slid = 0  # samples since the window whose cues were measured last
        self._audio = np.zeros(settings.window_samples + settings.hop_samples, np.float32)
        self._held = 0  # samples in `_audio`, the newest last
        self._end = 0  # timeline position after the newest sample
        self._fresh = 0  # samples that no window has covered yet
        self._wanted = settings.window_samples  # fresh samples that complete the next window
        self._index = 0
        self._decision = DecisionState()

    @property
    def windows(self) -> int:
        """How many windows have been judged."""
        return self._index

    def take_over(self, other: Detector) -> None:
        """Go on where another detector stopped: its audio and its count, not its decisions.

        For a change of model between two windows without losing audio. Evidence is not carried
        over, because another network's scores are another evidence.

        Raises:
            ValueError: the two cut audio into different windows.
        """
        mine, theirs = self.settings, other.settings
        if (mine.window_samples, mine.hop_samples) != (theirs.window_samples, theirs.hop_samples):
            raise ValueError("only a detector with the same window and hop can be taken over")
        self._audio[:] = other._audio
        self._held, self._end = other._held, other._end
        self._fresh, self._wanted = other._fresh, other._wanted
        self._index = other._index

    def accept(self, block: AudioBlock) -> list[WindowResult]:
        """Take the next block; return the windows that it completed, in order.

        A block that does not follow the last one directly starts anew: nothing is ever scored
        across a hole.

        Raises:
            ValueError: the block lies before audio that was already taken.
        """
        if block.start < self._end:
            raise ValueError(f"block at {block.start} lies before {self._end}, already taken")
        if block.start > self._end:
            self._start_anew(block.start)
        results = []
        taken = 0
        while taken < len(block.samples):
            piece = block.samples[taken : taken + self._wanted - self._fresh]
            self._append(piece)
            taken += len(piece)
            if self._fresh == self._wanted:
                results.append(self._judge(self._newest_window()))
        return results

    def finish(self) -> list[WindowResult]:
        """The end of a recording: judge what no window has covered yet.

        A recording shorter than one window is fitted to it; otherwise one last window lies flush
        with the end. Afterwards the detector waits for new audio.
        """
        results = [self._judge(self._newest_window())] if self._fresh else []
        self._start_anew(self._end)
        return results

    def _append(self, piece: Float32) -> None:
        self._audio[self._held : self._held + len(piece)] = piece
        self._held += len(piece)
        self._end += len(piece)
        self._fresh += len(piece)

    def _newest_window(self) -> Float32:
        """The last window's samples; all there are when they are fewer."""
        return self._audio[max(0, self._held - self.settings.window_samples) : self._held]

    def _start_anew(self, position: int) -> None:
        self._held = self._fresh = 0
        self._wanted = self.settings.window_samples
        self._end = position
        self._stream.reset()
        self._cues.reset()

    def _judge(self, samples: Float32) -> WindowResult:
        """One window through every stage, and then room for the next hop."""
        self._on_stage("start")
        self._slid += self._fresh
        health = health_of(samples, self.settings.health)
        self._on_stage("health")
        decibels = self._decibels(samples) if health == HEALTHY else None
        self._on_stage("log_mel")
        level_dbfs, speech = self._gate(samples, decibels)
        self._on_stage("gate")
        logit = None
        if decibels is not None and speech:
            logit = self._score(self._features(samples, decibels))
            if not math.isfinite(logit):
                logit, health = None, MODEL_FAULT
        self._on_stage("inference")
        result = self._decide(len(samples), health, level_dbfs, speech, logit)
        self._on_stage("decision")
        self._keep_one_window()
        return result

    def _decibels(self, samples: Float32) -> Float32:
        if len(samples) < self.settings.model_samples:
            return log_mel_db(self._fitted(samples), self.settings.front_end)
        return self._stream.window_db(samples, self._fresh)

    def _fitted(self, samples: Float32) -> Float32:
        return fit_window(samples, self.settings.model_samples, self.settings.padding)

    def _features(self, samples: Float32, decibels: Float32) -> Float32:
        """What the network hears of a window that is worth it."""
        return finish(decibels, self.settings.front_end, self._cue_numbers(samples, decibels))

    def _cue_numbers(self, samples: Float32, decibels: Float32) -> Float32:
        if len(samples) < self.settings.model_samples:
            alone = self.settings.front_end.cue_stream()
            return alone.numbers(self._fitted(samples), decibels, 0)
        slid, self._slid = self._slid, 0
        return self._cues.numbers(samples, decibels, slid)

    def _gate(self, samples: Float32, decibels: Float32 | None) -> tuple[float, bool]:
        """Level of the window, dBFS, and whether it holds speech."""
        if decibels is None:
            # The stream slides by what is fresh; a window that it did not see breaks its chain.
            self._stream.reset()
            return -math.inf, False
        front_end = self.settings.front_end
        level_dbfs = peak_level_dbfs(samples, front_end.sample_rate_hz)
        activity = speech_activity(decibels, level_dbfs, front_end, self.settings.speech)
        return level_dbfs, activity.present

    def _decide(
        self, samples: int, health: str, level_dbfs: float, speech: bool, logit: float | None
    ) -> WindowResult:
        log_odds = None if logit is None else self.settings.calibration.log_odds(logit)
        end_s = self._end / self.settings.front_end.sample_rate_hz
        self._decision, decision = decide(self.settings.rule, self._decision, end_s, log_odds)
        probability = None if log_odds is None else sigmoid(log_odds)
        result = WindowResult(
            index=self._index,
            start=self._end - samples,
            end=self._end,
            health=health,
            level_dbfs=level_dbfs,
            speech=speech,
            logit=logit,
            probability=probability,
            smoothed=decision.smoothed,
            verdict=verdict_of(probability, health, self.settings.rule.threshold),
            raised=decision.raised,
            alert=decision.change,
        )
        self._index += 1
        return result

    def _keep_one_window(self) -> None:
        kept = self._newest_window()
        self._audio[: len(kept)] = kept
        self._held = len(kept)
        self._fresh = 0
        self._wanted = self.settings.hop_samples


def verdict_of(probability: float | None, health: str, threshold: float) -> str:
    """The word for a window or a recording with this probability of spoof."""
    if probability is not None:
        return SPOOF if probability > threshold else BONAFIDE
    return NO_SPEECH if health == HEALTHY else NOT_SCORED


@dataclass(frozen=True)
class RecordingResult:
    """The final decision on a whole recording.

    Attributes:
        verdict: "bonafide", "spoof", "no-speech", or "not-scored".
        probability: of the mean log-odds over the scored windows; None when there are none.
        windows: the windows that it rests on.
    """

    verdict: str
    probability: float | None
    windows: tuple[WindowResult, ...]


def judge_recording(detector: Detector, blocks: Iterable[AudioBlock]) -> RecordingResult:
    """Score a recording from its first sample to its last with a fresh detector."""
    windows = [result for block in blocks for result in detector.accept(block)]
    windows += detector.finish()
    settings = detector.settings
    log_odds = [settings.calibration.log_odds(w.logit) for w in windows if w.logit is not None]
    probability = aggregate(log_odds) if log_odds else None
    faults = [w.health for w in windows if w.health != HEALTHY]
    health = faults[0] if faults and len(faults) == len(windows) else HEALTHY
    verdict = verdict_of(probability, health, settings.rule.threshold)
    return RecordingResult(verdict, probability, tuple(windows))
