"""`earwitness config` and `earwitness explain-config`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge import settings
from edge.bundle import read_manifest
from edge.config import HEADER, TITLE, Config, load, windows_sentence

HELP = "check a configuration, print an example or its schema"
EXPLAIN_HELP = "say in a sentence when this configuration alerts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `earwitness config` takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="tell everything that is wrong with a file")
    check.add_argument("file", type=Path, metavar="FILE")
    actions.add_parser("example", help="print a file with every key, its unit and default")
    actions.add_parser("schema", help="print the JSON Schema, for editors")


def main(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if args.action == "example":
        print(settings.example(Config, HEADER), end="")
    elif args.action == "schema":
        print(json.dumps(settings.json_schema(Config, TITLE), indent=2))
    else:
        load(args.file)
        print(f"{args.file} is valid.")
    return 0


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `earwitness explain-config` takes."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: all defaults")
    parser.add_argument("--model", metavar="BUNDLE", help="folder of a model bundle")


def explain(args: argparse.Namespace) -> int:
    """Print the effective rule; the exit status."""
    from edge.judges import bundle_path

    config = load(args.config)
    manifest = read_manifest(Path(args.model) if args.model else bundle_path(config))
    detector = config.detector_settings(manifest)
    sources = ", ".join(source.name for source in config.sources)
    print(f"Model {manifest.name} {manifest.version}. Sources: {sources}.")
    print(windows_sentence(detector))
    print(detector.rule.sentence())
    return 0
