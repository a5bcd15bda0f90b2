"""What the computing costs: log-Mel, hops, inference; against yardsticks run in the same minute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import scipy.fft
import soundfile

from edge.audio.block import AudioBlock
from edge.benchmark import graph
from edge.benchmark.measure import RECORDINGS
from edge.bundle import ModelBundle
from edge.detector import Detector, DetectorSettings
from edge.features import (
    Float32,
    FrontEnd,
    LogMelStream,
    finish,
    log_mel,
    log_mel_db,
    window_features,
)
from edge.inference import Scorer, open_scorer
from perf.timing import median_ms, ratio, take_turns

WINDOW_SAMPLES = 80000
BLOCK_SAMPLES = 800
GEMM_SIZE = 768
BASELINE = FrontEnd()


def speech() -> Float32:
    """The bundled recording of a person."""
    samples: Float32 = soundfile.read(RECORDINGS / "human.flac", dtype="float32")[0]
    return samples


def librosa_log_mel(samples: Float32, front_end: FrontEnd) -> Callable[[], object]:
    """The field's usual way, with the same settings."""
    import librosa

    def compute() -> object:
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
        return librosa.power_to_db(power, top_db=front_end.top_db)

    return compute


def bare_fft(samples: Float32, front_end: FrontEnd) -> Callable[[], object]:
    """The floor: one batched FFT of the window's frames, already cut and laid out."""
    span = np.pad(samples, front_end.n_fft // 2) if front_end.center else samples
    frames = np.lib.stride_tricks.sliding_window_view(span, front_end.n_fft)
    laid_out = np.ascontiguousarray(frames[:: front_end.frame_hop])
    return lambda: scipy.fft.rfft(laid_out, axis=1)


def log_mel_figures(front_end: FrontEnd) -> dict[str, float]:
    """Log-Mel of a window, and of the newest second of one, against librosa and the floor.

    The second is rounded down to whole frame hops, without which no frame is shared.
    """
    samples = speech()[:WINDOW_SAMPLES]
    slid_samples = front_end.sample_rate_hz // front_end.frame_hop * front_end.frame_hop
    stream = LogMelStream(front_end)
    stream.window_db(samples, 0)
    times = take_turns(
        {
            "librosa": librosa_log_mel(samples, front_end),
            "floor": bare_fft(samples, front_end),
            "whole": lambda: log_mel(samples, front_end),
            "new": lambda: finish(stream.window_db(samples, slid_samples), front_end),
        }
    )
    return {
        **{f"{name}_ms": median_ms(times, name) for name in times},
        "whole_over_librosa": ratio(times, "whole", "librosa"),
        "new_over_librosa": ratio(times, "new", "librosa"),
        "whole_over_floor": ratio(times, "whole", "floor"),
    }


def hops(detector: Detector) -> Iterator[None]:
    """Feed a detector for ever; each step is one hop's worth of blocks, as a microphone's."""
    audio = speech()
    position = 0
    cursor = 0
    wanted = detector.settings.window_samples
    while True:
        end = position + wanted
        while position < end:
            if cursor + BLOCK_SAMPLES > len(audio):
                cursor = 0
            size = min(BLOCK_SAMPLES, end - position)
            detector.accept(AudioBlock(audio[cursor : cursor + size], position))
            position += size
            cursor += size
        wanted = detector.settings.hop_samples
        yield


def hop_figures(bundle: ModelBundle) -> dict[str, Any]:
    """One hop of the daemon's work, and its inference, against librosa and the GEMM rate."""
    scorer = open_scorer(bundle)
    settings = DetectorSettings.of(bundle.manifest)
    steps = hops(Detector(settings, scorer.score))
    samples = speech()[:WINDOW_SAMPLES]
    features = window_features(samples, bundle.manifest.front_end)
    cues = settings.front_end.cue_stream()
    decibels = log_mel_db(samples, settings.front_end)
    matrix = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    product = np.empty_like(matrix)
    times = take_turns(
        {
            "librosa": librosa_log_mel(samples, BASELINE),
            "hop": lambda: next(steps),
            "inference": lambda: scorer.score(features),
            "cues": lambda: cues.numbers(samples, decibels, settings.hop_samples),
            "gemm": lambda: np.matmul(matrix, matrix, out=product),
        }
    )
    macs = network_macs(scorer)
    gemm_macs_per_ms = [GEMM_SIZE**3 / ms for ms in times["gemm"]]
    shares = {"share": [macs / ms for ms in times["inference"]], "of": gemm_macs_per_ms}
    nodes = graph.operations(scorer.describe()[0])
    found = graph.delegation(nodes)
    return {
        "variant": bundle.variant,
        "name": f"{bundle.manifest.name} {bundle.manifest.version}",
        "bytes": len(bundle.model),
        "macs": macs,
        "operations": found.operations,
        "delegated": found.delegated,
        "partitions": found.partitions,
        "left": list(dict.fromkeys(found.left)),
        "librosa_ms": median_ms(times, "librosa"),
        "hop_ms": median_ms(times, "hop"),
        "inference_ms": median_ms(times, "inference"),
        "cues_ms": median_ms(times, "cues"),
        "hop_over_librosa": ratio(times, "hop", "librosa"),
        "gemm_gflops": 2 * GEMM_SIZE**3 / median_ms(times, "gemm") / 1e6,
        "inference_gflops": 2 * macs / median_ms(times, "inference") / 1e6,
        "gemm_share": ratio(shares, "share", "of"),
    }


def network_macs(scorer: Scorer) -> int:
    """Multiply-accumulates per window."""
    details, shapes = scorer.describe()
    return graph.macs(graph.operations(details), shapes)


def bundles(folder: Path) -> list[ModelBundle]:
    """The bundle once for each of its variants."""
    first = ModelBundle.load(folder)
    return [ModelBundle.load(folder, variant) for variant in sorted(first.manifest.variants)]
