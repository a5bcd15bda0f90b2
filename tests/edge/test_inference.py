"""Networks are run as they were made, and refused when they are no detectors."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import ModelBundle
from edge.errors import BundleError, EdgeError
from edge.features import log_mel
from edge.inference import (
    GoldenResult,
    Scorer,
    _dequantise,
    _quantise,
    check_golden,
    load_runtime,
    open_scorer,
)
from tests.bundles import (
    ALWAYS_SPOOF_LOGIT,
    FRONT_END,
    RATE_HZ,
    list_files,
    load_tiny,
    network,
    tiny_bundle,
    tiny_logit,
    voice,
    whisper,
)

FRAMES, BANDS = 247, 80
INT8 = {"dtype": np.int8, "quantization": (0.5, 10)}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(network())


def test_a_network_says_what_it_takes(scorer):
    assert (scorer.frames, scorer.bands) == (FRAMES, BANDS)
    assert scorer.output_step == 0.0


@pytest.mark.parametrize("clip", [voice(5.0), whisper(5.0)], ids=["voice", "whisper"])
def test_a_float_network_scores_what_it_computes(scorer, clip):
    features = log_mel(clip, FRONT_END)
    assert scorer.score(features) == pytest.approx(tiny_logit(features), abs=1e-4)


@pytest.mark.parametrize("clip", [voice(5.0), whisper(5.0)], ids=["voice", "whisper"])
def test_an_int8_network_scores_within_its_own_steps(clip):
    quantised = Scorer(network("tiny", "int8"))
    features = log_mel(clip, FRONT_END)
    assert 0 < quantised.output_step < 0.1
    assert quantised.score(features) == pytest.approx(
        tiny_logit(features), abs=3 * quantised.output_step
    )


def test_louder_than_an_int8_network_can_hold_is_the_loudest_it_can_hold():
    quantised = Scorer(network("tiny", "int8"))
    tilt = np.repeat(np.linspace(-1, 1, BANDS, dtype=np.float32)[None], FRAMES, axis=0)
    assert quantised.score(tilt * 1e6) == quantised.score(tilt * 1e5) > 0
    assert quantised.score(tilt * -1e6) == quantised.score(tilt * -1e5) < 0


def test_scores_do_not_depend_on_the_windows_before(scorer):
    features = log_mel(voice(5.0), FRONT_END)
    first = scorer.score(features)
    scorer.score(log_mel(whisper(5.0), FRONT_END))
    assert scorer.score(features) == first


@pytest.mark.parametrize("shape", [(246, 80), (247, 40), (247, 80, 1), (1, 247, 80, 1), (80, 247)])
def test_features_of_another_shape_are_refused(scorer, shape):
    with pytest.raises(ValueError, match=r"takes features of \(247, 80\)"):
        scorer.score(np.zeros(shape, np.float32))


def test_a_network_that_computes_no_number_says_so():
    assert np.isnan(Scorer(network("nan")).score(np.zeros((FRAMES, BANDS), np.float32)))


def test_quantisation_rounds_to_the_nearest_step_and_saturates():
    values = np.array([0, 0.2, 0.3, -0.2, -0.3, 58.4, 58.6, 1e30, -1e30], np.float32)
    got = _quantise(values, INT8)
    assert got.dtype == np.int8
    assert got.tolist() == [10, 10, 11, 10, 9, 127, 127, 127, -128]


@given(st.floats(-68, 58, width=32))
def test_a_number_within_range_survives_quantisation_to_half_a_step(value):
    quantised = _quantise(np.array([value], np.float32), INT8)[0]
    assert _dequantise(quantised, INT8) == pytest.approx(value, abs=0.25 + 1e-5)


def test_float_tensors_pass_as_they_are():
    detail = {"dtype": np.float32, "quantization": (0.0, 0)}
    values = np.array([1.25], np.float32)
    assert _quantise(values, detail) is values
    assert _dequantise(values[0], detail) == 1.25


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("two-scores", r"gives \(1, 2\), not a single score"),
        ("two-inputs", r"takes \(1, 247, 80, 1\) and \(1, 247, 80, 1\), not one input"),
        ("flat-input", r"takes \(1, 19760\), not one input of shape \(1, frames, bands, 1\)"),
    ],
)
def test_a_network_that_is_no_detector_is_refused(name, reason):
    with pytest.raises(BundleError, match=reason):
        Scorer(network(name))


@pytest.mark.parametrize("content", [b"", b"not a model", network()[:400]])
def test_bytes_that_are_no_network_are_refused_in_one_line(content):
    with pytest.raises(BundleError, match="cannot load the network") as caught:
        Scorer(content)
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_fit_its_bundle_is_refused_with_both_shapes(tmp_path):
    bundle = load_tiny(tmp_path / "b", model="wrong-shape")
    with pytest.raises(BundleError, match=r"247 frames of 80 bands, its network takes 247 of 40"):
        open_scorer(bundle)


def test_a_refused_network_is_named_with_its_bundle_and_variant(tmp_path):
    bundle = load_tiny(tmp_path / "b", model="two-scores")
    with pytest.raises(BundleError, match=r"/b, variant float32: The network gives"):
        open_scorer(bundle)


def test_a_runtime_is_found_and_named():
    runtime = load_runtime()
    assert runtime.name in ("ai-edge-litert", "tflite-runtime")
    assert runtime.version[0].isdigit()


def test_without_any_runtime_the_command_to_install_one_is_given(monkeypatch):
    monkeypatch.setattr("edge.inference.RUNTIMES", (("nowhere.at.all", "no-such-runtime"),))
    with pytest.raises(EdgeError, match="pip install ai-edge-litert"):
        load_runtime()


def test_a_runtime_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setattr("edge.inference.RUNTIMES", (("nowhere.at.all", "numpy"),))
    with pytest.raises(EdgeError, match="is installed but cannot be imported"):
        load_runtime()


def test_a_runtime_that_fails_is_not_taken_for_one_that_is_absent(tmp_path, monkeypatch):
    """Where memory is short, even the record of what is installed cannot be read."""
    (tmp_path / "broken_runtime.py").write_text("raise ImportError('failed to map segment')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("edge.inference.RUNTIMES", (("broken_runtime", "no-such-record"),))
    with pytest.raises(EdgeError, match="failed to map segment"):
        load_runtime()


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_the_golden_clip_scores_as_the_bundle_says(tmp_path, variant):
    bundle = load_tiny(tmp_path / "b", variants=(variant,))
    result = check_golden(bundle, open_scorer(bundle))
    assert result.passed
    assert result.expected == bundle.variant_entry.golden_logit


def test_a_network_that_always_says_spoof_passes_its_own_golden_clip_only(tmp_path):
    right = load_tiny(tmp_path / "right")
    wrong = load_tiny(tmp_path / "wrong", model="always-spoof")
    assert check_golden(wrong, open_scorer(wrong)).measured == ALWAYS_SPOOF_LOGIT
    assert not check_golden(right, open_scorer(wrong)).passed


def test_a_score_that_is_no_number_never_passes(tmp_path):
    bundle = load_tiny(tmp_path / "b", model="nan")
    assert not check_golden(bundle, open_scorer(bundle)).passed
    assert not GoldenResult(0.0, float("inf"), 1e308).passed


def wav(samples: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"RIFF....WAVE", "cannot be read"),
        (wav(voice(5.0), 8000), "sampled at 8000 Hz, the model needs 16000 Hz"),
        (wav(np.zeros((80000, 2), np.float32)), "not one channel of finite samples"),
        (wav(np.zeros(0, np.float32)), "not one channel of finite samples"),
        (wav(np.full(80000, np.nan, np.float32)), "not one channel of finite samples"),
    ],
    ids=["empty file", "torn file", "8 kHz", "stereo", "no samples", "NaN"],
)
def test_a_golden_clip_that_cannot_be_used_is_refused(tmp_path, content, reason):
    folder = tiny_bundle(tmp_path / "a")
    (folder / "golden.wav").write_bytes(content)
    files = list_files(folder)
    other = tiny_bundle(tmp_path / "b", files=files)
    (other / "golden.wav").write_bytes(content)
    bundle = ModelBundle.load(other)
    with pytest.raises(BundleError, match=reason):
        check_golden(bundle, open_scorer(bundle))


def test_the_golden_clip_is_scored_as_it_was_when_it_was_checked(tmp_path):
    bundle = load_tiny(tmp_path / "b")
    bundle.golden_path.unlink()
    assert check_golden(bundle, open_scorer(bundle)).passed


def in_a_process(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_a_network_is_opened_where_no_file_can_be_written(tmp_path):
    """As the proof of a new model does, or a service on a file system without free space."""
    folder = tiny_bundle(tmp_path / "b")
    done = in_a_process(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from edge.bundle import ModelBundle; from edge.inference import open_scorer\n"
        f"print(open_scorer(ModelBundle.load({str(folder)!r})).bands)"
    )
    assert (done.stdout, done.returncode) == ("80\n", 0), done.stderr


def test_opening_a_network_keeps_the_greeting_back_and_nothing_else():
    done = in_a_process(
        "import os\n"
        "from edge.inference import _without_greeting\n"
        "with _without_greeting():\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\nhelp\\n')\n"
        "os.write(2, b'after\\n')"
    )
    assert done.stderr == "help\nafter\n"
