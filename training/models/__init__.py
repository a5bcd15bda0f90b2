"""Networks by name, in Keras 3 alone: input (frames, bands, 1), output one logit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from training.errors import TrainingError

NETWORKS = ("baseline", "lcnn", "tdnn")
POOLINGS = ("average", "mean-std", "attention")
HEADS = ("logit", "cosine", "votes")


@dataclass(frozen=True)
class ModelSettings:
    """Which network, and how large.

    Attributes:
        network: "baseline", "lcnn" or "tdnn" (an LCNN that goes on as a time-delay network).
        width: multiplies all channel counts.
        stages: channels (after Max-Feature-Map) of each stage of the LCNN; the first stage is one
            5x5 convolution, each further one a 1x1 and a 3x3. Of "tdnn" the last is the width of
            its time-delay blocks.
        pools: which stages end in 2x2 max pooling; "tdnn" has its own.
        blocks: time-delay blocks of "tdnn".
        dilations: of further ones of half their width, frames of "tdnn" each.
        first_stride: of the first convolution, (frames, bands).
        first_kernel: its size.
        pooling: over time: "average", "mean-std" or "attention".
        keep_frequency: the bands that are left stay apart in the pooled vector; otherwise they
            are averaged with the frames.
        embedding: units of the layer before the output; 0 = none, the pooled vector itself.
        dropout: share of the pooled vector dropped in training.
        head: "logit"; "cosine" for the losses on angles; "votes", a logit of numbers that are
            brought to unit deviation and count for no more than one.
    """

    network: str = "lcnn"
    width: float = 1.0
    stages: tuple[int, ...] = (32, 48, 64, 32, 32)
    pools: tuple[int, ...] = (1, 1, 1, 0, 1)
    blocks: int = 0
    dilations: tuple[int, ...] = ()
    first_stride: tuple[int, int] = (2, 2)
    first_kernel: int = 5
    pooling: str = "mean-std"
    keep_frequency: bool = True
    embedding: int = 80
    dropout: float = 0.3
    head: str = "logit"

    def __post_init__(self) -> None:
        for name, allowed in (("network", NETWORKS), ("pooling", POOLINGS), ("head", HEADS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}"
                )
        for name in ("stages", "pools", "dilations", "first_stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.network == "tdnn" and len(self.stages) < 2:
            raise ValueError("the network 'tdnn' needs two stages or more")
        if self.network == "lcnn" and len(self.stages) != len(self.pools):
            raise ValueError(f"stages has {len(self.stages)} entries but pools {len(self.pools)}")
        if not self.width > 0:
            raise ValueError(f"width is {self.width!r}; it must be above 0")

    def scaled(self, channels: int) -> int:
        """So many channels at this width."""
        return max(4, round(channels * self.width))

    @property
    def frames_at_once(self) -> int:
        """Frames of features in one of those that "tdnn" keeps."""
        return 2 * self.first_stride[0]

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> ModelSettings:
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown model settings: {', '.join(sorted(unknown))}")
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_model(settings: ModelSettings, frames: int, bands: int) -> Any:
    """A fresh network: input (frames, bands, 1) float32, output (1,) a logit, higher = spoof.

    Raises:
        TrainingError: the input is too small for the network's pooling.
    """
    if settings.network == "baseline":
        from training.models.baseline import build_baseline

        return build_baseline(frames, bands, settings)
    from training.models.lcnn import build_lcnn
    from training.models.tdnn import build_tdnn

    build = build_tdnn if settings.network == "tdnn" else build_lcnn
    try:
        return build(frames, bands, settings)
    except ValueError as error:
        raise TrainingError(
            f"an LCNN of {len(settings.stages)} stages cannot be built on {frames} frames of "
            f"{bands} bands: {error}"
        ) from error


def parameter_count(model: Any) -> int:
    """Numbers that the model holds, the running statistics of its BatchNorms among them."""
    return int(model.count_params())


def mac_count(model: Any) -> int:
    """Multiply-accumulates per window of all convolutions and dense layers; the rest is noise."""
    return sum(
        mac_count(layer) if hasattr(layer, "layers") else _layer_macs(layer)
        for layer in model.layers
    )


def _layer_macs(layer: Any) -> int:
    kind = type(layer).__name__
    if kind not in ("Conv2D", "DepthwiseConv2D", "Dense"):
        return 0
    shape = layer.kernel.shape
    per_place = 1
    for size in shape:
        per_place *= int(size)
    if kind == "Dense":
        places = 1
        for size in layer.output.shape[1:-1]:
            places *= int(size)
        return per_place * places
    return per_place * int(layer.output.shape[1]) * int(layer.output.shape[2])
