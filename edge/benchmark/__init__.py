"""`earwitness benchmark`: how fast is it on this device, and with which model?

Each network is measured in a process of its own, on real recordings, through the very Detector of
the daemon. `measure` is that process and `command` starts it; the rest is pure.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from edge.benchmark import command

    command.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Do what the arguments ask for; the exit status.

    Raises:
        EdgeError: a bundle, file or daemon cannot be used.
    """
    # Here and not above: `measure` is a module of this package, and must start without what it
    # measures the loading of.
    from edge.benchmark import command

    return command.main(args)
