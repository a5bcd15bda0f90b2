"""`earwitness model` and `earwitness fleet`, with the settings that the daemon uses."""

from __future__ import annotations

import argparse
import os
from typing import Any

from edge.config import SYSTEM_CONFIG, default_path, load
from edge.updates import cli


def add_arguments(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare both commands."""
    cli.add_arguments(commands)


def main(args: argparse.Namespace) -> int:
    """Run one of them; the exit status."""
    path = default_path(os.environ)
    if path is None and SYSTEM_CONFIG.exists():
        path = SYSTEM_CONFIG
    config = load(path)
    device = cli.Device(config.updates, config.model.variant, config.detection.hop_s)
    return cli.main(args, device)
