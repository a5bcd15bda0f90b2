"""What the processor can do, where that decides how to compute."""

from __future__ import annotations

from pathlib import Path

# What Linux calls the instructions: on x86 two of them, on ARM one.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def lacks_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor says what it can do, and bfloat16 is not among it.

    Args:
        cpuinfo: as Linux writes it; without it nothing is known, so nothing is lacking.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    able = {
        word
        for line in lines
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    return bool(able) and not able & BFLOAT16_FLAGS
