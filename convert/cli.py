"""`earwitness-convert`: parse, build, call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert import repo_cli
from edge.bundle import VARIANTS
from training.program import run_program

if TYPE_CHECKING:
    from training.config import CorpusSettings

REPRESENTATIVE_WINDOWS = 400


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (see `run_program`)."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["repo"]:
        # A parser of its own, which needs neither tensorflow nor a corpus.
        return repo_cli.main(given[1:])
    arguments = _parser().parse_args(given)
    return run_program("earwitness-convert", lambda: int(arguments.command(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="earwitness-convert",
        description="Turn a trained run into a checked bundle for the device.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    bundle = commands.add_parser("bundle", help="convert, compare with Keras, write a bundle")
    bundle.add_argument("run", type=Path, help="folder of a finished run")
    bundle.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    bundle.add_argument("--name", default="lcnn", help="name of the model (default %(default)s)")
    bundle.add_argument("--version", default="0.1.0", help="MAJOR.MINOR.PATCH (%(default)s)")
    bundle.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="VARIANT",
        help=f"forms to write, of {', '.join(VARIANTS)} (default all)",
    )
    bundle.add_argument(
        "--default", choices=VARIANTS, metavar="VARIANT", help="form to use (default: the first)"
    )
    bundle.add_argument(
        "--on", action="append", default=[], metavar="MACHINE=VARIANT", type=_machine_variant,
        help="form to use there instead, for example arm32=dynamic; may be repeated",
    )
    bundle.add_argument("--force", action="store_true", help="replace a bundle that is there")
    bundle.add_argument(
        "--note", action="append", default=[], help="a sentence for the card; may be repeated"
    )
    bundle.add_argument(
        "--made-by",
        action="append",
        default=[],
        metavar="COMMAND",
        help="for the card, what makes this bundle in a checkout of this code (instead of "
        "commands that train by its config.json); may be repeated",
    )
    _add_shared(bundle)
    bundle.set_defaults(command=_bundle)

    parity = commands.add_parser("parity", help="compare a bundle with the run's Keras model")
    parity.add_argument("run", type=Path, help="folder of the run that the bundle came from")
    parity.add_argument("bundle", type=Path, help="folder of the bundle")
    _add_shared(parity)
    parity.set_defaults(command=_parity)

    commands.add_parser("repo", help="the signed repository that devices pull models from")
    return parser


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, help="manifest.csv, when the data have moved")
    parser.add_argument("--audio", type=Path, help="folder of the manifest's ID.flac")
    parser.add_argument("--folder", type=Path, help="folder that holds bonafide/ and spoof/")
    parser.add_argument("--cache", default="", help="folder of cached features")
    parser.add_argument(
        "--max-eer-shift",
        type=float,
        metavar="POINTS",
        help="largest shift of the EER on val, percentage points (default 0.5)",
    )
    parser.add_argument(
        "--representative",
        type=int,
        default=REPRESENTATIVE_WINDOWS,
        metavar="N",
        help="windows of training audio that int8 is fitted on (default %(default)s)",
    )
    parser.add_argument(
        "--also-python",
        type=Path,
        action="append",
        default=[],
        metavar="PYTHON",
        help="interpreter with another TFLite runtime; every variant must load and agree there",
    )


def _corpora(arguments: argparse.Namespace) -> tuple[CorpusSettings, ...]:
    if not (arguments.manifest or arguments.folder):
        return ()
    from convert.quantise import start_tensorflow

    start_tensorflow()  # which training imports, with greetings
    from training.config import CorpusSettings

    named = []
    if arguments.manifest:
        audio = str(arguments.audio) if arguments.audio else ""
        named.append(CorpusSettings("manifest", str(arguments.manifest), audio))
    if arguments.folder:
        named.append(CorpusSettings("folder", str(arguments.folder)))
    return tuple(named)


def _progress(items: Sequence[Any], what: str) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(items, desc=what, disable=None)
    return bar


def _machine_variant(text: str) -> tuple[str, str]:
    machine, _, variant = text.partition("=")
    if not machine or variant not in VARIANTS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not MACHINE=VARIANT with a variant of {', '.join(VARIANTS)}"
        )
    return machine, variant


def _bundle(arguments: argparse.Namespace) -> int:
    from convert.pipeline import Request, convert_run

    bundle = convert_run(
        Request(
            run=arguments.run,
            target=arguments.out,
            name=arguments.name,
            version=arguments.version,
            variants=tuple(dict.fromkeys(arguments.variants)),
            default_variant=arguments.default or arguments.variants[0],
            machine_variants=dict(arguments.on),
            corpora=_corpora(arguments),
            cache=arguments.cache,
            representative=arguments.representative,
            max_eer_shift=_rate(arguments.max_eer_shift),
            other_pythons=tuple(arguments.also_python),
            replace_existing=arguments.force,
            notes=tuple(arguments.note),
            made_by=tuple(arguments.made_by),
        ),
        say=print,
        progress=_progress,
    )
    entry = bundle.manifest
    print(f"{bundle.path}: {entry.name} {entry.version}, default {entry.default_variant}")
    return 0


def _rate(points: float | None) -> float | None:
    return None if points is None else points / 100


def _parity(arguments: argparse.Namespace) -> int:
    from convert.pipeline import check_bundle

    check_bundle(
        arguments.run,
        arguments.bundle,
        corpora=_corpora(arguments),
        cache=arguments.cache,
        max_eer_shift=_rate(arguments.max_eer_shift),
        say=print,
        progress=_progress,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
