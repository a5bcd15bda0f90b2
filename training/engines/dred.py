"""DRED, the neural codec in Opus (Valin et al., ICASSP 2023): about 1 kbit/s, heard through FARGAN.

A variational autoencoder packs the last second of speech into every packet of Opus, for the case
that the packets before were lost. Here nearly all are: of what is heard a twenty-fifth or less has
not been through it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.engines import Float32, Resynthesise, Rng
from training.engines.opus import processed, programs
from training.engines.programs import answer

# With fewer bits for a packet there is none left for the second before it.
BITRATE, LOSS_PERCENT = 64000, 60
FRAMES_10_MS = 100
# Of 20 ms each, one of which arrives.
PACKETS = (25, 40)
SAMPLES_OF_PACKETS = 320


def load() -> Resynthesise:
    """Ready to code and decode.

    Raises:
        EngineMissing: opus_demo was not built.
    """
    versions = programs("opus_demo")

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        opus = str(rng.choice(versions))
        every = int(rng.integers(*PACKETS, endpoint=True))
        # What follows the last packet that arrives is never heard.
        padded = np.pad(samples, (0, every * SAMPLES_OF_PACKETS))
        packets = len(padded) // SAMPLES_OF_PACKETS + 1

        def copy(pcm: Path, made: Path) -> None:
            losses = pcm.with_name("losses")
            losses.write_text("".join(f"{int(index % every > 0)}\n" for index in range(packets)))
            coding = f"voip 16000 1 {BITRATE} -framesize 20 -dred {FRAMES_10_MS}".split()
            losing = ["-loss", str(LOSS_PERCENT), "-lossfile", str(losses)]
            answer([opus, *coding, *losing, str(pcm), str(made)], "")

        return processed(padded, copy)[: len(samples)]

    return resynthesise
