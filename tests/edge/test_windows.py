"""Cutting audio into windows."""

from __future__ import annotations

import numpy as np
import pytest

from edge.windows import fit_window, window_starts


def test_a_long_clip_is_cut_at_its_end():
    assert fit_window(np.arange(9, dtype=np.float32), 4).tolist() == [0, 1, 2, 3]


def test_a_short_clip_is_repeated():
    assert fit_window(np.array([1, 2, 3], np.float32), 8).tolist() == [1, 2, 3, 1, 2, 3, 1, 2]


def test_zero_padding_is_a_setting():
    assert fit_window(np.array([1, 2], np.float32), 4, "zero").tolist() == [1, 2, 0, 0]


def test_an_empty_clip_and_an_unknown_padding_are_refused():
    with pytest.raises(ValueError, match="empty"):
        fit_window(np.zeros(0, np.float32), 4)
    with pytest.raises(ValueError, match="padding"):
        fit_window(np.zeros(2, np.float32), 4, "mirror")


@pytest.mark.parametrize(
    ("total", "starts"), [(1, [0]), (10, [0]), (11, [0, 1]), (14, [0, 3, 4]), (16, [0, 3, 6])]
)
def test_windows_cover_a_recording_and_end_with_it(total, starts):
    assert window_starts(total, 10, 3) == starts
