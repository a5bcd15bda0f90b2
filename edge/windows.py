"""Cutting audio into windows, the same way in training, in `score` and in the daemon. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PADDINGS = ("repeat", "zero")


def fit_window(
    samples: NDArray[np.float32], window_samples: int, padding: str = "repeat"
) -> NDArray[np.float32]:
    """Bring a clip to exactly one window: cut the end of a longer one, fill up a shorter one.

    Repetition is the field's custom for short clips (the ASVspoof baselines do it): zeros at the
    end would tell the network how long the clip was, and duration must not give the class away.

    Args:
        samples: float32, shape (n,), n >= 1.
        window_samples: length of the result.
        padding: "repeat" or "zero".

    Returns:
        float32, shape (window_samples,).

    Raises:
        ValueError: the clip is empty or `padding` is unknown.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; it must be one of {', '.join(PADDINGS)}")
    if len(samples) == 0:
        raise ValueError("an empty clip cannot fill a window")
    if len(samples) >= window_samples:
        return samples[:window_samples]
    if padding == "repeat":
        return np.resize(samples, window_samples)
    return np.pad(samples, (0, window_samples - len(samples)))


def window_starts(total_samples: int, window_samples: int, hop_samples: int) -> list[int]:
    """First samples of the windows that cover a recording, the last one flush with its end.

    A recording no longer than one window has the single start 0.
    """
    if total_samples <= window_samples:
        return [0]
    last = total_samples - window_samples
    starts = list(range(0, last + 1, hop_samples))
    if starts[-1] != last:
        starts.append(last)
    return starts
