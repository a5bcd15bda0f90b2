"""Everything that a run depends on, as frozen dataclasses, from one YAML file and `--set`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import edge.settings
from edge.errors import ConfigError
from edge.features import FrontEnd
from training.augment import AugmentSettings
from training.cache import WindowSettings
from training.data import LoaderSettings, SamplingSettings
from training.losses import LossSettings
from training.models import ModelSettings
from training.pool import FRAME_S, PoolSettings
from training.protocols import CONDITIONS

SCHEDULES = ("cosine", "plateau", "constant")


@dataclass(frozen=True)
class OptimiserSettings:
    """Adam and what steers it.

    Attributes:
        learning_rate: the largest.
        schedule: "cosine" (to `final_share` of it), "plateau" (halved after `plateau_epochs`
            epochs without a better val EER) or "constant".
        warmup_steps: steps over which the rate rises from 0.
        final_share: last rate of the cosine, relative to the largest.
        plateau_epochs: patience of "plateau".
        weight_decay: decoupled (AdamW); 0 = plain Adam.
        clip_norm: gradients are scaled down to this global norm; 0 = never.
        average_momentum: of the running average of weights that is evaluated and kept; 0 = none.
        jit: compile the training step further (XLA, torch.compile); worth a try on a GPU only.
        sam_radius: of sharpness-aware minimisation (TensorFlow backend); 0 = none.
        bfloat16: multiply in bfloat16, with weights in float32; quicker where the processor has it,
            several times slower elsewhere.
    """

    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_steps: int = 200
    final_share: float = 0.01
    plateau_epochs: int = 3
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    average_momentum: float = 0.0
    jit: bool = False
    sam_radius: float = 0.0
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule is {self.schedule!r}; it must be one of {', '.join(SCHEDULES)}"
            )


@dataclass(frozen=True)
class CorpusSettings:
    """One corpus of a run.

    Attributes:
        kind: "manifest", "folder", or the name of a published layout (see training.adapters).
        path: the manifest CSV, or the corpus folder.
        audio: where the manifest's ID.flac lie.
        split: every trial goes to this side; "" = as the corpus says, or a random split.
        parts: folders of a manifest's source that count as sources of their own, SOURCE:FOLDER.
        labels: only trials of these labels are taken; () = of both.
        sources: only trials of these sources are taken; () = of all.
        to_train: sources whose trials are trained on though the corpus has them on `val` (see
            training.crossfit). Those of `test` cannot be.
    """

    kind: str = "manifest"
    path: str = ""
    audio: str = ""
    split: str = ""
    parts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    to_train: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """A run, whole.

    Attributes:
        corpora: where the data lie.
        cache: folder of decoded audio and features.
        cache_limit_gib: largest size of each of the two caches.
        seed: of weights, draws and splits.
        epochs: at most so many.
        patience: stop after so many epochs without a better val EER; 0 = never.
        workers: processes that make batches; 0 = in the training process.
        max_clip_seconds: longer training clips are cut, s.
        codec_variants: codecs of which a coded copy of every training clip is kept.
        val_conditions: conditions whose mean val EER stops the training and picks the best epoch.
        false_alert_rate: of the operating point chosen on val; null = equal error rates.
        front_end, windows, loader, sampling, augmentation, model, loss, optimiser: see there;
            `windows` says how recordings are cut for scoring.
        keep_epochs: checkpoints of so many last epochs are kept, for `earwitness-train average`.
        pool: windows augmented once and varied when drawn; see there.
        soft_targets: CSV with columns id and probability, a teacher's opinion of training trials;
            "" = none.
        start_from: run whose best weights to start from; "" = fresh weights.
    """

    corpora: tuple[CorpusSettings, ...] = ()
    cache: str = ".cache/training"
    cache_limit_gib: float = 20.0
    seed: int = 1
    epochs: int = 20
    patience: int = 6
    workers: int = 1
    max_clip_seconds: float = 60.0
    codec_variants: tuple[str, ...] = ()
    val_conditions: tuple[str, ...] = ("clean",)
    false_alert_rate: float | None = 0.05
    keep_epochs: int = 0
    soft_targets: str = ""
    start_from: str = ""
    front_end: FrontEnd = field(
        default_factory=lambda: FrontEnd(
            n_fft=1024,
            win_length=1024,
            frame_hop=320,
            n_bands=80,
            center=False,
            normalisation="mean",
        )
    )
    windows: WindowSettings = field(default_factory=WindowSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    augmentation: AugmentSettings = field(default_factory=AugmentSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)

    def __post_init__(self) -> None:
        for name in self.val_conditions:
            if name not in CONDITIONS:
                raise ValueError(f"val condition {name!r} is not one of {', '.join(CONDITIONS)}")
        if self.model.head not in self.loss.heads and self.model.network != "baseline":
            raise ValueError(
                f"the loss {self.loss.name!r} needs the model's head {self.loss.heads[0]!r}"
            )
        if self.model.network == "baseline" and self.loss.name != "bce":
            raise ValueError("the baseline network has a logit; its loss must be 'bce'")
        self._check_telling()

    def _check_telling(self) -> None:
        if not self.pool.tells:
            return
        if self.model.network != "tdnn":
            raise ValueError("pool.heard_weight and pool.opinion_weight need the network 'tdnn'")
        if self.pool.opinion_weight and not self.pool.teacher:
            raise ValueError("pool.opinion_weight needs pool.teacher, the folder of a teacher")
        if self.augmentation.spec_mix:
            raise ValueError(
                "pool.heard_weight and pool.opinion_weight cannot be had with augmentation.spec_mix"
            )
        samples = self.front_end.frame_hop * self.model.frames_at_once
        if self.pool.heard_weight and samples != FRAME_S * self.front_end.sample_rate_hz:
            raise ValueError(
                "pool.heard_weight needs frame_hop, first_stride and pooling to make frames of "
                f"{1000 * FRAME_S:.0f} ms; they are of "
                f"{1000 * samples / self.front_end.sample_rate_hz:.0f} ms"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_settings(path: Path | None, overrides: Sequence[str] = ()) -> RunSettings:
    """Settings of a YAML file, then `a.b=value` overrides (values in YAML too).

    Entries of a list are counted from 0: `corpora.0.audio=...` is of the first corpus.

    Raises:
        ConfigError: the file cannot be read, or a setting is wrong; names line and key.
    """
    settings = RunSettings() if path is None else _from_yaml(path)
    tree = json.loads(json.dumps(settings.to_dict()))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set takes NAME=VALUE, not {override!r}")
        _put(tree, key.split("."), _plain(text), override)
    return settings_from(tree, "--set") if overrides else settings


def settings_from(tree: Mapping[str, Any], origin: str) -> RunSettings:
    """Settings from what JSON holds.

    Raises:
        ConfigError: a setting is unknown, of the wrong type or out of range.
    """
    return edge.settings.read(RunSettings, json.dumps(tree), origin)


def _from_yaml(path: Path) -> RunSettings:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error
    settings = edge.settings.read(RunSettings, text, str(path))
    # A front end that is named in part keeps the rest of a run's defaults, not of the class's.
    named = (yaml.safe_load(text) or {}).get("front_end") or {}
    values = {name: getattr(settings.front_end, name) for name in named}
    return replace(settings, front_end=replace(RunSettings().front_end, **values))


def _plain(text: str) -> Any:
    """A value written in YAML; numbers like 1e-4, which YAML 1.1 takes for text, are numbers."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set: {text!r} is not YAML: {error}") from error
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _put(tree: Any, keys: Sequence[str], value: Any, override: str) -> None:
    for place, key in enumerate(keys[:-1]):
        if isinstance(tree, dict):
            tree = tree.setdefault(key, {})
        elif isinstance(tree, list) and key.isdecimal() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            where = ".".join(keys[:place])
            raise ConfigError(f"--set {override}: {where} has no {key!r} below it")
    if not isinstance(tree, dict):
        where = ".".join(keys[:-1])
        raise ConfigError(f"--set {override}: {where} has no settings below it")
    tree[keys[-1]] = value
