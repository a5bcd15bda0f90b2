from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.cli import main
from training.config import RunSettings
from training.errors import TrainingError
from training.evaluate import write_json
from training.excitation import NUMBERS, RATE_HZ
from training.pool import PoolSettings
from training.probe import fit_within_sources
from training.train import train


def windows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first number tells the class within sources, the second the source, the third nothing."""
    spoof = np.tile([False, True, True, True], 100)
    sources = np.repeat(["mixed", "other", "human", "synthetic"], 100)
    spoof[200:300], spoof[300:] = False, True
    numbers = rng.normal(0, 1, (400, 3))
    numbers[:, 0] += 2 * spoof * (np.arange(400) < 200)
    numbers[:, 1] += 6 * (sources == "synthetic")
    return numbers.astype(np.float32), spoof, sources


def test_what_tells_a_source_tells_nothing(rng: np.random.Generator) -> None:
    numbers, spoof, sources = windows(rng)
    found = fit_within_sources(numbers, spoof, sources)
    assert found.weights[0] > 5 * np.abs(found.weights[1:]).max()
    assert found.of(numbers).std() == pytest.approx(1)


def test_without_a_source_of_both_classes_there_is_nothing_to_fit(
    rng: np.random.Generator,
) -> None:
    numbers, spoof, sources = windows(rng)
    with pytest.raises(TrainingError, match="no source"):
        fit_within_sources(numbers[200:], spoof[200:], sources[200:])


def test_the_command_says_what_excitation_adds(
    settings: RunSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = PoolSettings(windows=256, window_s=1.2, keep_audio=True)
    run = tmp_path / "run"
    cut = replace(settings.windows, window_s=1.2)
    train(run, replace(settings, pool=pool, epochs=1, windows=cut), say=lambda line: None)
    folder = Path(settings.cache) / f"pool-{pool.seed}"
    for path in folder.glob("*.sources.npy"):  # of the tests' own none publishes both classes
        np.save(path, np.full(len(np.load(path)), "both"))
    out = tmp_path / "figures.json"
    assert main(["probe", str(run), str(folder), "--out", str(out)]) == 0
    assert "EER" in capsys.readouterr().out
    numbers = [np.load(path) for path in sorted(folder.glob("*.excitation.npy"))]
    assert sum(map(len, numbers)) == 256 and numbers[0].shape[1] == NUMBERS
    rows = json.loads(out.read_text())
    assert {row["network"] for row in rows} == {"alone", "with"}
    assert all(0 <= row["eer"] <= 1 for row in rows)


@pytest.mark.parametrize(("whose", "window_s"), [("run", 1.0), ("pool", 1.2)])
def test_windows_too_short_for_excitation_are_refused_in_a_sentence(
    whose: str,
    window_s: float,
    settings: RunSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, pool = tmp_path / "run", tmp_path / "pool"
    run.mkdir()
    pool.mkdir()
    cut = replace(settings.windows, window_s=window_s)
    write_json(run / "config.json", replace(settings, windows=cut).to_dict())
    np.save(pool / "00000.targets.npy", np.zeros(2))
    np.save(pool / "00000.audio.npy", np.zeros((2, RATE_HZ), np.int16))
    assert main(["probe", str(run), str(pool)]) != 0
    said = capsys.readouterr().err
    assert str({"run": run, "pool": pool}[whose]) in said and "needs 1.008 s" in said
