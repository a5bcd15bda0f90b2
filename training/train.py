"""The training loop, and the run folder that it leaves behind."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.cache import (
    SAMPLE_RATE_HZ,
    FeatureCache,
    Transform,
    WaveCache,
    write_atomically,
)
from training.calibrate import Calibration, choose_operating_point, fit_calibration
from training.channel import Channel
from training.codecs import transcode
from training.config import CorpusSettings, OptimiserSettings, RunSettings, settings_from
from training.corpus import (
    assign_splits,
    check_splits,
    moved_to_train,
    read_folder,
    read_manifest,
)
from training.data import BatchMaker, Loader
from training.errors import CorpusError, TrainingError
from training.evaluate import (
    BREAKDOWNS,
    Scored,
    keras_scorer,
    of_generators,
    report,
    report_text,
    score_trials,
    scores_csv,
    table_csv,
    table_markdown,
    write_json,
    write_text,
)
from training.history import EpochRecord, epoch_line, epochs_csv
from training.metrics import accuracy, area_under_curve, equal_error_rate
from training.models import build_model, mac_count, parameter_count
from training.models.fast import fast_batch_norm, precision
from training.pool import FRAME_NUMBERS, PoolLoader, build_pool
from training.processor import lacks_bfloat16
from training.protocols import Corpus, Trial, manifest_hash, with_split
from training.teacher import load_teacher

Float32 = NDArray[np.float32]
Say = Callable[[str], None]
AVERAGE_EVERY_STEPS = 10


def load_corpora(settings: Sequence[CorpusSettings], seed: int) -> Corpus:
    """All corpora of a run as one, every trial on a side, no source on two.

    Raises:
        CorpusError: a corpus cannot be read, or the split would leak.
    """
    if not settings:
        raise CorpusError("no corpus is named; give --manifest and --audio, or --folder")
    whole = Corpus(())
    for entry in settings:
        corpus = _load_corpus(entry)
        trials = [
            trial
            for trial in corpus.trials
            if (not entry.labels or trial.label in entry.labels)
            and (not entry.sources or trial.source in entry.sources)
        ]
        if entry.to_train:
            trials = moved_to_train(trials, entry.to_train)
        if entry.split:
            trials = with_split(trials, entry.split)
        whole = whole.joined(replace(corpus, trials=tuple(trials)))
    undecided = [trial for trial in whole.trials if not trial.split]
    if undecided:
        decided = tuple(trial for trial in whole.trials if trial.split)
        assigned = assign_splits(undecided, np.random.default_rng(seed))
        whole = replace(whole, trials=decided + tuple(assigned))
    check_splits(whole.trials)
    return whole


def _load_corpus(entry: CorpusSettings) -> Corpus:
    path = Path(entry.path)
    if entry.kind == "manifest":
        return read_manifest(path, Path(entry.audio or path.parent / "audio"), entry.parts)
    if entry.kind == "folder":
        return read_folder(path)
    from training.adapters import read_layout

    return read_layout(entry.kind, path)


def prepare_waves(corpus: Corpus, settings: RunSettings, say: Say) -> WaveCache:
    """Decoded audio of everything that training batches are made of.

    Raises:
        TrainingError: one of the codecs is unknown, or needs what is not installed.
    """
    transforms = {codec: _through(codec) for codec in settings.codec_variants}
    waves = WaveCache(Path(settings.cache) / "waves")
    train = corpus.side("train")
    clips = (*train, *corpus.noises, *corpus.rirs)
    limits = (settings.max_clip_seconds, settings.cache_limit_gib)
    unread = waves.add(clips, "", None, *limits)
    for codec, transform in transforms.items():
        unread += waves.add(train, codec, transform, *limits)
    for sentence in unread:
        say(f"left out: {sentence}")
    return waves


def _through(codec: str) -> Transform:
    """A codec, tried before thousands of clips are read.

    Raises:
        TrainingError: it is unknown, or needs what is not installed.
    """
    try:
        transcode(np.zeros(SAMPLE_RATE_HZ // 10, np.float32), codec)
    except ValueError as error:
        raise TrainingError(f"codec_variants cannot be made: {error}") from error
    return lambda samples, clip: transcode(samples, codec)


def make_batches(corpus: Corpus, waves: WaveCache, settings: RunSettings) -> BatchMaker:
    """The training batches of a run.

    Raises:
        TrainingError: there is nothing to draw from for one class.
    """
    try:
        return BatchMaker(
            seed=settings.seed,
            trials=corpus.side("train"),
            waves=waves,
            front_end=settings.front_end,
            loader=settings.loader,
            sampling=settings.sampling,
            augmentation=settings.augmentation,
            noises=[clip for clip in corpus.noises if clip.id in waves],
            rirs=[clip for clip in corpus.rirs if clip.id in waves],
            codec_variants=settings.codec_variants,
            soft_targets=_soft_targets(settings.soft_targets),
        )
    except ValueError as error:
        raise TrainingError(f"training cannot start: {error}") from error


def make_loader(maker: BatchMaker, settings: RunSettings) -> Loader | PoolLoader:
    """What yields the batches of each epoch; builds the run's pool first, if it has one."""
    pool = settings.pool
    if not (pool.windows or pool.folders):
        return Loader(maker, settings.workers)
    folders = [Path(folder) for folder in pool.folders]
    if pool.windows:
        folders.append(Path(settings.cache) / f"pool-{pool.seed}")
        build_pool(folders[-1], maker, pool, settings.workers)
    return PoolLoader(
        folders,
        settings.front_end,
        settings.loader,
        pool,
        settings.augmentation,
        settings.sampling.spoof_share,
        settings.seed,
        load_teacher(Path(pool.teacher)).opinions if pool.opinion_weight else None,
    )


def _soft_targets(path: str) -> dict[str, float]:
    if not path:
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row["id"]: float(row["probability"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(
            f"the teacher's targets {path} cannot be read as CSV with id and probability: {error}"
        ) from error


def learning_rate_at(step: int, total_steps: int, settings: OptimiserSettings) -> float:
    """Rate of a step under warm-up and "cosine" (Loshchilov and Hutter, ICLR 2017)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule != "cosine":
        return settings.learning_rate
    done = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    low = settings.final_share
    share = low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return settings.learning_rate * share


class WeightAverage:
    """Running average of all weights, statistics of BatchNorm included (Polyak's)."""

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum**AVERAGE_EVERY_STEPS
        self.weights: list[NDArray[Any]] = []
        self.updates = 0

    def update(self, weights: Sequence[NDArray[Any]]) -> None:
        self.updates += 1
        # Early on the average would remember the random start: it follows faster then.
        momentum = min(self._momentum, self.updates / (self.updates + 9))
        if not self.weights:
            self.weights = [np.array(weight) for weight in weights]
            return
        for place, weight in enumerate(weights):
            mean = self.weights[place]
            if np.issubdtype(mean.dtype, np.floating):
                mean *= momentum
                mean += (1 - momentum) * weight
            else:  # the state of a dropout's random numbers
                self.weights[place] = np.array(weight)


def _numpy(variables: Sequence[Any]) -> list[NDArray[Any]]:
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Give variables their values.

    Raises:
        ValueError: there are more of one than of the other, or a shape differs.
    """
    if len(variables) != len(values):
        raise ValueError(f"{len(values)} arrays for {len(variables)}")
    for variable, value in zip(variables, values):
        variable.assign(value)


class Run:
    """A training run: its model, what it has reached, and its folder."""

    def __init__(self, folder: Path, settings: RunSettings, say: Say = print) -> None:
        import keras

        if settings.front_end.cues:
            raise TrainingError(
                "networks are trained without cues "
                f"({', '.join(f'front_end.{cue.name}' for cue in settings.front_end.cues)}); "
                "add them to a finished one with `earwitness-train add-cues`"
            )
        keras.utils.set_random_seed(settings.seed)
        self.folder = folder
        self.settings = settings
        self.say = say
        front_end = settings.front_end

        def built(window_s: float) -> Any:
            frames = front_end.frame_count(round(window_s * front_end.sample_rate_hz))
            return build_model(settings.model, frames, front_end.n_bands)

        # The same weights twice: trained on windows of the loader's length with fast layers, and
        # used on windows of the device's length with stock ones.
        policy = "mixed_bfloat16" if settings.optimiser.bfloat16 else "float32"
        with fast_batch_norm(), precision(policy):
            self.model = built(settings.loader.window_s)
        self.used_model = built(settings.windows.window_s)
        self.trained_model = self._telling() if settings.pool.tells else self.model
        self._compile()
        self.average = WeightAverage(settings.optimiser.average_momentum)
        self.records: list[EpochRecord] = []
        self.plateau_share = 1.0

    def _telling(self) -> Any:
        from training.models.tdnn import telling

        pool = self.settings.pool
        return telling(self.model, pool.opinions, FRAME_NUMBERS if pool.heard_weight else 0)

    @property
    def _trained_variables(self) -> list[Any]:
        """The network's first, then those that only training needs."""
        own = self.model.variables
        known = {id(variable) for variable in own}
        return [*own, *(v for v in self.trained_model.variables if id(v) not in known)]

    def _compile(self) -> None:
        import keras

        from training.losses import make_loss

        chosen = self.settings.optimiser
        self.optimizer = keras.optimizers.AdamW(
            chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            global_clipnorm=chosen.clip_norm or None,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        pool = self.settings.pool
        loss = make_loss(
            self.settings.loss, pool.heard_weight, pool.opinion_weight, pool.opinions
        )
        # Keras would choose XLA by itself, which makes these networks 3 times slower on a CPU.
        model = self.trained_model
        model.compile(optimizer=self.optimizer, loss=loss, jit_compile=chosen.jit)
        self.optimizer.build(model.trainable_variables)
        if chosen.sam_radius:
            from training.sam import sam_step

            self._step = sam_step(model, self.optimizer, loss, chosen.sam_radius)
        else:
            self._step = model.train_on_batch

    @property
    def best(self) -> EpochRecord | None:
        return min(self.records, key=lambda record: record.eer, default=None)

    @property
    def epochs_since_best(self) -> int:
        return len(self.records) - self.best.epoch if self.best else 0

    @property
    def finished(self) -> bool:
        stale = self.settings.patience and self.epochs_since_best >= self.settings.patience
        return bool(stale) or len(self.records) >= self.settings.epochs

    def train_epoch(self, loader: Loader | PoolLoader) -> float:
        """One epoch; returns the mean loss.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        number = len(self.records)
        per_epoch = self.settings.loader.batches_per_epoch
        total = per_epoch * self.settings.epochs
        losses = []
        for index, (features, wanted) in enumerate(loader.epoch(number)):
            step = number * per_epoch + index
            rate = learning_rate_at(step, total, self.settings.optimiser) * self.plateau_share
            self.optimizer.learning_rate.assign(rate)
            losses.append(float(np.asarray(self._step(features, wanted)).reshape(-1)[0]))
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"the loss is {losses[-1]} at step {step}; lower optimiser.learning_rate"
                )
            if self.settings.optimiser.average_momentum and index % AVERAGE_EVERY_STEPS == 0:
                self.average.update(_numpy(self.model.variables))
        return float(np.mean(losses))

    def evaluated_weights(self) -> list[NDArray[Any]]:
        """What is judged and kept: the average if there is one, else the weights themselves."""
        return self.average.weights or _numpy(self.model.variables)

    def note(self, record: EpochRecord) -> None:
        """Take in an epoch's figures; halve the rate when they stand still, if so set."""
        self.records.append(record)
        chosen = self.settings.optimiser
        stale = self.epochs_since_best
        if chosen.schedule == "plateau" and stale and stale % chosen.plateau_epochs == 0:
            self.plateau_share /= 2

    # Checkpoint: one file, whole or absent

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint" / "state.npz"

    def save_checkpoint(self) -> None:
        """Everything that the next epoch depends on; batches depend on the epoch's number."""
        arrays: dict[str, Any] = {
            **{f"model{i}": v for i, v in enumerate(_numpy(self._trained_variables))},
            **{f"optimizer{i}": v for i, v in enumerate(_numpy(self.optimizer.variables))},
            **{f"average{i}": v for i, v in enumerate(self.average.weights)},
        }
        state = {
            "records": [asdict(record) for record in self.records],
            "average_updates": self.average.updates,
            "plateau_share": self.plateau_share,
        }
        arrays["state"] = np.array(json.dumps(state))
        write_atomically(self._checkpoint, lambda file: np.savez(file, **arrays))
        self._keep_epoch()

    def _keep_epoch(self) -> None:
        """A copy of the checkpoint that the next epoch does not replace; the oldest gives way."""
        kept = self.settings.keep_epochs
        if not kept:
            return
        folder = self._checkpoint.parent
        data = self._checkpoint.read_bytes()
        target = folder / f"epoch-{len(self.records):03d}.npz"
        write_atomically(target, lambda file: file.write(data))
        for old in sorted(folder.glob("epoch-*.npz"))[:-kept]:
            old.unlink()

    def restore_checkpoint(self) -> bool:
        """Go on where the last checkpoint stood; False when there is none.

        Raises:
            TrainingError: the checkpoint is of another network.
        """
        if not self._checkpoint.exists():
            return False
        try:
            with np.load(self._checkpoint) as stored:
                state = json.loads(str(stored["state"]))
                model = [stored[f"model{i}"] for i in range(len(self._trained_variables))]
                optimizer = [stored[f"optimizer{i}"] for i in range(len(self.optimizer.variables))]
                count = sum(name.startswith("average") for name in stored.files)
                self.average.weights = [stored[f"average{i}"] for i in range(count)]
            assign(self._trained_variables, model)
            assign(self.optimizer.variables, optimizer)
        except (KeyError, ValueError, OSError) as error:
            raise TrainingError(
                f"{self._checkpoint} does not fit these settings ({error}); "
                "train into another folder, or go on with the settings that it began with"
            ) from error
        self.average.updates = state["average_updates"]
        self.plateau_share = state["plateau_share"]
        self.records = [EpochRecord(**record) for record in state["records"]]
        return True

    def save_best(self) -> None:
        """Write model.keras from the evaluated weights, whole or not at all."""
        partial = self.folder / "model.partial.keras"
        with self.evaluated_model() as model:
            model.save(partial, include_optimizer=False)
        partial.replace(self.folder / "model.keras")

    @contextmanager
    def evaluated_model(self) -> Iterator[Any]:
        """The network at the windows of use, with the evaluated weights for so long."""
        live = _numpy(self.model.variables)
        assign(self.used_model.variables, self.evaluated_weights())
        try:
            yield self.used_model
        finally:
            assign(self.model.variables, live)


class Validation:
    """Scores `val` after each epoch."""

    def __init__(self, corpus: Corpus, settings: RunSettings) -> None:
        self.trials = corpus.side("val", reported_only=True)
        if len({trial.label for trial in self.trials}) < 2:
            raise CorpusError(
                f"val needs reported trials of both classes; it holds {len(self.trials)} trials"
            )
        self._settings = settings
        self._noises = corpus.noises
        self._cache = FeatureCache(
            Path(settings.cache) / "features", settings.front_end, settings.windows
        )
        self._cache.build(self.trials, settings.cache_limit_gib)

    def score(self, model: Any, condition_name: str) -> Scored:
        channel = Channel(condition_name, self._noises)
        scores = score_trials(
            keras_scorer(model), self.trials, self._cache, channel, quiet=True
        )
        return Scored(self.trials, scores)

    def heard(self, model: Any) -> dict[str, Scored]:
        """Scores in every condition of validation, and as published."""
        names = dict.fromkeys(("clean", *self._settings.val_conditions))
        return {name: self.score(model, name) for name in names}

    def judge(self, run: Run, loss: float, started_s: float, clock: Callable[[], float]) -> Any:
        """Figures of the run's evaluated weights."""
        with run.evaluated_model() as model:
            scored = [self.score(model, name) for name in self._settings.val_conditions]
        rates = [equal_error_rate(part.logits, part.labels) for part in scored]
        first = scored[0]
        return EpochRecord(
            epoch=len(run.records) + 1,
            loss=loss,
            auc=area_under_curve(first.logits, first.labels),
            accuracy=accuracy(first.logits, first.labels, rates[0][1]),
            eer=float(np.mean([rate for rate, _ in rates])),
            learning_rate=float(np.asarray(_numpy([run.optimizer.learning_rate])[0])),
            seconds=clock() - started_s,
        )


def train(
    folder: Path,
    settings: RunSettings,
    resume: bool = False,
    say: Say = print,
    clock: Callable[[], float] = time.monotonic,
) -> EpochRecord:
    """Train, or go on training, and write the run folder.

    Args:
        folder: of the run; made if need be.
        settings: the run's.
        resume: go on from the folder's checkpoint, if there is one.
        say: prints a line.
        clock: seconds, monotonic.

    Returns:
        The best epoch.

    Raises:
        CorpusError, TrainingError: what is wrong, in a sentence.
    """
    if not resume and (folder / "checkpoint").exists():
        raise TrainingError(f"{folder} holds a run already; add --resume, or choose another folder")
    corpus = load_corpora(settings.corpora, settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    if settings.optimiser.bfloat16 and lacks_bfloat16():
        say(
            "This processor has no bfloat16, and works it out several times slower than single "
            "precision; without a GPU, --set optimiser.bfloat16=false is quicker."
        )
    waves = prepare_waves(corpus, settings, say)
    maker = make_batches(corpus, waves, settings)
    validation = Validation(corpus, settings)
    run = Run(folder, settings, say)
    write_description(run, corpus)
    if resume and run.restore_checkpoint():
        say(f"resumed after epoch {len(run.records)}")
    elif settings.start_from:
        _start_from(run, Path(settings.start_from))
    with make_loader(maker, settings) as loader:
        while not run.finished:
            started_s = clock()
            loss = run.train_epoch(loader)
            record = validation.judge(run, loss, started_s, clock)
            run.note(record)
            if run.best is record:
                run.save_best()
            run.save_checkpoint()
            write_text(folder / "epochs.csv", epochs_csv(run.records))
            say(epoch_line(record, run.best is record))
    write_report(run, corpus, validation)
    best = run.best
    if best is None:
        raise TrainingError("no epoch was trained: epochs must be at least 1")
    return best


def _start_from(run: Run, other: Path) -> None:
    """Take over another network's weights; time-delay blocks that it lacks begin as nothing."""
    from training.models.tdnn import is_delay

    theirs = load_model(other)
    known = {layer.name for layer in theirs.layers}
    kept = [layer for layer in run.model.layers if layer.name in known or not is_delay(layer)]
    try:
        assign([v for layer in kept for v in layer.variables], _numpy(theirs.variables))
    except ValueError as error:
        raise TrainingError(f"the weights of {other} do not fit this network: {error}") from error


def git_revision(folder: Path) -> str:
    """Revision of the code, with "-dirty" when it has changes; "" outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def write_description(run: Run, corpus: Corpus) -> None:
    """What the run is made of: config.json, data.json and manifest.csv of its trials."""
    write_json(run.folder / "config.json", run.settings.to_dict())
    train_side = corpus.side("train")
    write_json(
        run.folder / "data.json",
        {
            "manifest_sha256": manifest_hash(corpus.trials),
            "code": git_revision(Path(__file__).parent),
            "train_generators": sorted({t.generator for t in train_side if t.is_spoof}),
            "train_sources": sorted({t.source for t in train_side}),
            "trials": {
                f"{split}/{label}": sum(
                    t.split == split and t.label == label for t in corpus.trials
                )
                for split in ("train", "val", "test")
                for label in ("bonafide", "spoof")
            },
            "noises": len(corpus.noises),
            "rirs": len(corpus.rirs),
            "parameters": parameter_count(run.model),
            "multiply_accumulates": mac_count(run.used_model),
        },
    )


def conclude(run: Run, corpus: Corpus, clock: Callable[[], float] = time.monotonic) -> float:
    """Judge weights that came otherwise than by training, and write their run folder.

    Returns:
        The EER on `val`.
    """
    validation = Validation(corpus, run.settings)
    record = validation.judge(run, float("nan"), clock(), clock)
    run.note(replace(record, loss=0.0))
    run.save_best()
    write_description(run, corpus)
    write_report(run, corpus, validation)
    return float(record.eer)


def write_report(run: Run, corpus: Corpus, validation: Validation) -> None:
    """Calibration, figures, tables and plots of the best epoch, all on `val`.

    Calibrated over all conditions of validation: what reaches a microphone is seldom as clean as
    what was published, and a scale fitted to that alone is too sure of itself elsewhere.
    """
    from training import plots

    heard = validation.heard(load_model(run.folder))
    seen = of_generators(trial.generator for trial in corpus.side("train"))
    made = write_calibrated(run.folder, run.settings, heard, seen)
    plots.performance_bars(run.folder / "lcnn_performance.png", made["all"], run.best)
    plots.learning_curves(run.folder / "learning_curves.png", run.records)


def write_calibrated(
    folder: Path,
    settings: RunSettings,
    heard: Mapping[str, Scored],
    is_seen: Callable[[Trial], bool],
) -> dict[str, Any]:
    """Calibrate on all conditions of validation, and write what follows from it into a run folder.

    Args:
        folder: of the run.
        settings: the run's.
        heard: scores of `val` (see `Validation.heard`); the operating point is chosen, and
            reported, on those as published.
        is_seen: see `evaluate.report`.

    Returns:
        The report on `val` as published.
    """
    parts = [heard[name] for name in settings.val_conditions]
    calibration = fit_calibration(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
    return write_judged(folder, settings, calibration, heard["clean"], is_seen)


def write_judged(
    folder: Path,
    settings: RunSettings,
    calibration: Calibration,
    clean: Scored,
    is_seen: Callable[[Trial], bool],
) -> dict[str, Any]:
    """Write a calibration, the operating point that follows from it, and the report on `val`.

    Args:
        folder: of the run.
        settings: the run's.
        calibration: of its logits.
        clean: scores of `val` as published.
        is_seen: see `evaluate.report`.

    Returns:
        The report.
    """
    probabilities = calibration.probability(clean.logits)
    point = choose_operating_point(probabilities, clean.labels, settings.false_alert_rate)
    write_json(
        folder / "calibration.json",
        {**calibration.to_dict(), "operating_point": point.to_dict()},
    )
    made = report(clean, calibration, point.threshold, is_seen)
    write_report_files(folder, "val", made, clean, calibration)
    return made


def write_report_files(
    folder: Path, name: str, made: dict[str, Any], scored: Scored, calibration: Calibration
) -> None:
    """A report as JSON, Markdown, tables, scores and plots, all named after what was scored."""
    from training import plots

    write_json(folder / f"report-{name}.json", made)
    write_text(folder / f"report-{name}.md", report_text(made, f"Results on {name}"))
    write_text(folder / f"scores-{name}.csv", scores_csv(scored, calibration))
    for breakdown in BREAKDOWNS:
        rows = made[f"by_{breakdown}"]
        write_text(folder / f"by-{breakdown}-{name}.csv", table_csv(rows))
        write_text(folder / f"by-{breakdown}-{name}.md", table_markdown(rows))
    if scored.has_both_classes:
        plots.det_curve(folder / f"det-{name}.png", scored.logits, scored.labels)
        plots.roc_curve(folder / f"roc-{name}.png", scored.logits, scored.labels)
        plots.score_histogram(
            folder / f"scores-{name}.png",
            calibration.probability(scored.logits),
            scored.labels,
            made["threshold"],
        )


# Reading a run


def load_model(folder: Path) -> Any:
    """The best model of a run.

    Raises:
        TrainingError: there is none.
    """
    import keras

    path = folder / "model.keras"
    if not path.exists():
        raise TrainingError(f"{folder} holds no model.keras; train it first")
    return keras.saving.load_model(path, compile=False)


def load_model_at(folder: Path, frames: int) -> Any:
    """The best model of a run for windows of so many frames: the weights are the same for all.

    What `add-cues` added to it is left away.

    Raises:
        TrainingError: there is none.
    """
    from training.models.cued import without_cues

    settings = load_settings(folder)
    model = build_model(settings.model, frames, settings.front_end.n_bands)
    model.set_weights(without_cues(load_model(folder)).get_weights())
    return model


def load_settings(folder: Path) -> RunSettings:
    """Settings of a run.

    Raises:
        TrainingError: the folder is no run.
    """
    path = folder / "config.json"
    return settings_from(_read_json(path), str(path))


def load_judge(folder: Path) -> tuple[RunSettings, Calibration]:
    """Settings and calibration of a run that judges what another makes of `val`.

    Raises:
        TrainingError: the folder is no calibrated run, or the run was trained on sources of `val`.
    """
    settings = load_settings(folder)
    if any(corpus.to_train for corpus in settings.corpora):
        raise TrainingError(f"{folder} was trained on sources of val; a judge must not be")
    return settings, load_calibration(folder)[0]


def load_calibration(folder: Path) -> tuple[Calibration, dict[str, Any]]:
    """Calibration and operating point of a run.

    Raises:
        TrainingError: it has none yet.
    """
    stored = _read_json(folder / "calibration.json")
    return Calibration(stored["scale"], stored["offset"]), stored["operating_point"]


def load_data_description(folder: Path) -> dict[str, Any]:
    """data.json of a run."""
    return _read_json(folder / "data.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path.parent} is not a finished run: {error}") from error
    return value


def evaluate_run(
    folder: Path,
    split: str,
    condition_name: str = "clean",
    corpora: Sequence[CorpusSettings] = (),
    reported_only: bool = True,
    scope: str = "file",
    padding: str = "",
    cache: str = "",
) -> dict[str, Any]:
    """Score one side of the corpora with a run's best model and write the report beside it.

    Args:
        folder: the run.
        split: "train", "val" or "test".
        condition_name: one of `protocols.CONDITIONS`.
        corpora: other data than the run's own; () = the run's.
        reported_only: only trials that results are given on.
        scope: "file" (sliding windows over all of it) or "middle" (its middle five seconds).
        padding: what fills up clips shorter than a window; "" = as in the run.
        cache: other cache folder than the run's; "" = the run's.

    Returns:
        The report (see `evaluate.report`).

    Raises:
        CorpusError, TrainingError: what is wrong, in a sentence.
    """
    settings = load_settings(folder)
    calibration, point = load_calibration(folder)
    corpus = load_corpora(corpora or settings.corpora, settings.seed)
    trials: Sequence[Trial] = corpus.side(split, reported_only)
    if not trials:
        raise CorpusError(f"the corpora hold no trials to report on in {split}")
    windows = replace(settings.windows, scope=scope, padding=padding or settings.windows.padding)
    features = FeatureCache(Path(cache or settings.cache) / "features", settings.front_end, windows)
    scorer = keras_scorer(load_model(folder))
    channel = Channel(condition_name, corpus.noises)
    scored = Scored(trials, score_trials(scorer, trials, features, channel))
    seen = of_generators(load_data_description(folder)["train_generators"])
    made = report(scored, calibration, float(point["threshold"]), seen)
    name = f"{split}-{condition_name}" + ("" if scope == "file" else f"-{scope}")
    if padding:
        name += f"-{padding}"
    made.update({"split": split, "condition": condition_name, "scope": scope})
    write_report_files(folder, name, made, scored, calibration)
    return made
