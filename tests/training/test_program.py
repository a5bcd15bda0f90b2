from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edge.errors import ConfigError
from training.program import run_program


def ended_by(error: BaseException) -> int:
    def work() -> int:
        raise error

    return run_program("earwitness-train", work, interrupted="interrupted; go on")


def test_the_status_of_the_work_is_that_of_the_program() -> None:
    assert run_program("earwitness-train", lambda: 3) == 3


@pytest.mark.parametrize(
    "error, status, said",
    [
        (ConfigError("no such setting"), 1, "earwitness-train: no such setting\n"),
        (KeyboardInterrupt(), 130, "earwitness-train: interrupted; go on\n"),
        (PermissionError(13, "Permission denied", "/runs"), 1,
         "earwitness-train: /runs: Permission denied.\n"),
        (OSError(28, "No space left on device"), 1, "earwitness-train: No space left on device.\n"),
    ],
)  # fmt: skip
def test_what_ends_the_work_is_one_sentence(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_by(error) == status
    assert capsys.readouterr().err == said


def test_what_is_nobodys_mistake_keeps_its_traceback() -> None:
    with pytest.raises(OSError, match="no file"):
        ended_by(OSError("no file"))
    with pytest.raises(ZeroDivisionError):
        ended_by(ZeroDivisionError())


def test_a_warning_is_one_sentence_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def work() -> int:
        warnings.warn("three clips are left out", stacklevel=1)
        return 0

    assert run_program("earwitness-train", work) == 0
    assert capsys.readouterr().err == "warning: three clips are left out\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = (
        "import sys; from training.program import run_program; "
        "sys.exit(run_program('x', lambda: print('line\\n' * 100_000) or 0))"
    )
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        piped = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -n 1', sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert (piped.returncode, piped.stdout) == (0, "line\n")
    assert errors.read_text() == ""
