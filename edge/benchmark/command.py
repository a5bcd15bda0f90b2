"""The command itself: arguments, child processes, files, the terminal."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from edge import __version__
from edge.benchmark import compare, honesty, live, table
from edge.board import Board, read_board, run_tool
from edge.bundle import DEFAULT_BUNDLE, VARIANTS, machine, read_manifest
from edge.errors import BundleError, EdgeError
from edge.report import bar

FORMAT = 1
KIND = "earwitness-benchmark"
DAEMON_METRICS = "http://127.0.0.1:9731/metrics"
SCRAPE_TIMEOUT_S = 5.0
# The daemon runs so too: its products are far too small to be worth a second thread.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--model",
        dest="models",
        metavar="BUNDLE",
        nargs="+",
        action="extend",
        help="folders of bundles, measured one after the other (default: the bundled one)",
    )
    parser.add_argument(
        "--variant",
        dest="variants",
        choices=(*VARIANTS, "all"),
        nargs="+",
        action="extend",
        help="forms of the network (default: each bundle's own; all: every one it has)",
    )
    parser.add_argument(
        "--threads", type=_at_least_one, default=1, help="threads per inference (default: 1)"
    )
    parser.add_argument(
        "--seconds",
        type=_positive,
        default=None,
        metavar="S",
        help="how long to measure each (default: 10); with --live, how long to watch the daemon "
        "(default: all since its start)",
    )
    parser.add_argument(
        "--hop", type=_positive, metavar="S", help="time between windows (default: the bundle's)"
    )
    parser.add_argument(
        "--live",
        nargs="?",
        const=DAEMON_METRICS,
        metavar="URL",
        help=f"read the running daemon's own figures instead (default: {DAEMON_METRICS})",
    )
    parser.add_argument(
        "--json", dest="json_file", metavar="FILE", help="also write JSON; - = only"
    )
    actions = parser.add_subparsers(dest="action", metavar="compare")
    two = actions.add_parser("compare", help="set two JSON files side by side")
    two.add_argument("old", metavar="A.json")
    two.add_argument("new", metavar="B.json")


def main(args: argparse.Namespace) -> int:
    """Measure, or compare, or look at the daemon.

    Raises:
        EdgeError: a bundle, file or daemon cannot be used.
    """
    if args.action == "compare":
        print(compare.text(read_document(args.old), read_document(args.new)))
        return 0
    document = watch(args) if args.live else benchmark(args, sys.stderr)
    if args.json_file == "-":
        print(json.dumps(document, indent=2))
        return 0
    print(live.text(document) if args.live else table.text(document))
    if args.json_file:
        write_document(Path(args.json_file), document)
    return 0


def benchmark(args: argparse.Namespace, terminal: TextIO) -> dict[str, Any]:
    """Measure every network asked for; the document that schema.json describes."""
    tasks = plan(args)
    before = read_board(run=run_tool)
    runs = []
    for number, task in enumerate(tasks, 1):
        label = f"{number}/{len(tasks)} {Path(task['bundle']).name} {task['variant']}"
        runs.append(run_child(task, label, terminal))
    after = read_board(run=run_tool)
    found = honesty.concerns(before, after, runs)
    return {
        "kind": KIND,
        "format": FORMAT,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "software": software(),
        "board": {"before": board_document(before), "after": board_document(after)},
        "trustworthy": not any(concern.spoils for concern in found),
        "concerns": [asdict(concern) for concern in found],
        "runs": runs,
    }


def plan(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One task for each bundle and variant.

    Raises:
        BundleError: a bundle has no manifest, or lacks a variant.
    """
    tasks = []
    for folder in args.models or [str(DEFAULT_BUNDLE)]:
        manifest = read_manifest(Path(folder))
        has = [name for name in VARIANTS if name in manifest.variants]
        asked = args.variants or [manifest.variant_for(machine())]
        for variant in has if "all" in asked else dict.fromkeys(asked):
            if variant not in has:
                raise BundleError(
                    f"The bundle {folder} has no variant {variant!r}; it has {', '.join(has)}."
                )
            tasks.append(
                {
                    "bundle": str(folder),
                    "variant": variant,
                    "threads": args.threads,
                    "seconds": args.seconds or 10.0,
                    "hop_s": args.hop,
                }
            )
    return tasks


def run_child(task: dict[str, Any], label: str, terminal: TextIO) -> dict[str, Any]:
    """Measure in a fresh process, and show how far it is.

    Raises:
        EdgeError: it could not measure; the message is its own.
    """
    command = [sys.executable, "-m", "edge.benchmark.measure", json.dumps(task)]
    # The child finds this very package, installed or not.
    search = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": search}
    with tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment
        ) as child:
            try:
                last = show_progress(map(json.loads, child.stdout or ()), label, terminal)
            except BaseException:
                child.kill()
                raise
        complaints.seek(0)
        complaint = complaints.read().strip()
    if "error" in last:
        raise EdgeError(last["error"])
    if "result" not in last:
        raise EdgeError(
            f"The measurement of {label} ended with status {child.returncode}: "
            f"{complaint.splitlines()[-1] if complaint else 'it said nothing'}."
        )
    result: dict[str, Any] = last["result"]
    return result


def show_progress(
    messages: Iterator[dict[str, Any]], label: str, terminal: TextIO
) -> dict[str, Any]:
    """Follow a child's messages with a bar, where somebody looks; return the last one."""
    seen = terminal.isatty()
    last: dict[str, Any] = {}
    for last in messages:
        if seen and "progress" in last:
            terminal.write(f"\r\x1b[K{bar(last['progress'], blocks=True)}  {label}")
            terminal.flush()
    if seen:
        terminal.write("\r\x1b[K")
        terminal.flush()
    return last


def watch(args: argparse.Namespace) -> dict[str, Any]:
    """The running daemon's figures, since its start or over some seconds."""
    first = live.parse(scrape(args.live))
    if args.seconds is None:
        return live.document(first, None)
    time.sleep(args.seconds)
    return live.document(live.since(live.parse(scrape(args.live)), first), args.seconds)


def scrape(url: str) -> str:
    """What the daemon tells Prometheus.

    Raises:
        EdgeError: nobody answers there.
    """
    try:
        # The scheme is the user's own, from the command line.
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise EdgeError(
            f"No daemon answers at {url} ({getattr(error, 'reason', error)}); start `earwitness "
            "run` with metrics.enabled, or give the address of its /metrics."
        ) from None


def software() -> dict[str, str | None]:
    """Versions of everything that computes."""
    return {
        "earwitness": __version__,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "scipy": _version("scipy"),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def board_document(board: Board) -> dict[str, Any]:
    """The board as JSON can hold it."""
    document = asdict(board)
    return {**document, "throttling": dict(board.throttling) if board.throttling else None}


def read_document(path: str) -> dict[str, Any]:
    """A benchmark's JSON.

    Raises:
        EdgeError: it is not one.
    """
    try:
        document = json.loads(Path(path).read_text())
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise EdgeError(f"{path} is not JSON ({error}).") from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise EdgeError(f"{path} is not written by `earwitness benchmark --json`.")
    if document.get("format") != FORMAT:
        raise EdgeError(
            f"{path} has format {document.get('format')!r}; this version reads {FORMAT}."
        )
    return document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write JSON whole or not at all.

    Raises:
        EdgeError: it cannot be written there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(document, indent=2) + "\n")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise EdgeError(f"{path} cannot be written: {error.strerror}.") from None


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number
