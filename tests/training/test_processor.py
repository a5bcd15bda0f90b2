from __future__ import annotations

from pathlib import Path

import pytest

from training.processor import lacks_bfloat16


@pytest.mark.parametrize(
    ("cpuinfo", "lacks"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 fma\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd\n", True),
        ("something else\n", False),
        (None, False),
    ],
)
def test_a_processor_without_bfloat16_is_known_by_what_it_says(
    cpuinfo: str | None, lacks: bool, tmp_path: Path
) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert lacks_bfloat16(tmp_path / "cpuinfo") is lacks
