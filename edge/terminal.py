"""What the terminal in front of the user can show, and a progress bar for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import TextIO, TypeVar

from edge.report import Style, bar

T = TypeVar("T")


def is_terminal(stream: TextIO) -> bool:
    """Does a person look at this stream?"""
    return stream.isatty()


def style_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Style:
    """Colours on a terminal (unless NO_COLOR or TERM=dumb), block characters where UTF-8 goes."""
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    encoding = (getattr(stream, "encoding", "") or "").lower().replace("-", "")
    return Style(colour=is_terminal(stream) and not plain, blocks=encoding == "utf8")


def with_progress(items: Collection[T], stream: TextIO) -> Iterator[T]:
    """Go through items; where the stream is a terminal, show how far it is on its last line."""
    if not is_terminal(stream) or len(items) < 2:
        yield from items
        return
    blocks = style_of(stream).blocks
    try:
        for done, item in enumerate(items):
            _show(stream, f"{bar(done / len(items), blocks)} {done}/{len(items)}  {item}")
            yield item
    finally:
        _show(stream, "")


def discard_output() -> None:
    """Let nothing more reach the standard output, whose reader has seen enough and left.

    Otherwise Python complains once more at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def clear_line(stream: TextIO) -> None:
    """Take the progress bar away before other text is written to the same terminal."""
    if is_terminal(stream):
        _show(stream, "")


def _show(stream: TextIO, text: str) -> None:
    width = shutil.get_terminal_size().columns
    stream.write(f"\r\x1b[K{text[: width - 1]}")
    stream.flush()
