"""Any rate to the model's, as a stream. The only module that imports soxr."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.audio.block import SAMPLE_RATE_HZ

Float32 = NDArray[np.float32]

# -131 dB of aliasing at 0.14 ms per second of audio; "VHQ" only costs more.
QUALITY = "HQ"


class Resampler:
    """One contiguous stretch of mono audio, brought to SAMPLE_RATE_HZ.

    Output sample i is the input at i * rate_hz / SAMPLE_RATE_HZ: soxr's delay shows only in how
    late samples come out, never in where they lie.
    """

    def __init__(self, rate_hz: int) -> None:
        self._stream = None
        if rate_hz != SAMPLE_RATE_HZ:
            import soxr

            self._stream = soxr.ResampleStream(
                rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality=QUALITY
            )

    def accept(self, samples: Float32) -> Float32:
        """Take samples, shape (n,); return those that are ready, shape (m,), m >= 0."""
        if self._stream is None:
            return samples
        ready: Float32 = self._stream.resample_chunk(samples)
        return ready

    def finish(self) -> Float32:
        """What is still inside, shape (m,). Nothing may be accepted after it."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest: Float32 = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest
