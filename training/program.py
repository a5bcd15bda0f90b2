"""What every command of training and conversion does around its work: errors in a sentence."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable

from edge.errors import EdgeError
from edge.terminal import discard_output

FAILED = 1
INTERRUPTED = 130  # 128 and SIGINT, as shells have it


def run_program(name: str, work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Do the work of a command, and say in one sentence what ended it if something did.

    Args:
        name: the program's, with which the sentence begins.
        work: returns an exit status.
        interrupted: what is said after Ctrl-C.

    Returns:
        The exit status: the work's; 1 after a mistake or what the system refuses; 130 after
        Ctrl-C; 0 where whoever read the output went away.
    """
    # Said before TensorFlow is imported: its greetings are not for the person who trains.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    try:
        status = work()
        sys.stdout.flush()
    except EdgeError as error:
        return _failed(name, str(error))
    except BrokenPipeError:
        discard_output()
        return 0
    except OSError as error:
        # One that the system did not give a reason for is a fault of ours: its traceback is wanted.
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        return _failed(name, f"{where}{error.strerror}.")
    except KeyboardInterrupt:
        print(f"{name}: {interrupted}", file=sys.stderr)
        return INTERRUPTED
    return status


def _failed(name: str, reason: str) -> int:
    print(f"{name}: {reason}", file=sys.stderr)
    return FAILED


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
