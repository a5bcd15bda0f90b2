"""The LCNN once more in PyTorch, for training on a CPU; the only module of training bound to it.

Keras defines the network, evaluates it and stores it. This twin shares its weights and trains it
2.5 times faster: oneDNN's channels-last convolutions, in bfloat16 where the processor has it
(AVX512_BF16, AMX), which Keras reaches on no CPU backend. A test holds the two to the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.losses import LossSettings
from training.models import ModelSettings
from training.models.lcnn import STD_FLOOR

if TYPE_CHECKING:
    from training.config import OptimiserSettings

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise TrainingError(
        "optimiser.engine is torch, which is not installed; pip install torch, "
        "or set it to keras"
    ) from error

Float32 = NDArray[np.float32]
BATCH_WINDOWS = 64
BATCH_NORM = {"eps": 1e-3, "momentum": 0.05}  # Keras's epsilon; the complement of its momentum


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What "same" pads before and after an axis: the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def larger_half(x: torch.Tensor) -> torch.Tensor:
    """Max-Feature-Map over axis 1: (B, 2n, ...) -> (B, n, ...)."""
    first, second = x.chunk(2, 1)
    return torch.maximum(first, second)


class MfmConvolution(nn.Module):
    """Convolution to twice the channels, BatchNorm, Max-Feature-Map."""

    def __init__(self, inputs: int, channels: int, kernel: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * channels, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels, **BATCH_NORM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (kernel, _), (down, along) = self.convolution.kernel_size, self.convolution.stride
        rows = same_padding(x.shape[2], kernel, down)
        columns = same_padding(x.shape[3], kernel, along)
        return larger_half(self.norm(self.convolution(functional.pad(x, columns + rows))))


class TorchLcnn(nn.Module):
    """`build_lcnn` with mean and deviation over time, bands kept apart, and one logit."""

    def __init__(self, settings: ModelSettings, frames: int, bands: int) -> None:
        super().__init__()
        channels = [max(4, round(n * settings.width)) for n in settings.stages]
        blocks: list[nn.Module] = []
        held, kernel, stride = 1, settings.first_kernel, settings.first_stride
        for stage, (wanted, pool) in enumerate(zip(channels, settings.pools)):
            if stage:
                blocks.append(MfmConvolution(held, held, 1, (1, 1)))
                kernel, stride = 3, (1, 1)
            blocks.append(MfmConvolution(held, wanted, kernel, stride))
            if pool:
                blocks.append(nn.MaxPool2d(2))
            held = wanted
        self.body = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(settings.dropout)
        with torch.no_grad():
            left = self.body.eval()(torch.zeros(1, 1, frames, bands)).shape[3]
        self.body.train()
        self.embed = nn.Linear(2 * held * left, 2 * settings.embedding, bias=False)
        self.norm = nn.BatchNorm1d(2 * settings.embedding, **BATCH_NORM)
        self.logit = nn.Linear(settings.embedding, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, frames, bands) -> (B, 1)."""
        x = self.body(x).permute(0, 2, 3, 1).flatten(2).float()  # (B, T, bands left * C)
        variance, mean = torch.var_mean(x, 1, correction=0)
        x = self.dropout(torch.cat([mean, torch.sqrt(variance + STD_FLOOR)], 1))
        out: torch.Tensor = self.logit(larger_half(self.norm(self.embed(x))))
        return out

    def layers(self) -> Iterator[nn.Module]:
        """Layers with weights, in the order of the Keras network's."""
        return (part for part in self.modules() if not list(part.children()) and part.state_dict())


def _tensors(layer: nn.Module) -> list[torch.Tensor]:
    """A layer's tensors in the order of its Keras counterpart's variables."""
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    return [tensor for tensor in (layer.weight, layer.bias) if tensor is not None]


def _to_keras(tensor: torch.Tensor) -> Float32:
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
    return tensor.detach().permute(order).contiguous().numpy()


def _from_keras(value: Any) -> torch.Tensor:
    array = np.array(value, np.float32)
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    return torch.from_numpy(np.ascontiguousarray(array.transpose(order)))


class TorchTwin:
    """Trains the weights of a Keras LCNN.

    Args:
        model: of `build_lcnn`, at the windows of training.
        settings: that it was built with.
        optimiser: AdamW's; `sam_radius` and `jit` do not apply.
        loss: binary cross-entropy.

    Raises:
        TrainingError: these settings can only be trained by Keras.
    """

    def __init__(
        self,
        model: Any,
        settings: ModelSettings,
        optimiser: OptimiserSettings,
        loss: LossSettings,
    ) -> None:
        wanted = (settings.network, settings.pooling, settings.keep_frequency, loss.name)
        if wanted != ("lcnn", "mean-std", True, "bce") or optimiser.sam_radius:
            raise TrainingError(
                "optimiser.engine torch trains an lcnn with mean-std pooling, keep_frequency and "
                "the loss bce, without sam_radius; set it to keras for others"
            )
        self._model = model
        self._loss = loss
        self._clip_norm = optimiser.clip_norm
        self._bfloat16 = optimiser.bfloat16
        _, frames, bands, _ = model.input_shape
        self.network = TorchLcnn(settings, frames, bands).to(memory_format=torch.channels_last)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim == 1]
        groups = [
            {"params": decayed, "weight_decay": optimiser.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, optimiser.learning_rate, eps=1e-7)
        self.load()

    def _pairs(self) -> Iterator[tuple[torch.Tensor, Any]]:
        kept = [layer for layer in self._model.layers if layer.weights]
        held = [layer for layer in kept if type(layer).__name__ != "Dropout"]
        for ours, theirs in zip(self.network.layers(), held):
            yield from zip(_tensors(ours), theirs.weights)

    def load(self) -> None:
        """Take the weights from the Keras network."""
        with torch.no_grad():
            for tensor, variable in self._pairs():
                tensor.copy_(_from_keras(variable))

    def store(self) -> None:
        """Give the weights to the Keras network."""
        for tensor, variable in self._pairs():
            variable.assign(_to_keras(tensor))

    def logits(self, features: Float32) -> Float32:
        """(B, frames, bands, 1) -> (B, 1), as the network stands, without training it."""
        self.network.eval()
        starts = range(0, len(features), BATCH_WINDOWS)
        with torch.inference_mode():
            parts = [self.network(_images(features[i : i + BATCH_WINDOWS])).numpy() for i in starts]
        self.network.train()
        return np.concatenate(parts)

    def step(self, features: Float32, wanted: Float32, learning_rate: float) -> float:
        """Train on one batch; returns its loss.

        Args:
            features: float32, shape (batch, frames, bands, 1).
            wanted: targets, float32, shape (batch, 1).
            learning_rate: of this step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            logits = self.network(_images(features))
        targets = torch.from_numpy(wanted)
        soft = targets * (1 - self._loss.label_smoothing) + 0.5 * self._loss.label_smoothing
        weight = 1 + targets * (self._loss.spoof_weight - 1)
        loss = (weight * (functional.softplus(logits.float()) - soft * logits.float())).mean()
        self.optimizer.zero_grad()
        loss.backward()
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self.optimizer.step()
        return loss.item()

    def state(self) -> list[NDArray[Any]]:
        """What the optimiser remembers: per parameter its step and two moments."""
        states = self.optimizer.state_dict()["state"]
        return [
            np.asarray(part) for index in sorted(states) for part in states[index].values()
        ]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from `state()`, with the Keras network's weights."""
        self.load()
        if not state:
            return
        names = ("step", "exp_avg", "exp_avg_sq")
        parts = [torch.from_numpy(np.array(part)) for part in state]
        whole = self.optimizer.state_dict()
        whole["state"] = {
            index: dict(zip(names, parts[3 * index : 3 * index + 3]))
            for index in range(len(parts) // 3)
        }
        self.optimizer.load_state_dict(whole)


def _images(features: Float32) -> torch.Tensor:
    """(B, frames, bands, 1) -> (B, 1, frames, bands): with one channel, the same memory."""
    return torch.from_numpy(np.ascontiguousarray(features)).permute(0, 3, 1, 2)
