"""Two functions of scipy without the rest of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edge.fft import PUBLIC, find_extension, ifft, load_transforms, rfft

FRAMES = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)


def test_it_is_the_fft_in_single_precision():
    spectrum = rfft(FRAMES)
    assert spectrum.dtype == np.complex64
    np.testing.assert_allclose(spectrum, np.fft.rfft(FRAMES.astype(np.float64)), atol=1e-4)


def test_its_inverse_is_not_divided_by_the_length():
    spectra = (FRAMES[:, ::2] + 1j * FRAMES[:, 1::2]).astype(np.complex64)
    signals = ifft(spectra)
    assert signals.dtype == np.complex64
    np.testing.assert_allclose(signals, 512 * np.fft.ifft(spectra), atol=1e-3)


def test_they_give_the_very_numbers_of_scipy_fft():
    np.testing.assert_array_equal(rfft(FRAMES), PUBLIC.rfft(FRAMES))
    np.testing.assert_array_equal(ifft(rfft(FRAMES)), PUBLIC.ifft(rfft(FRAMES)))


def test_it_leaves_the_rest_of_scipy_out():
    # If this fails after an update of scipy, features are still right, but the daemon has grown
    # by 31 MB: find the extension's new place.
    program = "import sys, edge.features; print('scipy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_scipy_of_another_layout_is_used_by_its_front_door(tmp_path):
    assert find_extension(tmp_path) is None
    assert load_transforms(tmp_path) is PUBLIC


@pytest.mark.parametrize("content", ["", "not a library"])
def test_an_extension_that_cannot_be_loaded_is_passed_over(tmp_path, content):
    from importlib.machinery import EXTENSION_SUFFIXES

    folder = tmp_path / "fft" / "_pocketfft"
    folder.mkdir(parents=True)
    (folder / f"pypocketfft{EXTENSION_SUFFIXES[0]}").write_text(content)
    assert find_extension(tmp_path) is not None
    assert load_transforms(tmp_path) is PUBLIC
