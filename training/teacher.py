"""A teacher: the ears of a speech-quality predictor, trained on to tell human from synthesised.

DistillMOS (Stahl and Gamper, "Distillation and pruning for scalable self-supervised
representation-based speech quality assessment", ICASSP 2025, MIT licence) learnt from XLS-R, a
network that has heard half a million hours, how speech sounds when something was done to it. Its
convolutions read the complex spectrum in steps of 10 ms, at 90 times the cost of the network that
ships. Trained on on the audio of pools, it gives every window a probability, and the small network
learns from that beside the label (Hinton et al., "Distilling the knowledge in a neural network",
2015).

PyTorch is imported here and by the vocoders alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from training.cache import progress, write_atomically
from training.engines.packages import package_file
from training.errors import TrainingError
from training.pool import from_16_bits, heard_stems

Float32 = NDArray[np.float32]
Say = Callable[[str], None]

WEIGHTS = ("distillmos", "distill_mos_v7.pt")
FRAME_SAMPLES, FRAME_HOP = 320, 160
COMPRESSION = 0.3
CHANNELS = (64, 64, 128, 256, 256, 256)
FRAME_DIMS = 200
CHUNKS_AT_ONCE = 2
BATCH_WINDOWS = 16


@dataclass(frozen=True)
class TeacherSettings:
    """How a teacher is trained.

    Attributes:
        windows: that it hears in training, each once.
        window_s: length of the stretch of each, s.
        batch_size: windows per step.
        learning_rate: of the convolutions.
        head_factor: times that for the layers that are new.
        warmup_steps: steps of rising rate.
        constant_share: of all steps, before the rate falls in a straight line.
        average_momentum: of the running average of weights, which is what is kept.
        seed: of draws and of the new layers.
    """

    windows: int = 24576
    window_s: float = 2.0
    batch_size: int = 32
    learning_rate: float = 2e-4
    head_factor: float = 5.0
    warmup_steps: int = 100
    constant_share: float = 0.6
    average_momentum: float = 0.998
    seed: int = 0


class Teacher(nn.Module):
    """Samples at 16 kHz, float32 (batch, samples), to logits (batch,), higher = spoof."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, bands = 2, FRAME_SAMPLES // 2 + 1
        for index, channels in enumerate(CHANNELS):
            over_bands = 1 if index == 0 else 2
            over_time = 2 if index == len(CHANNELS) - 1 else 1
            layers += [
                nn.Conv2d(before, channels, 3, stride=(over_bands, over_time), padding=(0, 1)),
                nn.LeakyReLU(0.1),
            ]
            before, bands = channels, (bands - 3) // over_bands + 1
        self.cnn = nn.Sequential(*layers)
        # Two normalisations after one another, as the original has them.
        self.norm_input = nn.BatchNorm1d(before * bands)
        self.norm_frames = nn.BatchNorm1d(before * bands)
        self.projection = nn.Linear(before * bands, FRAME_DIMS)
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * FRAME_DIMS),
            nn.Dropout(0.2),
            nn.Linear(2 * FRAME_DIMS, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 1),
        )
        self.cnn = self.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def load_ears(self) -> None:
        """Take over what DistillMOS has learnt; the head stays as it is.

        Raises:
            EngineMissing: DistillMOS is not installed.
        """
        path = package_file(*WEIGHTS)
        stored = torch.load(path, map_location="cpu", weights_only=True)["model"]
        back = "transformer_pool_attn."
        for module, prefix in (
            (self.cnn, "cnn.cnn."),
            (self.norm_input, back + "norm_input."),
            (self.norm_frames, back + "transformer.norm."),
            (self.projection, back + "transformer.linear_proj."),
        ):
            part = {
                name[len(prefix) :]: value
                for name, value in stored.items()
                if name.startswith(prefix)
            }
            module.load_state_dict(part)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        peak = samples.abs().amax(1, keepdim=True)
        spectrum = compressed_spectrum(samples / (peak + 1e-8))
        # bfloat16 costs a quarter where the processor has it, and what comes out is averaged.
        with torch.autocast("cpu", torch.bfloat16):
            frames = self.cnn(spectrum.contiguous(memory_format=torch.channels_last))
        frames = torch.flatten(frames.float(), 1, -2)  # (batch, channels x bands, frames)
        frames = self.projection(self.norm_frames(self.norm_input(frames)).transpose(1, 2))
        pooled = torch.cat([frames.mean(1), frames.std(1)], 1)
        logits: torch.Tensor = self.head(pooled)[:, 0]
        return logits

    def train(self, mode: bool = True) -> Teacher:
        super().train(mode)
        # The statistics of what it heard before are part of its ears.
        self.norm_input.eval()
        self.norm_frames.eval()
        return self


def compressed_spectrum(samples: torch.Tensor) -> torch.Tensor:
    """Complex spectra with magnitudes to the power 0.3: (batch, 2, bands, frames)."""
    edge = (FRAME_SAMPLES - FRAME_HOP) // 2
    padded = functional.pad(samples[:, None], (edge, edge), mode="reflect")[:, 0]
    spectrum = torch.view_as_real(
        torch.stft(
            padded,
            n_fft=FRAME_SAMPLES,
            hop_length=FRAME_HOP,
            window=torch.hann_window(FRAME_SAMPLES),
            center=False,
            return_complex=True,
        )
    )
    magnitude = spectrum.square().sum(-1, keepdim=True).sqrt().clip(1e-12)
    return (magnitude ** (COMPRESSION - 1) * spectrum).permute(0, 3, 1, 2)


def rate_share(step: int, steps: int, settings: TeacherSettings) -> float:
    """Share of the learning rate at a step: up, level, and down to a twentieth."""
    level = settings.constant_share * steps
    falling = 1 - (step - level) / max(1.0, steps - level)
    return min(1.0, (step + 1) / settings.warmup_steps, max(0.05, falling))


def train_teacher(
    folder: Path, pools: Sequence[Path], settings: TeacherSettings, say: Say = print
) -> None:
    """Train on the audio of pools and write teacher.pt and teacher.json into a folder.

    Raises:
        EngineMissing: DistillMOS is not installed.
        TrainingError: a pool holds no audio, or the pools hold too few windows.
    """
    chunks = [(pool, stem) for pool in pools for stem in heard_stems(pool)]
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    teacher = Teacher()
    teacher.load_ears()
    teacher.train()
    new = {id(parameter) for parameter in teacher.head.parameters()}
    groups = [
        {
            "params": [p for p in teacher.parameters() if (id(p) in new) == is_new],
            "rate": settings.learning_rate * (settings.head_factor if is_new else 1),
        }
        for is_new in (False, True)
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=1e-2)
    average = {name: value.clone() for name, value in teacher.state_dict().items()}
    steps = settings.windows // settings.batch_size
    losses = []
    batches = _batches(chunks, settings, rng)
    for step in progress(range(steps), steps, "teacher"):
        samples, labels = next(batches, (None, None))
        if samples is None or labels is None:
            raise TrainingError(
                f"the pools hold {step * settings.batch_size} windows, fewer than the "
                f"{settings.windows} that a teacher is to hear; make them larger, or say --windows"
            )
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * rate_share(step, steps, settings)
        logits = teacher(torch.from_numpy(samples))
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        _follow(average, teacher.state_dict(), min(settings.average_momentum, step / (step + 9)))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "teacher.pt", lambda file: torch.save(average, file))
    last = float(np.mean(losses[-max(1, steps // 10) :]))
    text = json.dumps({**asdict(settings), "loss": last}, indent=2)
    write_atomically(folder / "teacher.json", lambda file: file.write(text.encode()))
    say(f"loss of the last tenth {last:.4f}; {folder}")


def _batches(
    chunks: Sequence[tuple[Path, str]], settings: TeacherSettings, rng: np.random.Generator
) -> Iterator[tuple[Float32, Float32]]:
    """Stretches of windows and their labels, each window once, a few chunks mixed at a time."""
    order = rng.permutation(len(chunks))
    wanted = round(settings.window_s * 16000)
    for first in range(0, len(order), CHUNKS_AT_ONCE):
        some = [chunks[index] for index in order[first : first + CHUNKS_AT_ONCE]]
        audio = np.concatenate([np.load(pool / f"{stem}.audio.npy") for pool, stem in some])
        labels = np.concatenate([np.load(pool / f"{stem}.targets.npy") for pool, stem in some])
        mixed = rng.permutation(len(audio))
        for start in range(0, len(mixed) - settings.batch_size + 1, settings.batch_size):
            at = int(rng.integers(0, max(0, audio.shape[1] - wanted) + 1))
            chosen = mixed[start : start + settings.batch_size]
            yield from_16_bits(audio[chosen, at : at + wanted]), labels[chosen]


def _follow(
    average: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], momentum: float
) -> None:
    with torch.no_grad():
        for name, value in weights.items():
            if value.dtype.is_floating_point:
                average[name].mul_(momentum).add_(value, alpha=1 - momentum)
            else:  # how many batches a normalisation has seen
                average[name] = value.clone()


def load_teacher(folder: Path) -> Teacher:
    """A trained teacher; DistillMOS itself is not needed for that.

    Raises:
        TrainingError: the folder holds none.
    """
    path = folder / "teacher.pt"
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        teacher = Teacher()
        teacher.load_state_dict(weights)
    except (OSError, RuntimeError) as error:
        raise TrainingError(f"{folder} holds no teacher: {error}") from error
    teacher.eval()
    return teacher


def opinions(teacher: Teacher, windows: Float32) -> Float32:
    """Logits, shape (windows,), of windows of samples, float32, shape (windows, samples)."""
    with torch.no_grad():
        logits = [
            teacher(torch.from_numpy(windows[first : first + BATCH_WINDOWS])).numpy()
            for first in range(0, len(windows), BATCH_WINDOWS)
        ]
    return np.concatenate(logits)
