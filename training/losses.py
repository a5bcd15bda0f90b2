"""Losses on the model's one output, in Keras 3 operations: any backend can differentiate them.

Targets are 1 for spoof, 0 for bona fide, or between (mixtures, a teacher's opinion).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

LOSSES = ("bce", "p2sgrad", "one-class")


@dataclass(frozen=True)
class LossSettings:
    """Which loss, and its constants.

    Attributes:
        name: "bce", "p2sgrad" or "one-class" (the last two need the model's head "cosine").
        spoof_weight: weight of spoof against bona fide.
        label_smoothing: targets move this far towards one half (bce).
        scale: steepness (one-class).
        margin_bonafide, margin_spoof: cosines to the bona fide direction that are asked for.
    """

    name: str = "bce"
    spoof_weight: float = 1.0
    label_smoothing: float = 0.0
    scale: float = 20.0
    margin_bonafide: float = 0.9
    margin_spoof: float = 0.2

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"loss is {self.name!r}; it must be one of {', '.join(LOSSES)}")

    @property
    def heads(self) -> tuple[str, ...]:
        """Of the model, that go with it."""
        return ("logit", "votes") if self.name == "bce" else ("cosine",)


Loss = Callable[[Any, Any], Any]


def make_loss(
    settings: LossSettings,
    heard_weight: float = 0.0,
    opinion_weight: float = 0.0,
    opinions: int = 0,
) -> Loss:
    """The loss as Keras calls it: (targets, outputs), both of shape (batch, 1), to (batch,).

    With weights both go on after the first number with so many opinions of a teacher, and then
    with what it hears, all of which the network is to tell: the mean squared errors of these and
    of those count so much.
    """
    chosen = {"bce": binary_cross_entropy, "p2sgrad": p2sgrad, "one-class": one_class_softmax}
    own = 1 + opinions

    def loss(targets: Any, outputs: Any) -> Any:
        targets = ops.cast(targets, outputs.dtype)
        weight = 1 + targets[:, :1] * (settings.spoof_weight - 1)
        value = chosen[settings.name](targets[:, :1], outputs[:, :1], settings)
        value = ops.mean(weight * value, axis=-1)
        if opinion_weight:
            error = ops.square(outputs[:, 1:own] - targets[:, 1:own])
            value = value + opinion_weight * ops.mean(error, axis=-1)
        if heard_weight:
            error = ops.square(outputs[:, own:] - targets[:, own:])
            value = value + heard_weight * ops.mean(error, axis=-1)
        return value

    loss.__name__ = settings.name.replace("-", "_")
    return loss


def binary_cross_entropy(targets: Any, logits: Any, settings: LossSettings) -> Any:
    """Cross-entropy of logits, each element on its own."""
    smoothed = targets * (1 - settings.label_smoothing) + 0.5 * settings.label_smoothing
    return ops.softplus(logits) - smoothed * logits


def p2sgrad(targets: Any, cosines: Any, settings: LossSettings) -> Any:
    """Squared error of the cosine against +1 (spoof) and -1 (bona fide).

    Wang and Yamagishi, Interspeech 2021, show that P2SGrad's gradient is that of this error. They
    keep a direction per class; with one output the two directions are opposite.
    """
    del settings
    return ops.square(cosines - (2 * targets - 1))


def one_class_softmax(targets: Any, cosines: Any, settings: LossSettings) -> Any:
    """Bona fide within a narrow cone, spoof anywhere outside a wide one (Zhang et al., 2021).

    The paper's cosine is to the bona fide direction: here it is minus the output.
    """
    bonafide = ops.softplus(settings.scale * (settings.margin_bonafide + cosines))
    spoof = ops.softplus(settings.scale * (-cosines - settings.margin_spoof))
    return (targets * spoof + (1 - targets) * bonafide) / settings.scale
