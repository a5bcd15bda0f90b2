"""`earwitness score`: the verdict on recordings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edge.audio.block import SAMPLE_RATE_HZ
from edge.audio.files import FileSource
from edge.bundle import ModelBundle
from edge.config import Config, default_path, load
from edge.detector import judge_recording
from edge.errors import AudioError, EdgeError
from edge.judges import bundle_path, open_judge
from edge.report import Record, Style, json_line, recording_record, recording_text
from edge.terminal import clear_line, style_of, with_progress

# What libsndfile reads, by the names that its formats go by.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3"),
        *("aif", "aiff", "aifc", "caf", "au", "snd"),
    )
)

HELP = "judge audio files and folders"
EPILOG = "Exit status: 0 if every file was judged, 1 if one could not be read, 2 on other errors."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file or folder")
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="of the output")
    parser.add_argument("--model", metavar="BUNDLE", help="folder of a model bundle")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration to judge by")


def main(args: argparse.Namespace) -> int:
    """Judge and print; the exit status."""
    config = load(args.config or default_path(os.environ))
    if args.model:
        config = replace(config, model=replace(config.model, bundle=args.model))
    scorer = RecordingScorer(config)
    style = style_of(sys.stdout)
    failed = False
    for path in with_progress(find_audio(args.paths), sys.stderr):
        record = scorer.record(path)
        failed = failed or "error" in record
        clear_line(sys.stderr)
        print(line_of(record, args.format, style), flush=True)
    return 1 if failed else 0


class RecordingScorer:
    """Judges recordings, each from its first sample to its last with a fresh detector.

    Args:
        config: names the bundle and everything else that shapes the results.

    Raises:
        BundleError: the bundle cannot be used.
        ConfigError: the configuration does not fit the bundle.
    """

    def __init__(self, config: Config) -> None:
        bundle = ModelBundle.load(bundle_path(config), config.model.variant)
        self._judge = open_judge(config, bundle)

    def record(self, path: Path) -> Record:
        """The result for one file: its verdict, or why it cannot be read."""
        try:
            result = judge_recording(self._judge.detector(), FileSource(path).blocks())
        except AudioError as error:
            return {"file": str(path), "error": _without_name(str(error), path)}
        return recording_record(str(path), result, SAMPLE_RATE_HZ)


def _without_name(message: str, path: Path) -> str:
    start = f"{path}: "
    return message[len(start) :] if message.startswith(start) else message


def line_of(record: Record, output_format: str, style: Style) -> str:
    """A result as the chosen format has it."""
    return json_line(record) if output_format == "jsonl" else recording_text(record, style)


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Files to judge: those named, and those below the folders named whose suffix says audio.

    A file that was named is judged whatever it is called, so that it is reported if it is none. So
    is a folder that cannot be listed.

    Raises:
        EdgeError: there is none.
    """
    given = list(paths)
    found = [file for path in given for file in (_below(path) if path.is_dir() else [path])]
    if not found:
        folders = ", ".join(map(str, given))
        raise EdgeError(f"No audio file lies below {folders}; name a file, or another folder.")
    return list(dict.fromkeys(found))


def _below(folder: Path) -> list[Path]:
    unlisted: list[Path] = []
    walk = os.walk(folder, onerror=lambda error: unlisted.append(Path(error.filename)))
    files = [Path(parent, name) for parent, _, names in walk for name in names]
    return sorted([file for file in files if file.suffix.lower() in SUFFIXES] + unlisted)
