"""`earwitness model ...` and `fleet ...` as a process of their own: `earwitness.py STORE WORDS`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edge.errors import EdgeError
from edge.updates.cli import add_arguments, main
from edge.updates.settings import UpdateSettings


def run(store: Path, words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="earwitness")
    add_arguments(parser.add_subparsers(required=True))
    try:
        return main(parser.parse_args(words), UpdateSettings(store=store, device_id="device-1"))
    except EdgeError as error:
        print(f"earwitness: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
