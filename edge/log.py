"""What is told on standard error: one line per event."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TextIO

from edge.alerts.sink import Record

LOGGER = logging.getLogger("earwitness")

# Events that are good news, besides all that end in "-recovered"; the others are warnings.
GOOD_NEWS = frozenset(
    (
        "opened",
        "recovered",
        "input-ok",
        "started",
        "reloaded",
        "model",
        "model-changed",
        "clip-kept",
    )
)
# Priorities that the journal reads off the start of a line (sd-daemon(3)).
_JOURNAL_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3}


class JournalFormatter(logging.Formatter):
    """The journal knows the time already, and takes the priority from a prefix."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return f"<{_JOURNAL_PRIORITIES.get(record.levelname, 5)}>{super().format(record)}"


def start_logging(level: str, stream: TextIO, environment: Mapping[str, str]) -> None:
    """Tell what weighs at least `level` ("info" ...) on a stream; may be called again."""
    handler = logging.StreamHandler(stream)
    if environment.get("JOURNAL_STREAM") and not stream.isatty():
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(level.upper())


class LogSink:
    """Tells alerts and events, for whoever reads the log and not the records."""

    name = "log"

    def emit(self, record: Record) -> None:
        """Take one record; windows are not told."""
        if record["type"] == "alert":
            LOGGER.warning("alert %s: %s", record["state"], record["message"])
        elif record["type"] == "event":
            kind = record["kind"]
            good = kind in GOOD_NEWS or kind.endswith("-recovered")
            level = logging.INFO if good else logging.WARNING
            LOGGER.log(level, "%s: %s: %s", record["source"], kind, record["message"])

    def close(self, timeout_s: float) -> None:
        """Nothing waits here."""


def same_place(one: int, other: int) -> bool:
    """Do two descriptors lead to the same file, terminal or socket?"""
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False
