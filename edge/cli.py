"""`earwitness`: parse, build, call. Each command's module is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from edge import __version__
from edge.errors import EdgeError

DESCRIPTION = "Hears on the device whether a voice is human or synthesised."
EPILOG = (
    "Exit status: 0 done; 1 done, but something that was asked for failed (a file that cannot be "
    "read); 2 a mistake in the command, the configuration, the model or the audio, told in one "
    "sentence; 130 interrupted."
)
FAILED, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Command:
    """A command: its line of help, its module, and the two functions there.

    Attributes:
        brings_parsers: `add_arguments` takes all subparsers and adds those of the module itself.
    """

    help: str
    module: str
    add_arguments: str = "add_arguments"
    main: str = "main"
    brings_parsers: bool = False

    def load(self) -> ModuleType:
        """Import its module."""
        return importlib.import_module(self.module)


COMMANDS = {
    "run": Command("listen and tell, window by window", "edge.run"),
    "score": Command("judge audio files and folders", "edge.score"),
    "devices": Command("list the microphones and their names", "edge.devices"),
    "config": Command("check a configuration, or print an example", "edge.config_command"),
    "explain-config": Command(
        "say in a sentence when a configuration alerts",
        "edge.config_command",
        "add_explain_arguments",
        "explain",
    ),
    "benchmark": Command("measure speed, memory and load on this device", "edge.benchmark"),
    "model": Command("install, choose and push models", "edge.model_command", brings_parsers=True),
    "fleet": Command(
        "what the devices say of their models", "edge.model_command", brings_parsers=True
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status (see EPILOG)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A file's name may hold bytes that the terminal's encoding does not have.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except EdgeError as error:
        print(f"earwitness: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        from edge.terminal import discard_output

        discard_output()
        return 0


def _run(arguments: Sequence[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    args = build_parser(chosen).parse_args(arguments)
    command = COMMANDS[args.command]
    status: int = getattr(command.load(), command.main)(args)
    sys.stdout.flush()
    return status


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen command declares its arguments, since that imports its module."""
    parser = argparse.ArgumentParser(prog="earwitness", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"earwitness {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = COMMANDS.get(chosen or "")
    for name, command in COMMANDS.items():
        if asked is not None and asked.brings_parsers and command.module == asked.module:
            continue
        subparser = commands.add_parser(name, help=command.help, description=command.help)
        if command is asked:
            getattr(command.load(), command.add_arguments)(subparser)
    if asked is not None and asked.brings_parsers:
        getattr(asked.load(), asked.add_arguments)(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
