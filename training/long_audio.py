"""False alerts per hour on long bona fide audio, with the daemon's own decisions.

Clips of one speaker of one source are joined into recordings of minutes, as a person who talks for
long is heard; each passes through `edge.detector.Detector` with a bundle's rule and network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.audio.block import AudioBlock
from edge.bundle import ModelBundle
from edge.decision import DecisionRule, DecisionSettings
from edge.detector import SPOOF, Detector, DetectorSettings, WindowResult
from edge.inference import open_scorer
from training.audio import read_clip
from training.channel import CLEAN, Channel
from training.data import Float32
from training.protocols import Trial

RATE_HZ = 16000
LONGEST_S = 600.0
PAUSE_S = 0.3


@dataclass(frozen=True)
class SourceTally:
    """What the daemon would have said of one source's human speech.

    Attributes:
        windows: scored ones.
        spoof_windows: those called spoof.
    """

    source: str
    seconds: float
    windows: int
    spoof_windows: int
    alerts: int

    @property
    def spoof_share(self) -> float:
        return self.spoof_windows / self.windows if self.windows else 0.0

    @property
    def alerts_per_hour(self) -> float:
        return self.alerts / (self.seconds / 3600) if self.seconds else 0.0


def recordings(trials: Sequence[Trial], hours: float) -> Iterator[tuple[str, Float32]]:
    """Long recordings by source, speakers apart, until there are so many hours.

    Sources take turns, so that a limit of hours does not leave any out.
    """
    waiting: dict[str, list[list[Trial]]] = defaultdict(list)
    speakers: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        speakers[trial.source, trial.speaker].append(trial)
    for (source, _), spoken in sorted(speakers.items()):
        waiting[source].append(spoken)
    left_s = hours * 3600
    while waiting and left_s > 0:
        for source in sorted(waiting):
            samples = _joined(waiting[source][0])
            if not waiting[source][0]:
                waiting[source].pop(0)
            if not waiting[source]:
                del waiting[source]
            left_s -= len(samples) / RATE_HZ
            yield source, samples


def _joined(clips: list[Trial]) -> Float32:
    """Clips one after another with short pauses, up to ten minutes; those used are taken away."""
    pieces: list[Float32] = []
    total = 0
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.float32)
    while clips and total < LONGEST_S * RATE_HZ:
        pieces += [read_clip(clips.pop(0), RATE_HZ), pause]
        total += len(pieces[-2]) + len(pause)
    return np.concatenate(pieces)


def judged(
    bundle: ModelBundle,
    trials: Sequence[Trial],
    hours: float,
    channel: Channel = CLEAN,
) -> Iterator[tuple[str, float, list[WindowResult]]]:
    """Source, seconds and windows of bona fide trials, joined, as the daemon decides on them.

    A device hears rooms, telephones and codecs, so a rule that is quiet on recordings as they were
    published alone would not be on them.

    Args:
        bundle: network and rule.
        trials: those of them that are spoofs are left out.
        hours: of speech; the round over the sources that reaches them is the last.
        channel: what each joined recording is heard through.
    """
    scorer = open_scorer(bundle)
    rule = DecisionRule.of(DecisionSettings(), bundle.manifest.operating_point)
    settings = DetectorSettings.of(bundle.manifest, rule)
    human = [trial for trial in trials if not trial.is_spoof]
    for index, (source, samples) in enumerate(recordings(human, hours)):
        detector = Detector(settings, scorer.score)
        heard = channel.heard(samples, f"{source}:{index}")
        results = detector.accept(AudioBlock(heard, 0)) + detector.finish()
        yield source, len(samples) / RATE_HZ, results


def tally(
    bundle: ModelBundle,
    trials: Sequence[Trial],
    hours: float,
    channel: Channel = CLEAN,
) -> list[SourceTally]:
    """Run the daemon's decisions over bona fide trials (see `judged`): one tally per source."""
    counts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])
    for source, seconds, results in judged(bundle, trials, hours, channel):
        scored = [result for result in results if result.probability is not None]
        held = counts[source]
        held[0] += seconds
        held[1] += len(scored)
        held[2] += sum(result.verdict == SPOOF for result in scored)
        held[3] += sum(result.alert == "raised" for result in results)
    return [
        SourceTally(source, held[0], int(held[1]), int(held[2]), int(held[3]))
        for source, held in sorted(counts.items())
    ]


def total(rows: Sequence[SourceTally], name: str = "all") -> SourceTally:
    """All sources as one of that name."""
    return SourceTally(
        name,
        sum(row.seconds for row in rows),
        sum(row.windows for row in rows),
        sum(row.spoof_windows for row in rows),
        sum(row.alerts for row in rows),
    )


def tally_markdown(rows: Sequence[SourceTally]) -> str:
    """A table with its total."""
    whole = total(rows)
    lines = ["| source | hours | windows | called spoof | alerts |", "|---|---:|---:|---:|---:|"]
    lines += [f"{_cells(row)} |" for row in (*rows, whole)]
    return "\n".join(lines) + f"\n\n{whole.alerts_per_hour:.2f} false alerts per hour.\n"


def tallies_markdown(tallies: Mapping[str, Sequence[SourceTally]]) -> str:
    """Tallies by condition: the totals, and each table under a heading; of one, its table alone."""
    if len(tallies) == 1:
        return tally_markdown(*tallies.values())
    lines = [
        "| condition | hours | windows | called spoof | alerts | per hour |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    wholes = [total(rows, name) for name, rows in tallies.items()]
    lines += [f"{_cells(whole)} | {whole.alerts_per_hour:.2f} |" for whole in wholes]
    tables = [f"\n## {name}\n\n{tally_markdown(rows)}" for name, rows in tallies.items()]
    return "\n".join(lines) + "\n" + "".join(tables)


def _cells(row: SourceTally) -> str:
    return (
        f"| {row.source} | {row.seconds / 3600:.2f} | {row.windows} | {row.spoof_share:.1%} "
        f"| {row.alerts}"
    )


def false_alerts(
    bundle_folder: Path,
    trials: Sequence[Trial],
    hours: float,
    channels: Sequence[Channel] = (CLEAN,),
) -> str:
    """The tables for a bundle, the same speech being heard through each of the conditions.

    Args:
        bundle_folder: of the network and its rule.
        trials: see `judged`.
        hours: of speech through each channel, as there.
        channels: what it is heard through, each in turn.

    Raises:
        BundleError: the bundle cannot be used.
        CorpusError: a clip cannot be read.
    """
    bundle = ModelBundle.load(bundle_folder)
    return tallies_markdown(
        {one.condition: tally(bundle, trials, hours, one) for one in channels}
    )
