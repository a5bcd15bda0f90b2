from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from training.augment import (
    FIR_HZ,
    FIR_TAPS,
    WSOLA_FRAME_SAMPLES,
    AugmentSettings,
    a_law,
    add_noise,
    apply_firs,
    augment,
    band_stop,
    change_speed,
    coloured_noise,
    condition,
    convolutive_noise,
    convolve,
    fir_of_gain,
    freq_mix_style,
    from_direct_sound,
    impulsive_noise,
    low_pass,
    mu_law,
    quantise,
    rms,
    samples_needed,
    shift_pitch,
    soft_clip,
    spec_augment,
    spec_average,
    spec_mix,
    stationary_noise,
    stretch_time,
    synthetic_rir,
    telephone,
    to_peak,
    trial_rng,
    trim_edges,
)
from training.protocols import CONDITIONS

RATE_HZ = 16000
PROBABILITIES = [
    f.name
    for f in fields(AugmentSettings)
    if isinstance(f.default, float) and not f.name.endswith(("_range", "_share", "_db"))
]
ON_FEATURES = ("spec_average", "spec_augment", "spec_mix", "mix_style")
ON_SAMPLES = [name for name in PROBABILITIES if name not in ON_FEATURES]


@pytest.fixture
def speech(rng: np.random.Generator) -> np.ndarray:
    """Bursts of a tone over faint noise, silence at both ends; 2 s."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    wave = 0.4 * np.sin(2 * np.pi * 220 * time_s) * (np.sin(2 * np.pi * 2 * time_s) > 0)
    wave[: RATE_HZ // 4] = 0
    wave[-RATE_HZ // 4 :] = 0
    return (wave + 1e-4 * rng.standard_normal(len(wave))).astype(np.float32)


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE_HZ / len(samples))


def snr_db(signal: np.ndarray, mixed: np.ndarray) -> float:
    return 20 * np.log10(rms(signal) / rms(mixed - signal))


def test_everything_off_changes_nothing(speech: np.ndarray, rng: np.random.Generator) -> None:
    np.testing.assert_array_equal(augment(speech, AugmentSettings.off(), rng), speech)


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_each_step_alone_changes_the_voice_and_keeps_it_finite(
    name: str, speech: np.ndarray, rng: np.random.Generator
) -> None:
    before = speech.copy()
    changed = augment(speech, replace(AugmentSettings.off(), **{name: 1.0}), rng)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert len(changed) > RATE_HZ
    assert len(changed) != len(speech) or not np.array_equal(changed, speech)
    np.testing.assert_array_equal(speech, before)


def test_the_same_rng_gives_the_same_passage(speech: np.ndarray) -> None:
    everything = AugmentSettings(**dict.fromkeys(ON_SAMPLES, 0.5))
    passages = [augment(speech, everything, np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*passages)
    other = augment(speech, everything, np.random.default_rng(6))
    assert len(other) != len(passages[0]) or not np.array_equal(other, passages[0])


@given(st.integers(1, 400), st.integers(0, 10_000))
def test_any_clip_survives_any_passage(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clip = (rng.random(length * 40, np.float32) - 0.5) * (seed % 3)
    settings = AugmentSettings(**{**dict.fromkeys(ON_SAMPLES, 0.5), "slow_codec": 0.0})
    out = augment(clip, settings, rng)
    assert len(out) >= 1 and np.isfinite(out).all() and out.dtype == np.float32


def test_steps_that_came_later_draw_nothing_while_they_are_off(speech: np.ndarray) -> None:
    rng, expected = np.random.default_rng(3), np.random.default_rng(3)
    augment(speech, AugmentSettings.off(), rng)
    expected.random(len(ON_SAMPLES) - len(("pitch", "stretch")))
    assert rng.random() == expected.random()
    assert AugmentSettings().pitch == AugmentSettings().stretch == 0


@pytest.mark.parametrize("seed", range(4))
def test_pitch_and_stretch_change_no_more_than_their_ranges(seed: int) -> None:
    tone = np.sin(2 * np.pi * 400 * np.arange(3 * RATE_HZ) / RATE_HZ).astype(np.float32)
    rng = np.random.default_rng(seed)
    thirds = replace(AugmentSettings.off(), pitch=1.0, pitch_semitones=(3.0, 4.0))
    shifted = augment(tone, thirds, rng)
    assert 400 * 2 ** (2.9 / 12) < pitch_hz(shifted) < 400 * 2 ** (4.1 / 12)
    assert len(shifted) == pytest.approx(len(tone), rel=0.03)
    slower_or_faster = replace(AugmentSettings.off(), stretch=1.0, stretch_range=0.25)
    stretched = augment(tone, slower_or_faster, rng)
    assert len(tone) / 1.25 - WSOLA_FRAME_SAMPLES <= len(stretched) <= len(tone) * 1.25
    assert pitch_hz(stretched) == pytest.approx(400, abs=3)


@given(st.integers(1, 20_000), st.integers(0, 10_000))
def test_the_samples_needed_are_enough(wanted: int, seed: int) -> None:
    settings = replace(
        AugmentSettings.off(), pitch=0.5, stretch=0.5, pitch_semitones=(-12, 12), stretch_range=1.0
    )
    given_samples = np.ones(samples_needed(wanted, settings), np.float32)
    assert len(augment(given_samples, settings, np.random.default_rng(seed))) >= wanted
    assert samples_needed(wanted, AugmentSettings.off()) == wanted


@given(st.integers(1, 4000), st.floats(0.5, 2.0))
def test_any_clip_can_be_stretched(length: int, factor: float) -> None:
    stretched = stretch_time(np.ones(length, np.float32), factor)
    assert len(stretched) >= 1 and np.isfinite(stretched).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": 1.5},
        {"noise_snr_db": (20.0, 5.0)},
        {"pitch": -0.1},
        {"pitch_semitones": (2.0, -2.0)},
        {"pitch_semitones": (-13.0, 0.0)},
        {"stretch": 2.0},
        {"stretch_range": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentSettings(**wrong)  # type: ignore[arg-type]


def test_recorded_noise_and_rooms_are_used_when_given(
    speech: np.ndarray, rng: np.random.Generator
) -> None:
    only = replace(AugmentSettings.off(), noise=1.0, room=1.0, recorded_room_share=1.0)
    asked: list[str] = []

    def noises(rng: np.random.Generator, count: int) -> np.ndarray:
        asked.append("noise")
        return np.ones(count // 3, np.float32)

    def rirs(rng: np.random.Generator, count: int) -> np.ndarray:
        asked.append("rir")
        return np.array([0, 1, 0.5], np.float32)

    augment(speech, only, rng, noises, rirs)
    assert sorted(asked) == ["noise", "rir"]


@given(st.integers(1, 9000), st.integers(1, 6000), st.integers(0, 99))
def test_block_convolution_is_convolution(length: int, taps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(length, np.float32)
    fir = rng.standard_normal(taps, np.float32)
    expected = scipy.signal.fftconvolve(samples.astype(float), fir.astype(float))[:length]
    np.testing.assert_allclose(convolve(samples, fir), expected, atol=2e-3)


def test_filters_in_a_row_are_those_filters_one_after_the_other(speech: np.ndarray) -> None:
    firs = [low_pass(3500.0), np.array([1, 0, 0, 0.5], np.float32)]
    at_once = apply_firs(speech, firs)
    one_by_one = convolve(convolve(speech, firs[0]), firs[1])
    one_by_one *= rms(speech) / rms(one_by_one)
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-4)
    assert rms(at_once) == pytest.approx(rms(speech), rel=1e-3)


def test_a_fir_has_the_gain_asked_for_and_does_not_delay() -> None:
    wanted = 0.2 + np.exp(-(((FIR_HZ - 2000) / 1500) ** 2))
    fir = fir_of_gain(wanted)
    np.testing.assert_allclose(np.abs(np.fft.rfft(fir)), wanted, rtol=0.02)
    energy = np.cumsum(fir**2)
    assert energy[20] > 0.95 * energy[-1]
    assert fir.shape == (FIR_TAPS,)


def test_a_low_pass_removes_what_lies_above_it(rng: np.random.Generator) -> None:
    noise = rng.standard_normal(4 * RATE_HZ).astype(np.float32)
    power = np.abs(np.fft.rfft(apply_firs(noise, [low_pass(4000.0)]))) ** 2
    kept, lost = power[: 4 * 3800].mean(), power[4 * 4700 :].mean()
    assert lost < 1e-5 * kept


def test_a_band_stop_is_scipys_firwin() -> None:
    expected = scipy.signal.firwin(51, [900, 1700], window="hamming", fs=RATE_HZ)
    np.testing.assert_allclose(band_stop(900, 1700, 51), expected, atol=1e-12)


def test_noise_comes_at_the_ratio_asked_for(speech: np.ndarray, rng: np.random.Generator) -> None:
    for wanted in (0.0, 15.0, 30.0):
        mixed = add_noise(speech, coloured_noise(rng, len(speech)), wanted)
        assert snr_db(speech, mixed) == pytest.approx(wanted, abs=0.1)
    np.testing.assert_array_equal(add_noise(speech, np.zeros(10, np.float32), 0.0), speech)


def test_coloured_noise_falls_with_frequency_or_is_white() -> None:
    slopes = []
    for seed in range(12):
        noise = coloured_noise(np.random.default_rng(seed), 8 * RATE_HZ)
        power = np.abs(np.fft.rfft(noise)) ** 2
        low, high = power[8 * 400 : 8 * 600].mean(), power[8 * 3200 : 8 * 4800].mean()
        slopes.append(np.log2(high / low) / 3)
    assert min(slopes) > -2.3 and max(slopes) < 0.2
    assert max(slopes) - min(slopes) > 0.8


def test_a_synthetic_room_decays_and_begins_with_the_direct_sound(rng: np.random.Generator) -> None:
    for _ in range(20):
        rir = synthetic_rir(rng)
        assert rir[0] == 1 and len(rir) <= RATE_HZ // 2
        quarter = len(rir) // 4
        assert np.sum(rir[1:quarter] ** 2) > 5 * np.sum(rir[-quarter:] ** 2)


def test_a_room_does_not_delay_the_voice() -> None:
    rir = np.zeros(1000, np.float32)
    rir[300], rir[500] = -0.9, 0.3
    np.testing.assert_allclose(from_direct_sound(rir)[[0, 200]], [-0.9, 0.3])


def test_edge_silence_is_cut_and_the_voice_is_not(speech: np.ndarray) -> None:
    trimmed = trim_edges(speech, 45.0)
    assert len(speech) - len(trimmed) >= 0.45 * RATE_HZ
    assert np.sum(trimmed**2) > 0.999 * np.sum(speech**2) - 1e-3
    silence = np.zeros(1000, np.float32)
    assert len(trim_edges(silence, 45.0)) == 1000


def test_speed_moves_tempo_and_pitch_together() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(2 * RATE_HZ) / RATE_HZ).astype(np.float32)
    fast = change_speed(tone, 1.1)
    assert len(fast) == pytest.approx(len(tone) / 1.1, rel=0.01)
    assert pitch_hz(fast) == pytest.approx(220, abs=1)


@pytest.mark.parametrize("factor", [0.85, 1.2])
def test_stretching_moves_tempo_alone_and_shifting_pitch_alone(factor: float) -> None:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 200 * time_s).astype(np.float32)
    stretched = stretch_time(tone, factor)
    assert len(stretched) == pytest.approx(len(tone) / factor, rel=0.03)
    assert pitch_hz(stretched) == pytest.approx(200, abs=2)
    shifted = shift_pitch(tone, factor)
    assert len(shifted) == pytest.approx(len(tone), rel=0.03)
    assert pitch_hz(shifted) == pytest.approx(200 * factor, abs=3)


def test_quantising_leaves_an_error_of_a_step(rng: np.random.Generator) -> None:
    ramp = np.linspace(-0.9, 0.9, 5000, dtype=np.float32)
    coarse = quantise(ramp, 8, rng)
    assert np.abs(coarse - ramp).max() <= 1.5 / 128 + 1e-6
    assert len(np.unique(coarse)) < 256


@pytest.mark.parametrize("law", [mu_law, a_law])
def test_companding_keeps_the_ratio_of_signal_to_noise_at_every_level(law: object) -> None:
    sine = np.sin(np.arange(4000) / 7).astype(np.float32)
    ratios = [snr_db(sine * level, law(sine * level)) for level in (0.9, 0.3, 0.05)]  # type: ignore[operator]
    assert min(ratios) > 28
    assert max(ratios) - min(ratios) < 10


def test_soft_clipping_keeps_small_signals_and_flattens_peaks() -> None:
    wave = np.sin(np.arange(1000) / 10).astype(np.float32)
    clipped = soft_clip(wave, 2.0)
    assert np.abs(clipped).max() < 0.6
    assert clipped[1] == pytest.approx(wave[1], rel=0.05)


def test_the_level_is_the_peak_asked_for(speech: np.ndarray) -> None:
    assert np.abs(to_peak(speech, -20.0)).max() == pytest.approx(0.1)
    assert to_peak(np.zeros(4, np.float32), -3.0).tolist() == [0, 0, 0, 0]


def test_the_telephone_has_its_band(rng: np.random.Generator) -> None:
    noise = (0.1 * rng.standard_normal(4 * RATE_HZ)).astype(np.float32)
    power = np.abs(np.fft.rfft(telephone(noise, "none"))) ** 2
    band = power[4 * 400 : 4 * 3300].mean()
    assert power[4 * 50 : 4 * 200].mean() < 1e-3 * band
    assert power[4 * 4500 :].mean() < 1e-3 * band


@pytest.mark.parametrize("rawboost", [convolutive_noise, impulsive_noise, stationary_noise])
def test_rawboost_keeps_length_and_scale(
    rawboost: object, speech: np.ndarray, rng: np.random.Generator
) -> None:
    changed = rawboost(speech, rng)  # type: ignore[operator]
    assert changed.shape == speech.shape and changed.dtype == np.float32
    assert 0.3 < rms(changed) / rms(speech) < 3
    assert not np.allclose(changed, speech, atol=1e-4)


def test_spec_average_masks_one_band_with_the_mean_of_the_utterance() -> None:
    features = np.random.default_rng(0).normal(-40, 10, (50, 60)).astype(np.float32)
    widths = []
    for seed in range(300):
        masked = spec_average(features, np.random.default_rng(seed))
        bands = np.flatnonzero((masked != features).any(axis=0))
        widths.append(len(bands))
        if len(bands):
            assert np.array_equal(bands, np.arange(bands[0], bands[-1] + 1))
            assert (masked[:, bands] == features.mean()).all()
    # "Up to 12 of 60", none included, all widths alike.
    assert min(widths) == 0 and max(widths) == 12
    assert np.mean(widths) == pytest.approx(6, abs=0.8)


def test_spec_average_scales_its_mask_with_the_bands() -> None:
    features = np.random.default_rng(0).normal(size=(10, 80)).astype(np.float32)
    masks = [spec_average(features, np.random.default_rng(s)) != features for s in range(200)]
    assert max(mask.any(axis=0).sum() for mask in masks) == 16


def test_spec_augment_masks_bands_and_frames(rng: np.random.Generator) -> None:
    features = np.ones((100, 40), np.float32)
    masked = np.stack([spec_augment(features, rng, fill=0.0) for _ in range(50)]) == 0
    assert masked.all(axis=1).any() and masked.all(axis=2).any()
    assert masked.mean() < 0.6


def test_spec_mix_mixes_targets_by_area(rng: np.random.Generator) -> None:
    features = np.stack([np.full((50, 40), float(i), np.float32) for i in range(8)])
    labels = np.array([0, 1] * 4, np.float32)
    mixed, targets = spec_mix(features, labels, rng, 1.0)
    for index in range(8):
        foreign = mixed[index] != index
        partner = int(mixed[index][foreign][0]) if foreign.any() else index
        share = foreign.mean()
        expected = (1 - share) * labels[index] + share * labels[partner]
        assert targets[index] == pytest.approx(expected, abs=1e-5)
    unmixed, same = spec_mix(features, labels, rng, 0.0)
    np.testing.assert_array_equal(unmixed, features)
    np.testing.assert_array_equal(same, labels)


def test_mix_style_moves_the_bands_statistics_towards_another_recordings(
    rng: np.random.Generator,
) -> None:
    features = rng.normal(0, 1, (2, 400, 12)).astype(np.float32)
    features[1] = features[1] * 3 + np.linspace(-20, 20, 12, dtype=np.float32)
    between = np.stack([freq_mix_style(features, rng, 1.0) for _ in range(60)])
    means, spreads = between.mean(axis=2), between.std(axis=2)
    old_means, old_spreads = features.mean(axis=1), features.std(axis=1)
    for now, old in ((means, old_means), (spreads, old_spreads)):
        low, high = old.min(axis=0) - 1e-3, old.max(axis=0) + 1e-3
        assert (now >= low).all() and (now <= high).all()
    assert (np.abs(means - old_means) > 1).any()
    # What changes over time within a band stays what it was.
    shape = (between - means[:, :, None]) / spreads[:, :, None]
    old_shape = (features - old_means[:, None]) / old_spreads[:, None]
    np.testing.assert_allclose(shape, np.broadcast_to(old_shape, shape.shape), atol=2e-2)
    np.testing.assert_allclose(freq_mix_style(features, rng, 0.0), features, atol=1e-4)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_the_same_for_a_trial_every_time(name: str, speech: np.ndarray) -> None:
    first, again, other = (
        condition(speech, name, trial_rng(trial, name)) for trial in ("a", "a", "b")
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape == speech.shape and np.isfinite(first).all()
    if name == "clean":
        np.testing.assert_array_equal(first, speech)
    elif name != "codec":  # two codecs: two trials may well share one
        assert not np.array_equal(first, other)


def test_the_replay_has_its_noise(speech: np.ndarray) -> None:
    played = condition(speech, "replay", trial_rng("x", "replay"))
    quiet = rms(played[: RATE_HZ // 5])  # silence in the original
    assert -32 < 20 * np.log10(quiet / rms(played)) < -5


def test_an_unknown_condition_is_refused(speech: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        condition(speech, "underwater", rng)
