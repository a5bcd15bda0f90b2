"""What cues tell of sources that their teller has not heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.cues import CUES
from edge.features import FrontEnd
from edge.sliding import RATE_HZ
from training import cue_trial
from training.cli import main
from training.cue_trial import (
    LEAST_WINDOWS,
    parts_of_sources,
    told_of,
    within_sources,
)
from training.pool import raw_front_end, to_16_bits
from training.pool_cues import NUMBERS, Windows

pytestmark = pytest.mark.usefixtures("fewer_steps", "one_seed")
SOURCES = 4


@pytest.fixture
def one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cue_trial, "SEEDS", (1,))


def windows_of(sources: list[str], spoof: list[int], numbers: np.ndarray) -> Windows:
    return Windows(numbers.astype(np.float32), np.array(spoof) > 0, np.array(sources))


@pytest.fixture
def pool(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Noise in four sources, each of its own level; half of the windows flutter, the spoofs."""
    folder = tmp_path / "pool"
    folder.mkdir()
    front_end = FrontEnd(n_fft=512, win_length=400, frame_hop=160, n_bands=40, center=False)
    made_with = raw_front_end(front_end).to_dict()
    (folder / "pool.json").write_text(json.dumps({"front_end": made_with}), encoding="utf-8")
    spoof = np.tile(np.repeat([0, 1], LEAST_WINDOWS), SOURCES)
    place = np.repeat(np.arange(SOURCES), 2 * LEAST_WINDOWS)
    seconds = np.arange(round(1.2 * RATE_HZ)) / RATE_HZ
    flutter = 1 + 0.9 * np.sin(2 * np.pi * 33 * seconds)
    noise = rng.normal(0, 0.02, (len(spoof), len(seconds))) * (1 + place)[:, None]
    heard = noise * np.where(spoof[:, None], flutter, 1)
    np.save(folder / "00000.audio.npy", to_16_bits(heard.astype(np.float32)))
    np.save(folder / "00000.targets.npy", spoof.astype(np.float32))
    np.save(folder / "00000.sources.npy", np.array([f"source {one}" for one in place]))
    return folder


def test_what_a_cue_tells_is_told_of_sources_not_heard(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tried.json"
    assert main(["try-cues", str(pool), "--parts", "2", "--json", str(out)]) == 0
    tried = json.loads(out.read_text(encoding="utf-8"))
    names = ["all", *(f"without {cue.name}" for cue in CUES)]
    assert [one["cues"] for one in tried] == names
    assert [one["numbers"] for one in tried] == [NUMBERS, *(NUMBERS - c.count for c in CUES)]
    assert tried[0]["within"] > 0.95 and tried[0]["across"] > 0.95
    printed = capsys.readouterr().out
    assert f"| all | {NUMBERS} | {tried[0]['within']:.4f} | {tried[0]['across']:.4f} |" in printed


def test_what_holds_in_the_sources_heard_alone_is_no_gain(rng: np.random.Generator) -> None:
    # In every second source people have the larger number, so what is learnt of others is wrong.
    spoof = np.tile([0, 1], 80)
    sources = np.repeat([f"source {one}" for one in range(SOURCES)], 40)
    mixed = sorted(set(sources.tolist()))
    part = parts_of_sources(sources, mixed, 2)
    numbers = rng.normal(0, 0.1, (160, NUMBERS))
    numbers[:, :100] += (spoof ^ part)[:, None]
    windows = windows_of(sources.tolist(), spoof.tolist(), numbers)
    told = np.empty(160)
    for one in range(2):
        told[part == one] = told_of(windows, part == one, np.ones(NUMBERS, bool))
    assert within_sources(told, windows, mixed) < 0.05


def test_a_source_is_judged_without_its_labels(rng: np.random.Generator) -> None:
    spoof = [0, 1] * 60
    sources = ["a", "a", "b", "b", "c", "c"] * 20
    windows = windows_of(sources, spoof, rng.normal(0, 9, (120, NUMBERS)))
    judged = windows.sources == "c"
    turned = Windows(windows.numbers, windows.spoof ^ judged, windows.sources)
    kept = np.ones(NUMBERS, bool)
    np.testing.assert_array_equal(told_of(windows, judged, kept), told_of(turned, judged, kept))


def test_every_part_has_its_share_of_mixed_sources() -> None:
    sources = np.array([f"{kind}{one}" for kind in "mh" for one in range(12)] * 2)
    mixed = [f"m{one}" for one in range(12)]
    part = parts_of_sources(sources, mixed, 6)
    assert len({(name, one) for name, one in zip(sources, part)}) == 24
    for one in range(6):
        own = set(sources[part == one])
        assert len(own) == 4 and len(own & set(mixed)) == 2


def test_a_source_of_few_windows_of_one_class_is_not_mixed() -> None:
    spoof = [0] * 50 + [1] * LEAST_WINDOWS + [0] * 50 + [1] * (LEAST_WINDOWS - 1)
    sources = ["mixed"] * (50 + LEAST_WINDOWS) + ["human"] * (49 + LEAST_WINDOWS)
    windows = windows_of(sources, spoof, np.zeros((len(spoof), 1)))
    assert list(windows.mixed_sources(LEAST_WINDOWS)) == ["mixed"]


@pytest.mark.parametrize("parts", ["0", "1", "5"])
def test_parts_that_sources_cannot_be_dealt_out_to_are_refused(
    pool: Path, parts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try-cues", str(pool), "--parts", parts]) == 1
    assert f"cannot be dealt out to {parts} parts; there must be 2 to 4" in capsys.readouterr().err


def test_a_single_source_of_both_classes_is_too_few(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pool / "00000.sources.npy"
    np.save(path, np.full(len(np.load(path)), "one"))
    assert main(["try-cues", str(pool)]) == 1
    assert "1 sources of the pools have 20 windows of both classes" in capsys.readouterr().err


def test_a_folder_that_holds_no_pool_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try-cues", str(tmp_path)]) == 1
    assert f"{tmp_path} holds no pool" in capsys.readouterr().err


def test_a_pool_of_a_front_end_that_there_is_no_more_is_refused(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_with = json.loads((pool / "pool.json").read_text(encoding="utf-8"))
    made_with["front_end"]["periodicity"] = True
    (pool / "pool.json").write_text(json.dumps(made_with), encoding="utf-8")
    assert main(["try-cues", str(pool)]) == 1
    assert "made with another front end" in capsys.readouterr().err
