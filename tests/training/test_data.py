from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.features import FrontEnd
from training.augment import AugmentSettings
from training.cache import WaveCache
from training.corpus import read_folder
from training.data import (
    BatchMaker,
    Loader,
    LoaderSettings,
    SamplingSettings,
    clip_weights,
    even_weights,
    favour,
)
from training.protocols import Trial, with_split

FRONT_END = FrontEnd(n_fft=512, win_length=512, frame_hop=256, n_bands=20, center=False)
LOADER = LoaderSettings(batch_size=10, windows_per_epoch=40, window_s=1.0)


@pytest.fixture(scope="module")
def waves(tone_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> WaveCache:
    cache = WaveCache(tmp_path_factory.mktemp("waves"))
    cache.add(read_folder(tone_corpus).trials)
    return cache


@pytest.fixture
def maker(tone_corpus: Path, waves: WaveCache) -> BatchMaker:
    return BatchMaker(
        seed=3,
        trials=with_split(read_folder(tone_corpus).trials, "train"),
        waves=waves,
        front_end=FRONT_END,
        loader=LOADER,
        sampling=SamplingSettings(max_source_share=1.0),
        augmentation=AugmentSettings(slow_codec=0.0),
    )


def test_a_batch_has_the_shape_of_the_network_and_both_classes_in_equal_parts(
    maker: BatchMaker,
) -> None:
    features, targets = maker.batch(0, 0)
    assert features.shape == (10, FRONT_END.frame_count(16000), 20, 1)
    assert features.dtype == np.float32 and np.isfinite(features).all()
    assert targets.shape == (10, 1) and targets.sum() == 5


def test_batches_depend_on_seed_epoch_and_index_alone(maker: BatchMaker) -> None:
    first, _ = maker.batch(1, 2)
    np.testing.assert_array_equal(first, maker.batch(1, 2)[0])
    for other in (maker.batch(1, 3), maker.batch(2, 2), replace(maker, seed=4).batch(1, 2)):
        assert not np.array_equal(first, other[0])


def test_worker_processes_give_the_batches_of_the_training_process(maker: BatchMaker) -> None:
    with Loader(maker, workers=0) as here, Loader(maker, workers=2) as elsewhere:
        expected, found = list(here.epoch(1)), list(elsewhere.epoch(1))
    assert len(expected) == len(found) == LOADER.batches_per_epoch
    for (features, targets), (same_features, same_targets) in zip(expected, found):
        np.testing.assert_array_equal(features, same_features)
        np.testing.assert_array_equal(targets, same_targets)


def test_a_maker_can_be_sent_to_another_process(maker: BatchMaker) -> None:
    again = pickle.loads(pickle.dumps(maker))
    np.testing.assert_array_equal(again.batch(0, 0)[0], maker.batch(0, 0)[0])


def test_without_augmentation_a_short_clip_is_repeated(maker: BatchMaker) -> None:
    plain = replace(maker, augmentation=AugmentSettings.off())
    trial = next(t for t in plain.trials if plain.waves.length(t.id) < 16000)
    length = plain.waves.length(trial.id)
    window = plain.window(trial, np.random.default_rng(0))
    np.testing.assert_array_equal(window[: 16000 - length], window[length:])
    zeros = replace(plain, loader=replace(LOADER, padding="zero"))
    assert not zeros.window(trial, np.random.default_rng(0))[length:].any()


def test_a_long_clip_is_cropped_at_random(maker: BatchMaker) -> None:
    plain = replace(maker, augmentation=AugmentSettings.off())
    trial = next(t for t in plain.trials if plain.waves.length(t.id) > 24000)
    whole = plain.waves.read(trial.id)
    crops = [plain.window(trial, np.random.default_rng(seed)) for seed in range(8)]
    assert len({crop.tobytes() for crop in crops}) > 4
    starts = np.lib.stride_tricks.sliding_window_view(whole, 16000)
    assert all((starts == crop).all(axis=1).any() for crop in crops)


def test_clips_below_the_shortest_length_are_never_drawn(maker: BatchMaker) -> None:
    picky = replace(maker, sampling=SamplingSettings(min_seconds=1.2, max_source_share=1.0))
    drawn = {t.id for index in range(20) for t in picky.draw(0, index)}
    assert drawn and all(picky.waves.length(i) >= 1.2 * 16000 for i in drawn)
    with pytest.raises(ValueError, match="at least 9 s"):
        replace(maker, sampling=SamplingSettings(min_seconds=9))


def test_a_teachers_opinion_takes_the_labels_place(maker: BatchMaker) -> None:
    taught = replace(maker, soft_targets={t.id: 0.25 for t in maker.trials})
    assert (taught.batch(0, 0)[1] == 0.25).all()


def test_coded_copies_are_drawn_as_often_as_set(maker: BatchMaker) -> None:
    maker.waves.add(maker.trials, "flat", lambda samples, clip: 0 * samples)
    plain = AugmentSettings.off()
    loader = replace(LOADER, codec_share=0.5)
    coded = replace(maker, augmentation=plain, loader=loader, codec_variants=("flat",))
    rng = np.random.default_rng(0)
    silent = [not coded.window(coded.trials[0], rng).any() for _ in range(200)]
    assert 70 < sum(silent) < 130


def trials_of(sizes: dict[tuple[str, str], int]) -> list[Trial]:
    return [
        Trial(id=f"{s}{g}{i}", path=Path("x"), label="spoof", source=s, generator=g)
        for (s, g), size in sizes.items()
        for i in range(size)
    ]


def test_groups_weigh_by_the_power_of_their_size() -> None:
    rows = trials_of({("a", "big"): 100, ("b", "small"): 25})
    settings = SamplingSettings(group_power=0.5, max_source_share=1.0)
    weights = clip_weights(rows, settings)
    assert weights[:100].sum() == pytest.approx(2 / 3)
    flat = clip_weights(rows, SamplingSettings(group_power=0.0, max_source_share=1.0))
    assert flat[:100].sum() == pytest.approx(0.5)


def test_clips_beyond_the_cap_add_no_weight() -> None:
    rows = trials_of({("a", "big"): 900, ("b", "small"): 100})
    settings = SamplingSettings(group_power=1.0, group_cap=100, max_source_share=1.0)
    assert clip_weights(rows, settings)[:900].sum() == pytest.approx(0.5)


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=12),
    st.floats(0.1, 1.0),
    st.floats(0.0, 1.0),
)
def test_no_source_exceeds_its_share(sizes: list[int], share: float, power: float) -> None:
    rows = trials_of({(f"s{i}", f"g{i}"): size for i, size in enumerate(sizes)})
    settings = SamplingSettings(group_power=power, max_source_share=share)
    weights = clip_weights(rows, settings)
    assert weights.sum() == pytest.approx(1)
    sources = np.array([t.source for t in rows])
    largest = max(weights[sources == s].sum() for s in set(sources))
    assert largest <= max(share, 1 / len(sizes)) * (1 + 1e-9)


def test_favoured_sources_of_human_speech_give_their_share() -> None:
    sizes = {("studio", ""): 10, ("demo", ""): 20, ("games", ""): 500, ("phone", ""): 90}
    rows = trials_of(sizes)
    settings = SamplingSettings(favoured_sources=("studio", "demo", "no such"), favoured_share=0.6)
    plain = clip_weights(rows, settings)
    weights = favour(plain, rows, settings)
    assert weights.sum() == pytest.approx(1)
    assert weights[:30].sum() == pytest.approx(0.6)
    for part in (slice(0, 30), slice(30, None)):  # in proportion to what they were
        ratios = weights[part] / plain[part]
        np.testing.assert_allclose(ratios, ratios[0])


@pytest.mark.parametrize("sources", [(), ("a", "b")])
def test_nothing_changes_where_none_or_all_are_favoured(sources: tuple[str, ...]) -> None:
    rows = trials_of({("a", ""): 3, ("b", ""): 5})
    weights = clip_weights(rows, SamplingSettings())
    settings = SamplingSettings(favoured_sources=sources)
    np.testing.assert_array_equal(favour(weights, rows, settings), weights)


def test_a_favoured_source_that_is_misspelt_is_named() -> None:
    rows = trials_of({("a", ""): 3})
    settings = SamplingSettings(favoured_sources=("A", "elsewhere"))
    with pytest.raises(ValueError, match="favoured source: A, elsewhere"):
        favour(clip_weights(rows, settings), rows, settings)


def shares(sources: list[str], spoof: list[bool], source: str) -> tuple[float, float]:
    """Of the human and of the spoof windows, how many a source gives when they are evened."""
    names, made = np.array(sources), np.array(spoof)
    weights = even_weights(names, made)
    human, synthetic = (
        weights[(names == source) & (made == side)].sum() / weights[made == side].sum()
        for side in (False, True)
    )
    return float(human), float(synthetic)


def test_a_source_heard_mostly_in_spoofs_is_evened() -> None:
    # "demo" gives 1 in 4 of the human windows and 9 in 10 of the spoofs, the others one class each.
    sources = ["demo"] * 10 + ["person"] * 30 + ["demo"] * 36 + ["voice"] * 4
    spoof = [False] * 40 + [True] * 40
    human, synthetic = shares(sources, spoof, "demo")
    middle = (0.25 * 0.9) ** 0.5
    assert human == pytest.approx(middle / (middle + 0.75))
    assert synthetic == pytest.approx(middle / (middle + 0.1))


def test_a_source_heard_mostly_in_human_speech_keeps_its_weight() -> None:
    # "game" gives 9 in 10 of the human windows and 2 in 10 of the spoofs, "demo" the rest.
    sources = np.array(["game"] * 9 + ["demo"] + ["game"] * 2 + ["demo"] * 8)
    spoof = np.array([False] * 10 + [True] * 10)
    game = sources == "game"
    weights = even_weights(sources, spoof)
    middle = (0.1 * 0.8) ** 0.5
    assert weights[~game & ~spoof][0] / weights[game & ~spoof][0] == pytest.approx(middle / 0.1)
    assert weights[~game & spoof][0] / weights[game & spoof][0] == pytest.approx(middle / 0.8)


def test_a_source_of_one_class_keeps_its_weight_and_none_is_changed_beyond_the_limit() -> None:
    sources = np.array(["page"] + ["game"] * 999 + ["page"] * 999 + ["voice"])
    spoof = np.array([False] * 1000 + [True] * 1000)
    weights = even_weights(sources, spoof)
    assert [weights[spoof == side].mean() for side in (False, True)] == pytest.approx([1, 1])
    assert weights[0] / weights[1] == pytest.approx(4)
    assert weights[1000] / weights[-1] == pytest.approx(0.25)
    alone = even_weights(np.array(["a", "b", "b"]), np.array([True, True, True]))
    assert alone == pytest.approx(np.ones(3))
