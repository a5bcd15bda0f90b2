"""From a run to a bundle, step by step."""

from __future__ import annotations

import importlib.metadata
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from convert.card import clean_revision, model_card
from convert.errors import ConversionError
from convert.package import (
    ConvertedVariant,
    Description,
    golden_bytes,
    golden_tolerance,
    write_bundle,
)
from convert.parity import GATES, Gate, Parity, compare, parity_table
from convert.quantise import convert_model, start_tensorflow
from convert.run import (
    TrainedRun,
    compared_trials,
    load_corpus,
    read_run,
    representative_windows,
    warn_of_gaps,
)
from convert.runtimes import score_elsewhere
from convert.scoring import Progress, score_windows, tflite_scorer
from edge.bundle import ModelBundle
from edge.features import window_features
from edge.inference import Scorer, open_scorer

if TYPE_CHECKING:
    from training.config import CorpusSettings
    from training.protocols import Corpus, Trial

Float32 = NDArray[np.float32]
Say = Callable[[str], None]
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
# Windows on which runtimes are compared: enough to meet the tails, seconds on the slowest of them.
RUNTIME_WINDOWS = 40


@dataclass(frozen=True)
class Request:
    """What `earwitness-convert bundle` was asked for.

    Attributes:
        run: folder of the run; target: folder of the bundle.
        name, version: of the model.
        variants: forms to write; default_variant: the one to use; machine_variants: instead of it
            on some machines (see edge.bundle.machine).
        corpora: where the data lie when not where the run left them.
        cache: folder of cached features; "" = the run's.
        representative: windows of training audio that int8 is fitted on.
        max_eer_shift: instead of the gates' own, 0 ... 1.
        other_pythons: interpreters with further runtimes that every variant must satisfy.
        replace_existing: a bundle that is there gives way.
        notes: sentences for the card.
        made_by: commands that make the run and its bundle from nothing, in a checkout of the code;
            none = those of `commands`, which begin with the run's configuration.
    """

    run: Path
    target: Path
    name: str
    version: str
    variants: tuple[str, ...]
    default_variant: str
    machine_variants: Mapping[str, str] = field(default_factory=dict)
    corpora: Sequence[CorpusSettings] = ()
    cache: str = ""
    representative: int = 400
    max_eer_shift: float | None = None
    other_pythons: tuple[Path, ...] = ()
    replace_existing: bool = False
    notes: tuple[str, ...] = ()
    made_by: tuple[str, ...] = ()


def convert_run(
    request: Request,
    say: Say,
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> ModelBundle:
    """Convert a run, hold every form against Keras on `val`, and write the bundle.

    Raises:
        EdgeError: what is wrong, in a sentence; nothing was written then.
    """
    _check(request)
    start_tensorflow()
    from training.train import load_model

    run = read_run(request.run)
    corpus = load_corpus(run, request.corpora)
    # Before the work, so that it can be stopped.
    warn_of_gaps(run)
    model = load_model(request.run)
    say(f"representative windows: {request.representative} of training audio")
    windows = representative_windows(run, corpus, request.representative, progress)
    models = {}
    for variant in request.variants:
        models[variant] = convert_model(model, variant, windows)
        say(f"{variant}: {len(models[variant])} bytes")
    scorers = {variant: Scorer(content) for variant, content in models.items()}
    gates = gates_with(request.max_eer_shift)
    trials = compared_trials(corpus, request.corpora or run.settings.corpora)
    results = measure_parity(run, trials, model, scorers, gates, progress, request.cache)
    parity = parity_table(results, gates)
    say(parity)
    refuse_failures(results)
    differences = runtime_differences(request.other_pythons, models, scorers, windows, say)
    variants = {
        variant: _converted(run, variant, models[variant], scorers[variant], windows, differences)
        for variant in request.variants
    }
    description = describe(request, run, corpus, results, scorers, differences, now())
    card = model_card(
        description, variants, parity, request.notes, run.audit, run.reports.values()
    )
    return write_bundle(request.target, description, variants, card, request.replace_existing)


def _check(request: Request) -> None:
    if request.default_variant not in request.variants:
        raise ConversionError(
            f"the default variant {request.default_variant} is not among those to write: "
            f"{', '.join(request.variants)}"
        )
    for machine, variant in request.machine_variants.items():
        if variant not in request.variants:
            raise ConversionError(f"--on {machine}={variant}: that variant is not written")
    if not request.run.is_dir():
        raise ConversionError(f"the run {request.run} does not exist; train it first")
    # How their logits spread says how far another runtime may be off.
    if request.representative < 2:
        raise ConversionError("--representative must be at least 2")
    if request.target.exists() and not request.replace_existing:
        raise ConversionError(f"{request.target} exists already; add --force to replace it")
    if not re.fullmatch(r"\d{1,6}\.\d{1,6}\.\d{1,6}", request.version):
        raise ConversionError(f"the version {request.version!r} is not of the form 1.2.3")


def gates_with(max_eer_shift: float | None) -> dict[str, Gate]:
    """The gates, with another bound for the EER if one is given."""
    if max_eer_shift is None:
        return dict(GATES)
    return {name: replace(gate, eer_shift=max_eer_shift) for name, gate in GATES.items()}


def measure_parity(
    run: TrainedRun,
    trials: Sequence[Trial],
    model: Any,
    scorers: Mapping[str, Scorer],
    gates: Mapping[str, Gate],
    progress: Progress,
    cache: str = "",
) -> list[Parity]:
    """Every variant against the Keras model."""
    from training.evaluate import keras_scorer

    networks = {name: tflite_scorer(scorer) for name, scorer in scorers.items()}
    scores = score_windows(run, trials, {"keras": keras_scorer(model), **networks}, progress, cache)
    reference = scores.pop("keras")
    return [
        compare(name, reference, mine, run.calibration, gates[name])
        for name, mine in scores.items()
    ]


def refuse_failures(results: Sequence[Parity]) -> None:
    """Stop when a variant is past its gate.

    Raises:
        ConversionError: says which, and by how much.
    """
    failures = [f"{result.variant}: {'; '.join(result.failures)}" for result in results
                if not result.passed]
    if failures:
        raise ConversionError(
            f"the converted network differs too much from Keras ({' | '.join(failures)}); "
            "leave the variant out with --variants, or train anew"
        )


def runtime_differences(
    pythons: Sequence[Path],
    models: Mapping[str, bytes],
    scorers: Mapping[str, Scorer],
    windows: Float32,
    say: Say,
) -> dict[str, dict[str, float]]:
    """Largest difference in logit of each further runtime from this one, by runtime and variant.

    Raises:
        ConversionError: a runtime cannot load a variant.
    """
    found: dict[str, dict[str, float]] = {}
    few = windows[:RUNTIME_WINDOWS]
    for python in pythons:
        for variant, model in models.items():
            other = score_elsewhere(python, model, few)
            mine = tflite_scorer(scorers[variant])(few)
            difference = float(np.abs(other.logits - mine).max())
            if not math.isfinite(difference):
                raise ConversionError(f"{variant} gives scores that are no numbers on {other.name}")
            found.setdefault(other.name, {})[variant] = difference
            say(f"{variant} on {other.name}: at most {difference:.4f} off in logit")
    return found


def _converted(
    run: TrainedRun,
    variant: str,
    model: bytes,
    scorer: Scorer,
    windows: Float32,
    differences: Mapping[str, Mapping[str, float]],
) -> ConvertedVariant:
    front_end = run.settings.front_end
    wav = golden_bytes(run.window_samples, front_end.sample_rate_hz)
    samples, _ = soundfile.read(io.BytesIO(wav), dtype="float32")
    logit = scorer.score(window_features(samples, front_end))
    if not math.isfinite(logit):
        raise ConversionError(f"{variant} gives no finite score on the golden clip")
    largest = max((found[variant] for found in differences.values()), default=0.0)
    spread = float(tflite_scorer(scorer)(windows[:RUNTIME_WINDOWS]).std())
    tolerance = golden_tolerance(variant, spread, scorer.output_step, largest)
    return ConvertedVariant(model, logit, tolerance)


def describe(
    request: Request,
    run: TrainedRun,
    corpus: Corpus,
    results: Sequence[Parity],
    scorers: Mapping[str, Scorer],
    differences: Mapping[str, Mapping[str, float]],
    created: datetime,
) -> Description:
    """All that the manifest says beside its files."""
    from training.train import git_revision

    settings = run.settings
    conditions = {name: conditions_of(report) for name, report in run.reports.items()}
    # A recipe is that of the code which holds it; the first part of a run may be much older.
    recipe_code = git_revision(Path(__file__).parent) if request.made_by else ""
    runtime = next(iter(scorers.values())).runtime
    return Description(
        name=request.name,
        version=request.version,
        created=created.isoformat(timespec="seconds"),
        front_end=settings.front_end,
        window_samples=run.window_samples,
        hop_s=float(settings.windows.hop_s),
        padding=settings.windows.padding,
        calibration=run.calibration,
        operating_point=run.operating_point,
        default_variant=request.default_variant,
        machine_variants=dict(request.machine_variants),
        metrics={
            "conditions": conditions,
            "parity": {result.variant: result.to_dict() for result in results},
        },
        provenance={
            "code": run.data.get("code", ""),
            "commands": commands(request, recipe_code),
            **({"recipe_code": recipe_code} if request.made_by else {}),
            "converter": versions(DISTRIBUTIONS),
            "data": data_summary(run.data, corpus),
            "licence": "Apache-2.0",
            "network": settings.model.to_dict(),
            "parameters": run.data.get("parameters"),
            "multiply_accumulates": run.data.get("multiply_accumulates"),
            "runtime": f"{runtime.name} {runtime.version}",
            "runtime_differences": {name: dict(found) for name, found in differences.items()},
            "seed": settings.seed,
        },
    )


def conditions_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a bundle keeps of a report: the figures, not the tables by source."""
    from training.evaluate import PARTS

    return {name: report[name] for name in PARTS if report.get(name) is not None}


def data_summary(data: Mapping[str, Any], corpus: Corpus) -> dict[str, Any]:
    """What the network was trained on: a hash, counts, sources and licences, as far as known.

    Args:
        data: the run's data.json.
        corpus: what the run was made from; a copy counts under the licence of its original.
    """
    licences: Counter[str] = Counter()
    sources: dict[str, set[str]] = {}
    for trial in corpus.side("train"):
        licence = _licence(trial)
        licences[licence] += 1
        sources.setdefault(licence, set()).add(trial.source)
    by_count = dict(licences.most_common())
    return {
        "manifest_sha256": data.get("manifest_sha256", ""),
        "trials": data.get("trials", {}),
        "train_sources": len(data.get("train_sources", ())),
        "train_generators": len(data.get("train_generators", ())),
        "train_licences": by_count,
        "train_sources_by_licence": {licence: sorted(sources[licence]) for licence in by_count},
    }


def _licence(trial: Trial) -> str:
    from training.synthesize import AS_ORIGINAL

    return trial.extras.get("licence", "").removeprefix(AS_ORIGINAL) or "not stated"


def commands(request: Request, recipe_code: str = "") -> list[str]:
    """The commands that make this bundle again: those given, or generic ones for a run in `runs/`.

    Args:
        request: what was asked for.
        recipe_code: revision of the code that holds the commands given; "" = unknown.
    """
    if request.made_by:
        checkout = [f"git checkout {clean_revision(recipe_code)}"] if recipe_code else []
        return [*checkout, *request.made_by]
    run = f"runs/{request.run.name}"
    variants = " ".join(request.variants)
    on = "".join(f" --on {name}={used}" for name, used in request.machine_variants.items())
    return [
        f"earwitness-train train {run} --config {run}/config.json",
        f"earwitness-train evaluate {run} --split test",
        f"earwitness-convert bundle {run} --out {request.target.name} --name {request.name} "
        f"--version {request.version} --variants {variants} "
        f"--default {request.default_variant}{on} --representative {request.representative}",
    ]


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def check_bundle(
    run_folder: Path,
    bundle_folder: Path,
    corpora: Sequence[CorpusSettings],
    cache: str,
    max_eer_shift: float | None,
    say: Say,
    progress: Progress,
) -> list[Parity]:
    """Hold a finished bundle against the Keras model of its run.

    Raises:
        ConversionError: a variant is past its gate.
        BundleError, CorpusError, TrainingError: a part cannot be used.
    """
    start_tensorflow()
    from training.train import load_model

    run = read_run(run_folder)
    manifest = ModelBundle.load(bundle_folder).manifest
    if manifest.front_end != run.settings.front_end:
        raise ConversionError(
            f"{bundle_folder} has another front end than {run_folder}; it came from another run"
        )
    scorers = {
        name: open_scorer(ModelBundle.load(bundle_folder, name)) for name in manifest.variants
    }
    gates = gates_with(max_eer_shift)
    trials = compared_trials(load_corpus(run, corpora), corpora or run.settings.corpora)
    results = measure_parity(run, trials, load_model(run_folder), scorers, gates, progress, cache)
    say(parity_table(results, gates))
    refuse_failures(results)
    return results
