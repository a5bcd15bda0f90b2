"""Weights averaged over epochs."""

from __future__ import annotations

import numpy as np
import pytest

from training.average import average_run, checkpoint_weights, mean_weights
from training.errors import TrainingError


def test_the_mean_is_taken_of_numbers_and_not_of_random_states():
    first = [np.array([1.0, 3.0], np.float32), np.array([7], np.int64)]
    second = [np.array([3.0, 5.0], np.float32), np.array([9], np.int64)]
    mean = mean_weights([first, second])
    assert mean[0].tolist() == [2.0, 4.0] and mean[0].dtype == np.float32
    assert mean[1].tolist() == [9]


def test_a_checkpoint_gives_its_arrays_in_order(tmp_path):
    path = tmp_path / "state.npz"
    np.savez(path, model0=np.zeros(2), model1=np.ones(3), average0=np.full(2, 5.0))
    assert [len(array) for array in checkpoint_weights(path, 2)] == [2, 3]
    assert checkpoint_weights(path, 1, "average")[0][0] == 5


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "state.npz"
    np.savez(path, something=np.zeros(2))
    with pytest.raises(TrainingError, match="no checkpoint"):
        checkpoint_weights(path, 1)


def test_averaging_nothing_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        average_run(tmp_path, [], tmp_path / "out")
