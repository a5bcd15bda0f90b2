"""One network on this device: the process that `earwitness benchmark` starts for each of them.

A fresh process, so that load time and memory are this network's own. It reads its task as JSON
from its arguments and writes JSON lines: how far it is, and in the end what it found.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from edge.benchmark import graph
from edge.benchmark.statistics import against_hop, summary, verdict
from edge.errors import AudioError, EdgeError

if TYPE_CHECKING:
    from edge.audio.block import AudioBlock
    from edge.bundle import ModelBundle
    from edge.detector import DetectorSettings
    from edge.features import Float32
    from edge.inference import Scorer

RECORDINGS = Path(__file__).parents[1] / "demo"
MICROPHONE_RATE_HZ = 48000
BLOCK_S = 0.05
WARM_UP_WINDOWS = 10
MIN_WINDOWS = 20
SECONDS_OF_EACH = 12
PROGRESS_EVERY_S = 0.2


@dataclass(frozen=True)
class Task:
    """What to measure.

    Attributes:
        bundle: folder of the bundle.
        variant: form of the network; None = the bundle's default.
        threads: threads that one inference may use.
        seconds: how long to measure, s.
        hop_s: time between windows; None = the bundle's.
    """

    bundle: str
    variant: str | None
    threads: int
    seconds: float
    hop_s: float | None


class Stopwatch:
    """Wall and CPU time of the stages of one hop after another, ms."""

    def __init__(self) -> None:
        self.wall_ms: dict[str, list[float]] = {}
        self.cpu_ms: dict[str, list[float]] = {}
        self._hop: dict[str, tuple[int, int]] = {}
        self._mark = (0, 0)

    def start(self) -> None:
        """A stage begins now."""
        self._mark = (time.perf_counter_ns(), time.process_time_ns())

    def lap(self, stage: str) -> None:
        """A stage ends now, and the next begins; what a stage took in one hop adds up."""
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        before = self._hop.get(stage, (0, 0))
        self._hop[stage] = (before[0] + wall - self._mark[0], before[1] + cpu - self._mark[1])
        self.start()

    def end_hop(self, keep: bool) -> None:
        """File the hop's times, or forget them."""
        if keep:
            for stage, (wall, cpu) in self._hop.items():
                self.wall_ms.setdefault(stage, []).append(wall / 1e6)
                self.cpu_ms.setdefault(stage, []).append(cpu / 1e6)
        self._hop = {}

    def figures(self) -> dict[str, Any]:
        """Summaries by stage."""
        return {
            stage: {"wall_ms": summary(values), "cpu_ms": summary(self.cpu_ms[stage])}
            for stage, values in self.wall_ms.items()
        }


class Microphone:
    """The bundled recordings as a microphone's endless 48 kHz packets, and the way back."""

    def __init__(self, recordings: Path = RECORDINGS) -> None:
        from edge.audio.framing import FrameDecoder, Stream, encode_stream
        from edge.audio.resample import Resampler

        self._packets = packets(recordings)
        self._decoder = FrameDecoder()
        self._decoder.feed(encode_stream(Stream(MICROPHONE_RATE_HZ, 1, "s16le", "benchmark")))
        self._resampler = Resampler(MICROPHONE_RATE_HZ)

    def blocks(self, stopwatch: Stopwatch) -> Iterator[AudioBlock]:
        """Captured and resampled audio, for ever; what each step takes goes to the stopwatch."""
        from edge.audio.block import AudioBlock
        from edge.audio.framing import Chunk
        from edge.audio.pcm import decode, to_mono

        position = 0
        while True:
            for packet in self._packets:
                stopwatch.start()
                for message in self._decoder.feed(packet):
                    assert isinstance(message, Chunk)
                    samples = to_mono(decode(message.pcm, "s16le", 1))
                stopwatch.lap("capture")
                samples = self._resampler.accept(samples)
                stopwatch.lap("resample")
                block = AudioBlock(samples, position)
                position = block.end
                yield block


def packets(folder: Path) -> list[bytes]:
    """The beginnings of the recordings as the capture process would send them.

    They are made piece by piece, because what is held at once here would count as the network's
    memory.
    """
    import soxr

    from edge.audio.framing import Chunk, encode_chunk

    block_samples = round(BLOCK_S * 16000)
    stream = soxr.ResampleStream(16000, MICROPHONE_RATE_HZ, 1, dtype="int16")
    made = []
    for recording in recordings(folder):
        for start in range(0, SECONDS_OF_EACH * 16000, block_samples):
            pcm = stream.resample_chunk(recording[start : start + block_samples])
            made.append(encode_chunk(Chunk(pcm.tobytes(), 0.0, False)))
    return made


def recordings(folder: Path = RECORDINGS) -> Iterator[Any]:
    """The bundled recordings, 16 kHz mono, int16.

    Raises:
        AudioError: there are none.
    """
    import soundfile

    paths = sorted(folder.glob("*.flac"))
    if not paths:
        raise AudioError(f"The bundled recordings are missing from {folder}; reinstall earwitness.")
    for path in paths:
        yield soundfile.read(path, frames=SECONDS_OF_EACH * 16000, dtype="int16")[0]


def measure(task: Task, tell: Callable[[float], None]) -> dict[str, Any]:
    """Load the network and run it hop by hop.

    Args:
        task: what to measure.
        tell: called with the share that is done, 0 to 1.

    Returns:
        One entry of `runs` in the JSON; see schema.json.

    Raises:
        EdgeError: the bundle or the recordings cannot be used.
    """
    started_s = time.perf_counter()
    from edge.bundle import ModelBundle
    from edge.inference import load_runtime, open_scorer

    runtime = load_runtime()
    imported_s = time.perf_counter()
    bundle = ModelBundle.load(task.bundle, task.variant)
    scorer = open_scorer(bundle, task.threads)
    loaded_s = time.perf_counter()
    settings = detector_settings(bundle, task.hop_s)
    first_inference_ms = first_inference(scorer)
    stopwatch, windows = run_hops(settings, scorer, task.seconds, tell)
    stages = stopwatch.figures()
    hop_s = settings.hop_samples / settings.front_end.sample_rate_hz
    figures = against_hop(stages, hop_s)
    entry = bundle.manifest.files[bundle.variant_entry.file]
    return {
        "model": {
            "name": bundle.manifest.name,
            "version": bundle.manifest.version,
            "variant": bundle.variant,
            "sha256": entry.sha256,
            "bytes": entry.bytes,
        },
        "runtime": {"name": runtime.name, "version": runtime.version},
        "graph": describe_graph(scorer),
        "threads": task.threads,
        "hop_s": hop_s,
        "window_s": settings.window_samples / settings.front_end.sample_rate_hz,
        "warm_up_windows": WARM_UP_WINDOWS,
        "windows": windows,
        "start": {
            "import_ms": (imported_s - started_s) * 1000,
            "load_ms": (loaded_s - imported_s) * 1000,
            "first_inference_ms": first_inference_ms,
        },
        "stages": stages,
        **figures,
        "peak_rss_mb": peak_rss_mb(),
        "verdict": verdict(figures, hop_s),
    }


def detector_settings(bundle: ModelBundle, hop_s: float | None) -> DetectorSettings:
    """The bundle's own settings, but for the hop.

    Raises:
        EdgeError: the hop does not fit the window.
    """
    from edge.detector import DetectorSettings

    try:
        return DetectorSettings.of(bundle.manifest, hop_s=hop_s)
    except ValueError as error:
        raise EdgeError(f"--hop {hop_s:g} cannot be used: {error}.") from None


def first_inference(scorer: Scorer) -> float:
    """Time of the first window's inference, ms: XNNPACK packs the weights in it."""
    import numpy as np

    features = np.zeros((scorer.frames, scorer.bands), np.float32)
    begin_s = time.perf_counter()
    scorer.score(features)
    return (time.perf_counter() - begin_s) * 1000


def run_hops(
    settings: DetectorSettings, scorer: Scorer, seconds: float, tell: Callable[[float], None]
) -> tuple[Stopwatch, int]:
    """Feed the detector until the time is up; only windows that reached the network count."""
    from edge.detector import Detector

    stopwatch = Stopwatch()

    def score(features: Float32) -> float:
        stopwatch.lap("log_mel")  # its last part, normalisation, is done only for what is scored
        logit = scorer.score(features)
        stopwatch.lap("inference")
        return logit

    def on_stage(stage: str) -> None:
        stopwatch.lap("accept" if stage == "start" else stage)

    detector = Detector(settings, score, on_stage)
    whole = Stopwatch()
    began_s = told_s = time.perf_counter()
    total = Stopwatch()
    total.start()
    blocks = Microphone().blocks(stopwatch)
    # The first window needs several hops of audio; it is part of the warm-up.
    windows = -WARM_UP_WINDOWS
    total.start()
    for block in blocks:
        stopwatch.start()
        results = detector.accept(block)
        stopwatch.lap("accept")
        if not results:
            continue
        total.lap("end_to_end")
        scored = len(results) == 1 and results[0].logit is not None
        stopwatch.end_hop(keep=scored and windows >= 0)
        total.end_hop(keep=scored and windows >= 0)
        windows += scored
        now_s = time.perf_counter()
        if windows == 0:
            began_s = now_s
        if windows >= MIN_WINDOWS and now_s - began_s >= seconds:
            break
        if now_s - told_s > PROGRESS_EVERY_S:
            told_s = now_s
            tell(min(1.0, (now_s - began_s) / seconds) if windows > 0 else 0.0)
        total.start()
    time_whole_log_mel(settings, whole)
    for part in (whole, total):
        stopwatch.wall_ms.update(part.wall_ms)
        stopwatch.cpu_ms.update(part.cpu_ms)
    return stopwatch, windows


def time_whole_log_mel(settings: DetectorSettings, stopwatch: Stopwatch) -> None:
    """Log-Mel of whole windows, as `score` computes the first of a file."""
    import numpy as np

    from edge.features import log_mel

    size, step = settings.model_samples, settings.hop_samples // 4
    for recording in recordings():
        audio = recording.astype(np.float32) / 32768
        for start in range(0, len(audio) - size + 1, step):
            stopwatch.start()
            log_mel(audio[start : start + size], settings.front_end)
            stopwatch.lap("log_mel_whole")
            stopwatch.end_hop(keep=start > 0)


def describe_graph(scorer: Scorer) -> dict[str, Any] | None:
    """Size and delegation of the network; None where the runtime does not tell."""
    details, shapes = scorer.describe()
    if not details:
        return None
    nodes = graph.operations(details)
    return {**asdict(graph.delegation(nodes)), "macs": graph.macs(nodes, shapes)}


def peak_rss_mb(status: Path = Path("/proc/self/status")) -> float | None:
    """Most memory that this process ever had resident, MB; None off Linux."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(sizes[0]) * 1024 / 1e6 if sizes else None


def main(argument: str) -> int:
    """Do the task; write JSON lines with `progress`, then `result` or `error`."""

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    try:
        result = measure(Task(**json.loads(argument)), lambda done: say({"progress": done}))
    except EdgeError as error:
        say({"error": str(error)})
        return 1
    say({"result": result})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
