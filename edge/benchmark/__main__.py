"""`python -m edge.benchmark`: the command without the rest of `earwitness`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edge.benchmark import add_arguments, main
from edge.errors import EdgeError


def run(argv: Sequence[str] | None = None) -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="earwitness benchmark")
    add_arguments(parser)
    return main(parser.parse_args(argv))


if __name__ == "__main__":
    try:
        sys.exit(run())
    except EdgeError as error:
        sys.exit(f"earwitness: {error}")
