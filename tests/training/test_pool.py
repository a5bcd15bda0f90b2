"""Windows made once and varied when drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.features import FrontEnd, log_mel, log_mel_db
from training.augment import AugmentSettings
from training.cache import WaveCache
from training.cli import main
from training.data import BatchMaker, LoaderSettings, SamplingSettings
from training.errors import TrainingError
from training.pool import (
    FRAME_NUMBERS,
    HEARD_NUMBERS,
    OPINIONS,
    PoolLoader,
    PoolSettings,
    build_pool,
    from_16_bits,
    make_chunk,
    raw_front_end,
    refilter,
    to_16_bits,
    vary,
    weighted_places,
)
from training.protocols import Trial

FRONT_END = FrontEnd(
    n_fft=512, win_length=512, frame_hop=320, n_bands=20, center=False, normalisation="mean"
)
POOL = PoolSettings(windows=256, window_s=1.5, seed=5, noise=0.0, equaliser=0.0, low_pass=0.0)


@pytest.fixture
def maker(tmp_path):
    import soundfile

    rng = np.random.default_rng(0)
    trials = []
    for index, label in enumerate(("bonafide", "spoof") * 3):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, rng.normal(0, 0.1, 40000).astype(np.float32), 16000)
        generator = "g" if label == "spoof" else ""
        trials.append(
            Trial(str(index), path, label=label, source=f"s{index}", generator=generator)
        )
    waves = WaveCache(tmp_path / "waves")
    waves.add(trials)
    return BatchMaker(
        seed=1, trials=trials, waves=waves, front_end=FRONT_END,
        loader=LoaderSettings(batch_size=8, window_s=1.0, windows_per_epoch=64),
        sampling=SamplingSettings(), augmentation=AugmentSettings.off(),
    )


def loader_of(
    folder, seed=1, loader=None, settings=POOL, front_end=FRONT_END,
    augmentation=AugmentSettings.off(), teacher=None,
):
    loader = loader or LoaderSettings(batch_size=8, window_s=1.0, windows_per_epoch=64)
    return PoolLoader([folder], front_end, loader, settings, augmentation, 0.5, seed, teacher)


def test_batches_hold_both_classes_in_equal_parts_and_the_loaders_frames(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    batches = list(loader_of(tmp_path / "pool").epoch(0))
    assert len(batches) == 8
    for features, wanted in batches:
        assert features.shape == (8, FRONT_END.frame_count(16000), 20, 1)
        assert wanted.sum() == 4


def test_an_epoch_is_the_same_whenever_it_is_asked_for_and_the_next_differs(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    loader = loader_of(tmp_path / "pool")
    first = [features for features, _ in loader.epoch(0)]
    again = [features for features, _ in loader.epoch(0)]
    other = [features for features, _ in loader.epoch(1)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], other[0])


def test_a_window_drawn_whole_and_unvaried_has_the_devices_features(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    whole = LoaderSettings(batch_size=8, window_s=1.5, windows_per_epoch=8)
    features, _ = next(loader_of(tmp_path / "pool", loader=whole).epoch(0))
    trial = maker.trials[0]
    assert features.dtype == np.float32
    made = maker.waves.read(trial.id, 0, 24000)
    assert log_mel(made, FRONT_END).shape == features.shape[1:3]
    np.testing.assert_allclose(features.mean(axis=(1, 2, 3)), 0, atol=0.05)


def test_an_interrupted_build_goes_on_and_ends_the_same(tmp_path, maker):
    build_pool(tmp_path / "a", maker, POOL, 0)
    build_pool(tmp_path / "b", maker, POOL, 0)
    (tmp_path / "b" / "00001.targets.npy").unlink()
    build_pool(tmp_path / "b", maker, POOL, 0)
    for path in sorted((tmp_path / "a").glob("*.npy")):
        assert np.array_equal(np.load(path), np.load(tmp_path / "b" / path.name))


def test_a_pool_of_other_settings_is_refused(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    with pytest.raises(TrainingError, match="other settings"):
        build_pool(tmp_path / "pool", maker, PoolSettings(windows=256, window_s=2.0, seed=5), 0)
    with pytest.raises(TrainingError, match="another front end"):
        loader_of(tmp_path / "pool", front_end=FrontEnd())


def test_a_pool_made_before_a_step_of_augmentation_existed_is_taken_while_that_is_off(
    tmp_path, maker
):
    folder = tmp_path / "pool"
    build_pool(folder, maker, POOL, 0)
    description = json.loads((folder / "pool.json").read_text())
    for name in ("pitch", "pitch_semitones", "stretch", "stretch_range"):
        del description["augmentation"][name]
    (folder / "pool.json").write_text(json.dumps(description))
    shifted = replace(maker, augmentation=replace(AugmentSettings.off(), pitch=0.5))
    with pytest.raises(TrainingError, match="other settings"):
        build_pool(folder, shifted, POOL, 0)
    build_pool(folder, maker, POOL, 0)


def test_a_missing_pool_is_named(tmp_path):
    with pytest.raises(TrainingError, match="holds no pool"):
        loader_of(tmp_path / "nowhere")


def test_noise_fills_the_quiet_and_leaves_the_loud():
    decibels = np.full((50, 20), -90, np.float32)
    decibels[10] = 0
    settings = PoolSettings(noise=1.0, noise_below_db=(40, 40), equaliser=0, low_pass=0)
    noisy = vary(decibels, settings, np.random.default_rng(1))
    np.testing.assert_allclose(noisy[10], 0, atol=1.0)
    assert noisy[20].mean() > -75
    assert decibels[20].max() == -90


def test_chunks_do_not_depend_on_what_was_made_before(maker):
    second = make_chunk(maker, 1)
    make_chunk(maker, 0)
    again = make_chunk(maker, 1)
    assert np.array_equal(second.features, again.features)


def test_a_pool_that_keeps_audio_holds_what_its_features_were_made_of(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    build_pool(tmp_path / "pool", maker, replace(POOL, keep_audio=True), 0)
    audio = np.load(tmp_path / "pool" / "00000.audio.npy")
    features = np.load(tmp_path / "pool" / "00000.features.npy")
    assert audio.shape == (128, 24000) and audio.dtype == np.int16
    made = log_mel_db(from_16_bits(audio[5]), raw_front_end(FRONT_END)).astype(np.float16)
    np.testing.assert_array_equal(features[5], made)


def test_what_is_louder_than_full_scale_is_clipped_not_wrapped_round():
    samples = np.array([-2.0, -1.0, 0.0, 0.5, 1.5], np.float32)
    np.testing.assert_allclose(from_16_bits(to_16_bits(samples)), [-1, -1, 0, 0.5, 1], atol=2e-5)


def test_a_teachers_opinion_takes_its_share_of_the_target(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    for path in (tmp_path / "pool").glob("*.targets.npy"):
        unsure = np.full_like(np.load(path), 0.4)
        np.save(path.with_name(path.name.replace("targets", "taught")), unsure)
    settings = replace(POOL, taught_share=0.5)
    _, wanted = next(loader_of(tmp_path / "pool", settings=settings).epoch(0))
    np.testing.assert_allclose(np.unique(wanted), [0.2, 0.7], atol=1e-6)
    assert (wanted > 0.5).sum() == 4


def test_a_pool_that_no_teacher_has_heard_says_how_one_does(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    with pytest.raises(TrainingError, match="earwitness-train teach"):
        loader_of(tmp_path / "pool", settings=replace(POOL, taught_share=0.5))


def test_what_whisper_hears_in_a_crop_follows_its_target(tmp_path, maker, monkeypatch):
    monkeypatch.setattr("training.pool.HEARD_STEP", 1)
    build_pool(tmp_path / "pool", maker, POOL, 0)
    rng = np.random.default_rng(3)
    for path in sorted((tmp_path / "pool").glob("*.targets.npy")):
        labels = np.load(path)
        # Of each window its label, at each frame its place in the window, and noise.
        frames = rng.normal(0, 1, (len(labels), 18, FRAME_NUMBERS)).astype(np.float16)
        frames[..., 0] = labels[:, None]
        frames[..., 1] += 50 * np.arange(18)
        np.save(path.with_name(path.name.replace("targets", "frames")), frames)
        features = np.load(path.with_name(path.name.replace("targets", "features")))
        features[..., 0] = np.arange(features.shape[1])
        np.save(path.with_name(path.name.replace("targets", "features")), features)
    settings = replace(POOL, heard_weight=1.0)
    front_end = replace(FRONT_END, normalisation="none", top_db=None)
    loader = loader_of(tmp_path / "pool", settings=settings, front_end=front_end)
    batches = list(loader.epoch(0))
    features = np.concatenate([batch for batch, _ in batches])[..., 0]
    wanted = np.concatenate([wanted for _, wanted in batches])
    # 49 frames of features of 20 ms are 12 of 80 ms.
    assert features.shape[1] == 49
    assert wanted.shape == (64, 1 + 12 * FRAME_NUMBERS) and wanted.dtype == np.float32
    heard = wanted[:, 1:].reshape(64, 12, FRAME_NUMBERS)
    np.testing.assert_array_equal(np.sign(heard[:, 0, 0]), np.sign(wanted[:, 0] - 0.5))
    begins = features[:, 0, 0]
    assert set(begins) == {0, 4, 8, 12, 16, 20, 24}
    # What comes with the place alone is not told: 50 per frame is gone, the noise is left.
    assert abs(heard[..., 1].mean()) < 0.1 and heard[..., 1].std() == pytest.approx(1, abs=0.2)
    assert heard[..., 2:].std() == pytest.approx(1, abs=0.1)
    assert heard[..., 2:].mean() == pytest.approx(0, abs=0.05)


def test_what_a_teacher_thinks_of_a_window_follows_its_target(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    for path in (tmp_path / "pool").glob("*.targets.npy"):
        labels = np.load(path)
        heard = np.full((len(labels), HEARD_NUMBERS), 3.0, np.float16)
        heard[:, 0] = 100 + labels
        np.save(path.with_name(path.name.replace("targets", "heard")), heard)

    def teacher(heard):
        return heard[:, :OPINIONS].astype(np.float32)

    settings = replace(POOL, opinion_weight=1.0, teacher="a teacher")
    loader = loader_of(tmp_path / "pool", settings=settings, teacher=teacher)
    wanted = np.concatenate([wanted for _, wanted in loader.epoch(0)])
    assert wanted.shape == (64, 1 + OPINIONS) and wanted.dtype == np.float32
    np.testing.assert_array_equal(np.sign(wanted[:, 1]), np.sign(wanted[:, 0] - 0.5))
    assert wanted[:, 1].std() == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(wanted[:, 2:], 0, atol=1e-3)


def test_a_pool_that_whisper_has_not_heard_says_how_it_does(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    with pytest.raises(TrainingError, match="earwitness-train hear"):
        loader_of(tmp_path / "pool", settings=replace(POOL, heard_weight=1.0))


def test_batches_are_mixed_in_style_or_by_masks_where_so_set(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, POOL, 0)
    plain, wanted = next(loader_of(tmp_path / "pool").epoch(0))
    styled, same = next(
        loader_of(
            tmp_path / "pool", augmentation=replace(AugmentSettings.off(), mix_style=1.0)
        ).epoch(0)
    )
    assert styled.shape == plain.shape and np.abs(styled - plain).max() > 0
    np.testing.assert_array_equal(same, wanted)
    _, soft = next(
        loader_of(
            tmp_path / "pool", augmentation=replace(AugmentSettings.off(), spec_mix=1.0)
        ).epoch(0)
    )
    assert ((soft > 0) & (soft < 1)).any()


def test_places_are_drawn_as_often_as_their_weights_say(rng):
    side = np.array([3, 5, 8])
    drawn = weighted_places(side, np.array([1.0, 2.0, 0.5]), 700, rng)
    assert [np.count_nonzero(drawn == place) for place in side] == [200, 400, 100]
    assert len(set(np.diff(np.flatnonzero(drawn == 8)))) > 1  # in no order
    few = weighted_places(side, np.array([1.0, 1.0, 0.0]), 1, rng)
    assert few.shape == (1,) and few[0] in (3, 5)


def test_a_pool_tells_whose_its_windows_are_and_draws_them_evenly_if_so_set(tmp_path, maker):
    sources = ["mixed", "mixed", "human", "mixed", "mixed", "spoofs"]
    trials = [replace(trial, source=source) for trial, source in zip(maker.trials, sources)]
    build_pool(tmp_path / "pool", replace(maker, trials=trials), POOL, 0)
    even = replace(POOL, even_sources=True)
    plain, evened = (
        np.concatenate([x for x, _ in loader_of(tmp_path / "pool", settings=chosen).epoch(0)])
        for chosen in (POOL, even)
    )
    assert plain.shape == evened.shape and not np.array_equal(plain, evened)
    stored = np.load(tmp_path / "pool" / "00000.sources.npy")
    labels = np.load(tmp_path / "pool" / "00000.targets.npy") > 0.5
    assert set(stored[labels]) <= {"mixed", "spoofs"} and set(stored[~labels]) <= {"mixed", "human"}
    (tmp_path / "pool" / "00001.sources.npy").unlink()
    with pytest.raises(TrainingError, match="does not tell whose"):
        loader_of(tmp_path / "pool", settings=even)
    loader_of(tmp_path / "pool")


def test_a_pool_through_another_front_end_holds_the_same_windows(tmp_path, maker):
    heard = replace(POOL, keep_audio=True)
    build_pool(tmp_path / "pool", maker, heard, 0)
    refilter(tmp_path / "same", tmp_path / "pool", FRONT_END)
    for path in sorted((tmp_path / "same").glob("*.npy")):
        assert np.array_equal(np.load(path), np.load(tmp_path / "pool" / path.name))
    other = replace(FRONT_END, n_bands=12, frame_hop=160)
    refilter(tmp_path / "other", tmp_path / "pool", other)
    loader = LoaderSettings(batch_size=8, window_s=1.5, windows_per_epoch=64)
    with loader_of(tmp_path / "other", loader=loader, front_end=other) as drawn:
        features, _ = next(drawn.epoch(0))
    kept = sorted((tmp_path / "pool").glob("*.audio.npy"))
    audio = from_16_bits(np.concatenate([np.load(path) for path in kept]))
    wanted = np.stack([log_mel(window, other) for window in audio])
    # Half precision of decibels that lie around -40 rounds to a 64th.
    gaps = np.abs(features[0, :, :, 0] - wanted).max((1, 2))
    assert gaps.min() < 0.05


def test_a_pool_through_another_front_end_goes_on_and_needs_audio(tmp_path, maker):
    build_pool(tmp_path / "deaf", maker, POOL, 0)
    with pytest.raises(TrainingError, match="deaf holds no audio"):
        refilter(tmp_path / "other", tmp_path / "deaf", FRONT_END)
    assert not (tmp_path / "other").exists()
    with pytest.raises(TrainingError, match="nowhere holds no pool"):
        refilter(tmp_path / "other", tmp_path / "nowhere", FRONT_END)
    build_pool(tmp_path / "pool", maker, replace(POOL, keep_audio=True), 0)
    refilter(tmp_path / "other", tmp_path / "pool", FRONT_END)
    made = {path: path.read_bytes() for path in (tmp_path / "other").glob("*.npy")}
    kept = (tmp_path / "other" / "00000.features.npy").stat().st_mtime_ns
    for path in made:
        if path.name.startswith("00001"):
            path.unlink()
    # The pool may be older than a step of the augmentation, which is then off.
    for folder in ("pool", "other"):
        description = json.loads((tmp_path / folder / "pool.json").read_text())
        del description["augmentation"]["pitch"]
        (tmp_path / folder / "pool.json").write_text(json.dumps(description))
    refilter(tmp_path / "other", tmp_path / "pool", FRONT_END)
    refilter(tmp_path / "other", tmp_path / "pool", FRONT_END)
    assert {path: path.read_bytes() for path in (tmp_path / "other").glob("*.npy")} == made
    assert (tmp_path / "other" / "00000.features.npy").stat().st_mtime_ns == kept
    with pytest.raises(TrainingError, match="other settings"):
        refilter(tmp_path / "other", tmp_path / "pool", replace(FRONT_END, n_bands=12))


def test_the_command_takes_only_the_front_end_of_its_settings(tmp_path, maker):
    build_pool(tmp_path / "pool", maker, replace(POOL, keep_audio=True), 0)
    words = ["pool", str(tmp_path / "new"), "--audio-of", str(tmp_path / "pool")]
    assert main([*words, "--set", "front_end.n_bands=12", "--set", "pool.seed=9"]) == 0
    made = json.loads((tmp_path / "new" / "pool.json").read_text())
    assert (made["front_end"]["n_bands"], made["seed"]) == (12, 5)
    assert np.load(tmp_path / "new" / "00001.features.npy").shape[2] == 12
