"""Let a finished network hear cues beside the spectrum (see edge/cues.py).

A teller says what they tell, and is fitted within sources (training/teller.py). How much it counts
is fitted on `val` (training/fusion.py), with a network as judge that has not been trained on `val`,
and tellers that have not either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.sliding import RATE_HZ
from training.cache import FeatureCache
from training.calibrate import Calibration
from training.channel import Channel
from training.errors import TrainingError
from training.evaluate import (
    Scored,
    WindowScorer,
    keras_scorer,
    main_figures,
    mixed_sources,
    of_generators,
    score_trials,
    unseen,
    write_json,
)
from training.fusion import Fusion, fit_fusion
from training.models import mac_count, parameter_count
from training.models.cued import cued
from training.pool import pool_sources, raw_front_end
from training.pool_cues import (
    NUMBERS,
    OF_SPOOFS,
    Windows,
    measured,
    refuse_short,
    with_all_cues,
)
from training.teller import LIMIT, Teller, fit_within_sources
from training.train import (
    load_calibration,
    load_corpora,
    load_data_description,
    load_judge,
    load_model,
    load_settings,
    write_judged,
)

Float64 = NDArray[np.float64]


def add_cues(
    run: Path,
    pools: Sequence[Path],
    folds: Sequence[Path],
    judge: Path,
    out: Path,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write a run folder whose network is another run's with cues beside its logit.

    Its calibration is the run's, carried on; its report on `val` is the judge's.

    Args:
        run: finished and calibrated.
        pools: windows of training data with their audio; what is measured is left beside them.
        folds: such pools of sources of `val`. The teller that ships is fitted to them too,
            but a recording is judged by one that no pool with its source was fitted to.
        judge: a calibrated run that has not been trained on `val`; it may be the run itself.
        out: folder of the new run.
        say: prints a line.

    Returns:
        What cues.json holds: the fusion, and figures on `val` alone and with cues.

    Raises:
        TrainingError: a pool holds no audio or no source of both classes; its windows or the run's
            are too short; a folder is no calibrated run, or the judge has been trained on `val` or
            has another front end; `out` holds a run already.
    """
    if (out / "config.json").exists():
        raise TrainingError(f"{out} holds a run already; choose another folder")
    settings = load_settings(run)
    front_end = with_all_cues(settings.front_end)
    refuse_short(settings.windows.window_s, f"{run} scores windows", front_end)
    if raw_front_end(load_settings(judge).front_end) != raw_front_end(front_end):
        raise TrainingError(f"{judge} has another front end than {run}; name another --judge")
    calibration, _ = load_calibration(run)
    windows = measured([*pools, *folds], front_end)
    fold_sources = [set(pool_sources([fold])) for fold in folds]
    whole = fit_within_sources(windows, OF_SPOOFS)
    heard = _judged(judge, windows, fold_sources, whole)
    fusion = fit_fusion(
        np.concatenate([one.log_odds for one in heard.values()]),
        np.concatenate([one.told for one in heard.values()]),
        np.concatenate([one.alone.labels for one in heard.values()]),
    )
    found = _figures(judge, heard, fusion, say)
    share = fusion.told / (fusion.alone * calibration.scale)
    model = cued(load_model(run), whole.times(share), LIMIT)
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / "model.keras")
    new = replace(settings, front_end=front_end)
    write_json(out / "config.json", new.to_dict())
    cost = {"parameters": parameter_count(model), "multiply_accumulates": mac_count(model)}
    write_json(out / "data.json", {**load_data_description(run), **cost})
    carried = Calibration(
        fusion.alone * calibration.scale, fusion.alone * calibration.offset + fusion.offset
    )
    _write_val(out, new, judge, heard, fusion, carried)
    made = {"judge_fusion": fusion.__dict__, "val": found}
    write_json(out / "cues.json", made)
    return made


@dataclass(frozen=True)
class _Heard:
    """`val` in one condition: the judge's logits, calibrated, and what the teller says."""

    alone: Scored
    log_odds: Float64
    told: Float64


def _judged(
    judge: Path, windows: Windows, fold_sources: Sequence[set[str]], whole: Teller
) -> dict[str, _Heard]:
    """Of each condition of validation and as published; by `whole` where no fold has the source."""
    settings, calibration = load_judge(judge)
    corpus = load_corpora(settings.corpora, settings.seed)
    trials = corpus.side("val", reported_only=True)
    front_end = with_all_cues(settings.front_end)
    cache = FeatureCache(Path(settings.cache) / "features", front_end, settings.windows)
    frames = front_end.frame_count(round(settings.windows.window_s * RATE_HZ))
    network = keras_scorer(load_model(judge))
    # Who may judge a trial: what was fitted to no pool with its source.
    groups = {
        frozenset(own): fit_within_sources(windows.without(own), OF_SPOOFS) for own in fold_sources
    }
    fitted = [
        next((one for own, one in groups.items() if trial.source in own), whole)
        for trial in trials
    ]
    heard = {}
    for name in dict.fromkeys(("clean", *settings.val_conditions)):
        channel = Channel(name, corpus.noises)
        alone = score_trials(
            lambda features: network(features[:, :frames]), trials, cache, channel
        )
        told = np.empty(len(trials))
        for one in {id(one): one for one in fitted}.values():
            mine = [index for index, its in enumerate(fitted) if its is one]
            told[mine] = score_trials(
                _told(one, frames), [trials[i] for i in mine], cache, channel
            )
        heard[name] = _Heard(Scored(trials, alone), calibration.log_ratio(alone), told)
    return heard


def _told(teller: Teller, frames: int) -> WindowScorer:
    """What a teller says of features (windows, rows, bands)."""
    return lambda features: teller.of(
        features[:, frames:].reshape(len(features), -1)[:, :NUMBERS]
    )


def _figures(
    judge: Path, heard: dict[str, _Heard], fusion: Fusion, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each condition, part and score, against generators unseen by the judge."""
    is_seen = of_generators(load_data_description(judge)["train_generators"])
    mixed = mixed_sources(heard["clean"].alone.trials)
    rows = []
    for name, one in heard.items():
        for title, scores in (
            ("alone", one.log_odds),
            ("with", fusion.of(one.log_odds, one.told)),
        ):
            part = unseen(Scored(one.alone.trials, scores), is_seen)
            both = part.where(lambda trial: trial.source in mixed)
            for what, chosen in (("unseen", part), ("unseen in mixed sources", both)):
                if values := main_figures(chosen):
                    rows.append({"condition": name, "part": what, "cues": title, **values})
                    say(
                        f"{name:10} {what:24} {title:6} EER {values['eer']:.4f}  "
                        f"AUC {values['auc']:.4f}  "
                        f"TPR at 5 % FPR {values['tpr_at_5_fpr']:.4f}"
                    )
    return rows


def _write_val(
    out: Path,
    settings: Any,
    judge: Path,
    heard: dict[str, _Heard],
    fusion: Fusion,
    carried: Calibration,
) -> None:
    """The calibration, and the judge's report on `val` in log-odds that it would give."""
    clean = heard["clean"]
    # Logits of which the carried calibration makes what the fusion says.
    log_odds = fusion.of(clean.log_odds, clean.told)
    scored = Scored(clean.alone.trials, (log_odds - carried.offset) / carried.scale)
    seen = of_generators(load_data_description(judge)["train_generators"])
    write_judged(out, settings, carried, scored, seen)
