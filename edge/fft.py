"""The FFT of real frames: one function of scipy's, without the rest of scipy.

`import scipy.fft` also brings scipy.special, numpy.testing and unittest: 31 MB of memory and half
of the daemon's start. All that is wanted is one function of one extension module inside it, which
works alone. Where a version of scipy keeps it elsewhere, scipy.fft itself does the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# In scipy's folder: pocketfft (Reinecke) up to scipy 1.17, its successor from 1.18 on.
EXTENSIONS = ("fft/_pocketfft/pypocketfft", "fft/_duccfft/pyduccfft")

RealFft = Callable[[NDArray[np.float32]], NDArray[np.complex64]]


def find_extension(scipy_folder: Path) -> Path | None:
    """The extension module's file; None if this scipy has another layout."""
    candidates = (
        scipy_folder / (name + suffix) for name in EXTENSIONS for suffix in EXTENSION_SUFFIXES
    )
    return next((path for path in candidates if path.is_file()), None)


def load_rfft(scipy_folder: Path) -> RealFft:
    """FFT along the last axis of two: from the extension module, or else from scipy.fft.

    The module's function is not promised to stay as it is, so it must first prove itself.
    """
    path = find_extension(scipy_folder)
    if path is not None:
        try:
            candidate = _rfft_of(_load_module(path).r2c)
            if _is_rfft(candidate):
                return candidate
        except (ImportError, AttributeError, TypeError):
            pass  # the public function follows
    return public_rfft


def _rfft_of(r2c: Callable[..., Any]) -> RealFft:
    # Arguments: data, axes, forward, normalisation (none), output (a new one), threads.
    return lambda frames: r2c(frames, (1,), True, 0, None, 1)


def _load_module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_rfft(candidate: RealFft) -> bool:
    """Does it transform four samples as an FFT must, in single precision?"""
    spectrum = candidate(np.array([[1, 2, 4, 8]], np.float32))
    return spectrum.dtype == np.complex64 and spectrum.tolist() == [[15, -3 + 6j, -5]]


def public_rfft(frames: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The same through scipy's front door."""
    import scipy.fft

    spectrum: NDArray[np.complex64] = scipy.fft.rfft(frames, axis=1)
    return spectrum


def _scipy_folder() -> Path:
    spec = importlib.util.find_spec("scipy")
    if spec is None or spec.origin is None:
        raise ImportError("scipy is not installed")
    return Path(spec.origin).parent


rfft = load_rfft(_scipy_folder())


def autocorrelation(power: NDArray[np.float32], lags: int) -> NDArray[np.float32]:
    """Of signals with such power spectra, shape (signals, lags)."""
    even = np.concatenate([power, power[:, -2:0:-1]], axis=1)
    # What is real and even has its inverse transform in the transform itself.
    alike: NDArray[np.float32] = rfft(even).real[:, :lags] / np.float32(even.shape[1])
    return alike
