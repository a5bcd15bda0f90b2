"""`earwitness run`: listen and tell, window by window."""

from __future__ import annotations

import argparse
import os
import queue
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.audio.settings import SourceSettings
from edge.config import CONFIG_VARIABLE, Config, default_path, load
from edge.listening import listen

if TYPE_CHECKING:
    from edge.alerts.sink import Record
    from edge.audio.block import SourceEvent

TEXT, JSONL = "text", "jsonl"
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration (default: ${CONFIG_VARIABLE})"
    )
    parser.add_argument("--model", metavar="BUNDLE", help="folder of a model bundle")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="mic, mic:NAME, a file, a URL, or - for raw 16 kHz 16-bit mono PCM from a pipe",
    )
    parser.add_argument("--pace", action="store_true", help="play a file at its own speed")
    parser.add_argument(
        "--format",
        choices=(TEXT, JSONL),
        help="of standard output (default: text on a terminal, else jsonl)",
    )


def main(args: argparse.Namespace) -> int:
    """Listen until the sources end or a signal comes; the exit status."""
    told: queue.SimpleQueue[Record | SourceEvent] = queue.SimpleQueue()
    config = configured(args, os.environ)
    listening = listen(config.sources, told.put)
    # A capture takes its time to open, so what judges is imported and loaded meanwhile.
    from edge.service import Service

    service = Service(
        config,
        lambda: configured(args, os.environ),
        listening,
        told,
        args.format or (TEXT if sys.stdout.isatty() else JSONL),
        os.environ,
    )
    with service.signals():
        service.run()
    return INTERRUPTED if service.interrupted else 0


def configured(args: argparse.Namespace, environment: Mapping[str, str]) -> Config:
    """The configuration with what the command line says on top.

    Raises:
        ConfigError: something in it is wrong.
    """
    path = args.config or default_path(environment)
    config = load(path, environment)
    if path is None:
        # Somebody sits before it: a microphone that is not there is told at once, not waited for.
        config = replace(config, sources=tuple(map(_impatient, config.sources)))
    if args.source is not None:
        config = replace(config, sources=(source_named(args.source, args.pace),))
    if args.model is not None:
        config = replace(config, model=replace(config.model, bundle=args.model))
    return config


def _impatient(source: SourceSettings) -> SourceSettings:
    return replace(source, must_open=True)


def source_named(text: str, pace: bool) -> SourceSettings:
    """What `--source` means."""
    if text == "-":
        return SourceSettings(name="stdin", kind="stdin")
    if text == "mic" or text.startswith("mic:"):
        return SourceSettings(device=text[4:] or None, must_open=True)
    if "://" in text:
        return SourceSettings(name="stream", kind="url", url=text, must_open=True)
    return SourceSettings(name=Path(text).name, kind="file", path=text, pace=pace)
