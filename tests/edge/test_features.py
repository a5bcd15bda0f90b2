"""Log-Mel features: librosa's numbers, whole or sliding, from settings that are checked."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from edge.benchmark.measure import RECORDINGS
from edge.cues import CUES
from edge.features import (
    FrontEnd,
    LogMelStream,
    band_edges_hz,
    filterbank,
    finish,
    hz_to_mel,
    log_mel,
    log_mel_db,
    mel_to_hz,
    window_features,
)
from edge.modulation import NUMBERS, modulation

RATE_HZ = 16000
BASELINE = FrontEnd()
SHIPPED = FrontEnd(n_fft=1024, win_length=1024, frame_hop=320, n_bands=80, center=False)
SMALL = FrontEnd(n_fft=64, win_length=48, frame_hop=20, n_bands=8, top_db=None)
SMALL_CENTRED_ODD = dataclasses.replace(SMALL, frame_hop=24, n_fft=100, win_length=100)
SMALL_INSIDE = dataclasses.replace(SMALL, center=False)


def noise(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def clip(kind: str) -> np.ndarray:
    """Five seconds of one kind of sound."""
    if kind == "speech":
        return soundfile.read(RECORDINGS / "human.flac", frames=5 * RATE_HZ, dtype="float32")[0]
    t = np.arange(5 * RATE_HZ) / RATE_HZ
    sounds = {
        "noise": noise(len(t)),
        "faint": noise(len(t), level=1e-5),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * t),
        "chirp": 0.3 * np.sin(2 * np.pi * (100 + 700 * t) * t),
        "click": np.where(np.arange(len(t)) == 40000, 1.0, 0.0),
        "bursts": noise(len(t)) * (np.sin(2 * np.pi * 1.3 * t) > 0),
        "full scale": np.sign(np.sin(2 * np.pi * 100 * t)),
    }
    return sounds[kind].astype(np.float32)


def librosa_db(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The same front end by the field's reference."""
    librosa = pytest.importorskip("librosa")
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=front_end.sample_rate_hz,
        n_fft=front_end.n_fft,
        win_length=front_end.win_length,
        hop_length=front_end.frame_hop,
        n_mels=front_end.n_bands,
        fmin=front_end.fmin_hz,
        fmax=front_end.fmax_hz,
        center=front_end.center,
    )
    decibels = librosa.power_to_db(power, amin=front_end.power_floor, top_db=front_end.top_db)
    return decibels.T


@pytest.mark.parametrize("sound", ["speech", "noise", "faint", "chirp", "bursts", "full scale"])
@pytest.mark.parametrize(
    "front_end",
    [
        BASELINE,
        SHIPPED,
        dataclasses.replace(SHIPPED, win_length=400, fmin_hz=50.0, fmax_hz=7600.0),
        dataclasses.replace(SHIPPED, n_bands=60, center=True, top_db=70.0),
    ],
    ids=["baseline", "shipped", "short window", "centred"],
)
def test_numbers_are_librosas_to_a_thousandth_of_a_decibel(front_end, sound):
    samples = clip(sound)
    ours = log_mel(samples, front_end)
    theirs = librosa_db(samples, front_end)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-3


@pytest.mark.parametrize("sound", ["tone", "click"])
def test_pure_sounds_agree_with_librosa_above_the_rounding_of_float32(sound):
    # Sixty decibels below the loudest frame both sides compute the leakage of a pure sound,
    # which is rounding noise of single precision and differs between any two FFTs.
    samples = clip(sound)
    front_end = dataclasses.replace(SHIPPED, top_db=60.0)
    difference = log_mel(samples, front_end) - librosa_db(samples, front_end)
    assert np.abs(difference).max() < 1e-3


@pytest.mark.parametrize("n_bands", [16, 40, 64, 80, 128])
@pytest.mark.parametrize("n_fft", [512, 1024, 2048])
def test_filterbank_is_librosas(n_fft, n_bands):
    librosa = pytest.importorskip("librosa")
    front_end = FrontEnd(n_fft=n_fft, win_length=n_fft, n_bands=n_bands, fmin_hz=20, fmax_hz=7600)
    theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=n_fft, n_mels=n_bands, fmin=20, fmax=7600)
    np.testing.assert_allclose(filterbank(front_end), theirs, atol=1e-8, rtol=1e-5)


def test_mel_scale_has_slaneys_fixed_points():
    hz = np.array([0.0, 200 / 3, 1000.0, 6400.0])
    mel = np.array([0.0, 1.0, 15.0, 42.0])
    np.testing.assert_allclose(hz_to_mel(hz), mel, rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(mel), hz, rtol=1e-12)


def test_linear_filterbank_worked_by_hand():
    # Bins at 0, 1, 2, 3, 4 kHz; corners at 0, 1, 2, 3, 4 kHz: each band is one bin, of area 1
    # over a base of 2 kHz, hence of height 1/1000.
    front_end = FrontEnd(
        sample_rate_hz=8000, n_fft=8, win_length=8, n_bands=3, fmax_hz=4000, filterbank="linear"
    )
    np.testing.assert_allclose(band_edges_hz(front_end), [0, 1000, 2000, 3000, 4000])
    expected = np.array([[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]) / 1000
    np.testing.assert_allclose(filterbank(front_end), expected, atol=1e-12)


def test_one_frame_worked_by_hand():
    # A constant 1 under a Hann window of 8 has the spectrum 4, -2, 0, 0, 0, so powers 16, 4, 0;
    # the bands read bins 1, 2 and 3 with weight 1/1000.
    front_end = FrontEnd(
        sample_rate_hz=8000,
        n_fft=8,
        win_length=8,
        frame_hop=8,
        n_bands=3,
        fmax_hz=4000,
        filterbank="linear",
        center=False,
        power_floor=1e-6,
        top_db=None,
    )
    decibels = log_mel_db(np.ones(8, np.float32), front_end)
    np.testing.assert_allclose(decibels, [[10 * np.log10(0.004), -60, -60]], atol=1e-4)


def test_digital_silence_lies_on_the_floor():
    for front_end in (BASELINE, SHIPPED):
        features = log_mel(np.zeros(5 * RATE_HZ, np.float32), front_end)
        np.testing.assert_allclose(features, -100, atol=1e-4)


def test_loud_and_quiet_copies_differ_by_their_level_alone():
    front_end = dataclasses.replace(SHIPPED, power_floor=1e-20, top_db=None)
    difference = log_mel(2 * clip("noise"), front_end) - log_mel(clip("noise"), front_end)
    np.testing.assert_allclose(difference, 20 * np.log10(2), atol=1e-3)


def test_samples_of_every_second_position_are_read_as_given():
    samples = noise(4 * RATE_HZ)
    strided = samples[::2]
    np.testing.assert_array_equal(log_mel(strided, SHIPPED), log_mel(strided.copy(), SHIPPED))


@pytest.mark.parametrize(
    ("front_end", "samples", "frames"),
    [
        (BASELINE, 80000, 157),
        (SHIPPED, 80000, 247),
        (SHIPPED, 1024, 1),
        (SHIPPED, 1023, 0),
        (SHIPPED, 1024 + 319, 1),
        (SHIPPED, 1024 + 320, 2),
        (BASELINE, 1, 1),
    ],
)
def test_frame_count_is_what_log_mel_gives(front_end, samples, frames):
    assert front_end.frame_count(samples) == frames
    if frames:
        assert log_mel(noise(samples), front_end).shape == (frames, front_end.n_bands)


# Sliding


@given(
    front_end=st.sampled_from([SMALL, SMALL_INSIDE, SMALL_CENTRED_ODD]),
    window=st.integers(100, 900),
    slides=st.lists(st.integers(0, 1000), max_size=6),
    on_grid=st.booleans(),
)
@example(front_end=SMALL, window=400, slides=[20, 20, 400, 0, 20], on_grid=False)
def test_a_sliding_window_gives_the_numbers_of_the_whole_window(front_end, window, slides, on_grid):
    stream = LogMelStream(front_end)
    samples = noise(window + 7000, seed=window)
    start = 0
    for slid in [0, *slides]:
        slid = slid // front_end.frame_hop * front_end.frame_hop if on_grid else slid
        start += slid
        piece = samples[start : start + window]
        whole = log_mel_db(piece, front_end)
        sliding = stream.window_db(piece, slid)
        assert sliding.shape == whole.shape
        assert np.abs(sliding - whole).max() < 1e-4


@pytest.mark.parametrize("front_end", [SHIPPED, dataclasses.replace(BASELINE, frame_hop=500)])
def test_a_minute_of_one_second_hops_stays_equal_to_whole_windows(front_end):
    stream = LogMelStream(front_end)
    samples = noise(60 * RATE_HZ, level=0.05) * np.sin(np.arange(60 * RATE_HZ) / 9000, dtype="f4")
    for second in range(56):
        window = samples[second * RATE_HZ : (second + 5) * RATE_HZ]
        sliding = finish(stream.window_db(window, RATE_HZ), front_end)
        assert np.abs(sliding - log_mel(window, front_end)).max() < 1e-4


def test_frames_of_the_last_window_are_not_computed_again():
    stream = LogMelStream(SHIPPED)
    samples = noise(6 * RATE_HZ)
    stream.window_db(samples[: 5 * RATE_HZ], 0)
    expected = log_mel_db(samples[RATE_HZ:], SHIPPED)
    spoiled = samples[RATE_HZ:].copy()
    first_new_frame = SHIPPED.frame_count(5 * RATE_HZ) - RATE_HZ // SHIPPED.frame_hop
    spoiled[: first_new_frame * SHIPPED.frame_hop] = np.nan  # whoever reads it again shows it
    np.testing.assert_allclose(stream.window_db(spoiled, RATE_HZ), expected, atol=1e-4)


def test_after_a_reset_nothing_of_the_old_audio_remains():
    stream = LogMelStream(SHIPPED)
    stream.window_db(noise(5 * RATE_HZ, seed=1), 0)
    stream.reset()
    fresh = noise(5 * RATE_HZ, seed=2)
    np.testing.assert_array_equal(stream.window_db(fresh, RATE_HZ), log_mel_db(fresh, SHIPPED))


def test_the_audio_is_left_as_it_was():
    samples = noise(5 * RATE_HZ)
    before = samples.copy()
    samples.setflags(write=False)
    log_mel(samples, SHIPPED)
    LogMelStream(BASELINE).window_db(samples, 0)
    np.testing.assert_array_equal(samples, before)


# What depends on the whole window


def test_top_db_lifts_what_is_too_far_below_the_loudest():
    decibels = np.array([[0, -50], [-79, -120]], np.float32)
    np.testing.assert_array_equal(finish(decibels, BASELINE), [[0, -50], [-79, -80]])
    unlimited = dataclasses.replace(BASELINE, top_db=None)
    np.testing.assert_array_equal(finish(decibels, unlimited), decibels)


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        ("none", [[1, 2], [3, 6]]),
        ("mean", [[-2, -1], [0, 3]]),
        ("mean-variance", np.array([[-2, -1], [0, 3]]) / np.sqrt(3.5)),
        ("band-mean", [[-1, -2], [1, 2]]),
    ],
)
def test_normalisation_worked_by_hand(normalisation, expected):
    decibels = np.array([[1, 2], [3, 6]], np.float32)
    front_end = dataclasses.replace(BASELINE, normalisation=normalisation)
    finished = finish(decibels, front_end)
    assert finished.dtype == np.float32
    np.testing.assert_allclose(finished, expected, rtol=1e-6)
    np.testing.assert_array_equal(decibels, [[1, 2], [3, 6]])


def test_silence_survives_every_normalisation():
    for normalisation in ("mean", "mean-variance", "band-mean"):
        front_end = dataclasses.replace(SHIPPED, normalisation=normalisation)
        features = log_mel(np.zeros(5 * RATE_HZ, np.float32), front_end)
        np.testing.assert_allclose(features, 0, atol=1e-3)


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n_fft", 0),
        ("n_fft", 1024.0),
        ("frame_hop", True),
        ("n_bands", -1),
        ("n_bands", 10**15),
        ("n_fft", 10**15),
        ("sample_rate_hz", "16000"),
        ("win_length", 4096),
        ("fmin_hz", -1.0),
        ("fmin_hz", 8000.0),
        ("fmax_hz", 8001.0),
        ("fmax_hz", float("nan")),
        ("filterbank", "htk"),
        ("normalisation", "zscore"),
        ("power_floor", 0.0),
        ("top_db", 0.0),
    ],
)
def test_bad_settings_are_refused_by_name(setting, value):
    with pytest.raises(ValueError, match=setting):
        dataclasses.replace(BASELINE, **{setting: value})


def test_settings_travel_through_json_unchanged():
    for front_end in (BASELINE, SHIPPED, dataclasses.replace(SHIPPED, top_db=None)):
        assert FrontEnd.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end


@pytest.mark.parametrize("change", [{"n_fftt": 512}, {"n_fft": None}])
def test_unknown_and_missing_settings_are_refused(change):
    document = BASELINE.to_dict()
    for name, value in change.items():
        document[name] = value
        if value is None:
            del document[name]
    with pytest.raises(ValueError, match="n_fft"):
        FrontEnd.from_dict(document)


def test_a_cue_of_another_version_is_named():
    with pytest.raises(ValueError, match="unknown to this version or missing: periodicity"):
        FrontEnd.from_dict({**SHIPPED.to_dict(), "periodicity": True})


HEARD = dataclasses.replace(SHIPPED, modulation=True)
ALL = SHIPPED.with_cues(CUES)


def test_cues_come_in_rows_after_the_frames():
    samples = noise(5 * RATE_HZ)
    features = window_features(samples, HEARD)
    frames = HEARD.frame_count(len(samples))
    assert features.shape == (HEARD.row_count(len(samples)), HEARD.n_bands)
    assert features.dtype == np.float32 and len(features) > frames
    np.testing.assert_array_equal(features[:frames], log_mel(samples, SHIPPED))
    rest = features[frames:].reshape(-1)
    np.testing.assert_array_equal(rest[:NUMBERS], modulation(samples))
    assert not rest[NUMBERS:].any()


def test_rows_hold_all_numbers_however_few_the_bands_are():
    front_end = dataclasses.replace(HEARD, n_bands=40)
    assert front_end.cue_rows == -(-NUMBERS // 40) > 1
    features = window_features(noise(5 * RATE_HZ), front_end)
    np.testing.assert_array_equal(
        features[-front_end.cue_rows :].reshape(-1)[:NUMBERS], modulation(noise(5 * RATE_HZ))
    )


def test_cues_follow_each_other():
    samples = noise(5 * RATE_HZ)
    rest = window_features(samples, ALL)[ALL.frame_count(len(samples)) :].reshape(-1)
    alone = [window_features(samples, SHIPPED.with_cues([cue])) for cue in CUES]
    frames = SHIPPED.frame_count(len(samples))
    told = [rows[frames:].reshape(-1)[: cue.count] for rows, cue in zip(alone, CUES)]
    np.testing.assert_array_equal(rest[: sum(map(len, told))], np.concatenate(told))
    assert not rest[sum(map(len, told)) :].any()


def test_without_cues_the_features_are_log_mel_alone():
    samples = noise(5 * RATE_HZ)
    np.testing.assert_array_equal(window_features(samples, SHIPPED), log_mel(samples, SHIPPED))
    assert SHIPPED.row_count(len(samples)) == SHIPPED.frame_count(len(samples))


def test_a_front_end_from_before_there_was_a_cue_is_the_same_as_then():
    settings = SHIPPED.to_dict()
    assert not {cue.name for cue in CUES} & set(settings)
    assert FrontEnd.from_dict(settings) == SHIPPED
    assert FrontEnd.from_dict({**settings, **{cue.name: False for cue in CUES}}) == SHIPPED
    assert ALL.with_cues(()) == SHIPPED
    # That of the bundle 0.10.0.
    held = FrontEnd(
        n_fft=512,
        win_length=400,
        frame_hop=160,
        n_bands=160,
        filterbank="linear",
        center=False,
        normalisation="mean",
    )
    known = "4b2157ea0a11e208db62e50f02ead6a55111e5c139ed48f833eea60407bd36e0"
    assert held.fingerprint() == known


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_has_a_fingerprint_of_its_own_and_its_own_rate(cue):
    heard = SHIPPED.with_cues([cue])
    assert heard.cues == (cue,)
    assert len({one.fingerprint() for one in (heard, SHIPPED, ALL)}) == 3
    assert FrontEnd.from_dict(heard.to_dict()) == heard
    with pytest.raises(ValueError, match=f"{cue.name} is measured at 16000"):
        dataclasses.replace(heard, sample_rate_hz=8000, fmax_hz=4000.0)


@pytest.mark.parametrize("hop", [1, 39, 321])
def test_frames_at_distances_that_a_cue_is_not_for_are_refused(hop):
    with pytest.raises(ValueError, match=f"frame_hop is {hop}; with cepstral_modulation .* 320"):
        dataclasses.replace(ALL, frame_hop=hop)


def test_fingerprints_differ_exactly_when_settings_do():
    assert FrontEnd().fingerprint() == BASELINE.fingerprint()
    assert dataclasses.replace(BASELINE, frame_hop=511).fingerprint() != BASELINE.fingerprint()


# Audio that is none


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(80000),
        np.zeros(80000, np.int16),
        np.zeros((2, 80000), np.float32),
        np.zeros(1023, np.float32),
        np.zeros(0, np.float32),
    ],
    ids=["float64", "int16", "stereo", "less than a frame", "empty"],
)
def test_audio_of_the_wrong_kind_is_refused(samples):
    with pytest.raises(ValueError, match="samples"):
        log_mel(samples, SHIPPED)


def test_the_module_needs_neither_librosa_nor_scipy_signal():
    program = (
        "import sys, edge.features; "
        "print([m for m in ('scipy.signal', 'librosa', 'tensorflow') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
