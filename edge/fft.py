"""FFTs in single precision: two functions of scipy's, without the rest of scipy.

`import scipy.fft` also brings scipy.special, numpy.testing and unittest: 31 MB of memory and half
of the daemon's start. All that is wanted are two functions of one extension module inside it, which
works alone. Where a version of scipy keeps it elsewhere, scipy.fft itself does the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# In scipy's folder: pocketfft (Reinecke) up to scipy 1.17, its successor from 1.18 on.
EXTENSIONS = ("fft/_pocketfft/pypocketfft", "fft/_duccfft/pyduccfft")

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


@dataclass(frozen=True)
class Transforms:
    """FFTs along the last axis of two.

    Attributes:
        rfft: of real frames, (frames, n) -> (frames, n // 2 + 1).
        ifft: the inverse of complex spectra, not divided by their length, (frames, n).
    """

    rfft: Callable[[Float32], Complex64]
    ifft: Callable[[Complex64], Complex64]


def find_extension(scipy_folder: Path) -> Path | None:
    """The extension module's file; None if this scipy has another layout."""
    candidates = (
        scipy_folder / (name + suffix) for name in EXTENSIONS for suffix in EXTENSION_SUFFIXES
    )
    return next((path for path in candidates if path.is_file()), None)


def load_transforms(scipy_folder: Path) -> Transforms:
    """From the extension module, or else from scipy.fft.

    The module's functions are not promised to stay as they are, so they must first prove
    themselves.
    """
    path = find_extension(scipy_folder)
    if path is not None:
        try:
            module = _load_module(path)
            candidate = _transforms_of(module.r2c, module.c2c)
            if _are_transforms(candidate):
                return candidate
        except (ImportError, AttributeError, TypeError):
            pass  # the public functions follow
    return PUBLIC


def _transforms_of(r2c: Callable[..., Any], c2c: Callable[..., Any]) -> Transforms:
    # Arguments: data, axes, forward, normalisation (none), output (a new one), threads.
    return Transforms(
        lambda frames: r2c(frames, (1,), True, 0, None, 1),
        lambda spectra: c2c(spectra, (1,), False, 0, None, 1),
    )


def _load_module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _are_transforms(candidate: Transforms) -> bool:
    """Do they transform four samples as FFTs must, in single precision?"""
    spectrum = candidate.rfft(np.array([[1, 2, 4, 8]], np.float32))
    back = candidate.ifft(np.array([[15, -3 + 6j, -5, -3 - 6j]], np.complex64))
    return (
        spectrum.dtype == back.dtype == np.complex64
        and spectrum.tolist() == [[15, -3 + 6j, -5]]
        and back.tolist() == [[4, 8, 16, 32]]
    )


def _public_rfft(frames: Float32) -> Complex64:
    import scipy.fft

    spectrum: Complex64 = scipy.fft.rfft(frames, axis=1)
    return spectrum


def _public_ifft(spectra: Complex64) -> Complex64:
    import scipy.fft

    signals: Complex64 = scipy.fft.ifft(spectra, axis=1, norm="forward")
    return signals


# The same through scipy's front door.
PUBLIC = Transforms(_public_rfft, _public_ifft)


def _scipy_folder() -> Path:
    spec = importlib.util.find_spec("scipy")
    if spec is None or spec.origin is None:
        raise ImportError("scipy is not installed")
    return Path(spec.origin).parent


_found = load_transforms(_scipy_folder())
rfft, ifft = _found.rfft, _found.ifft
