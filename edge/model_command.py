"""`earwitness model` and `earwitness fleet`, with the settings that the daemon uses."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.config import SYSTEM_CONFIG, default_path, load
from edge.errors import ConfigError
from edge.updates import cli


def add_arguments(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare both commands."""
    cli.add_arguments(commands)


def main(args: argparse.Namespace) -> int:
    """Run one of them; the exit status."""
    if not args.on_device:
        return cli.main(args)
    config = load(default_path(os.environ) or _system_config())
    updates = replace(config.updates, device_id=config.device_id)
    device = cli.Device(
        updates, config.model.variant, config.detection.hop_s, config.detector_settings
    )
    return cli.main(args, device)


def _system_config() -> Path | None:
    """The service's configuration, where there is one.

    Raises:
        ConfigError: it is closed to this user.
    """
    try:
        return SYSTEM_CONFIG if SYSTEM_CONFIG.exists() else None
    except PermissionError:
        raise ConfigError(
            f"{SYSTEM_CONFIG} is closed to this user; put sudo before the command (for model "
            "push: --remote 'sudo earwitness')."
        ) from None
