"""`earwitness-train`: parse, build, call."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ConfigError, EdgeError

if TYPE_CHECKING:
    from training.config import CorpusSettings, RunSettings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 after a mistake that a sentence explains."""
    # Said before Keras is imported: TensorFlow's greetings are not for the person who trains.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = _parser().parse_args(argv)
    warnings.showwarning = _show_warning
    try:
        status: int = arguments.command(arguments)
    except EdgeError as error:
        print(f"earwitness-train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("earwitness-train: interrupted; --resume goes on from here", file=sys.stderr)
        return 130
    return status


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="earwitness-train", description="Train and evaluate detectors of synthesised speech."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a model into a run folder")
    train.add_argument("run", type=Path, help="folder of the run")
    _add_data(train)
    train.add_argument("--config", type=Path, help="YAML file of settings")
    train.add_argument("--resume", action="store_true", help="go on from the last epoch")
    train.add_argument("--epochs", type=int, help="at most so many")
    train.add_argument("--seed", type=int)
    train.add_argument("--workers", type=int, help="processes that make batches (default 1)")
    _add_set(train)
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="report on one side of a corpus")
    evaluate.add_argument("run", type=Path)
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=("train", "val", "test"), default="test")
    evaluate.add_argument(
        "--condition", choices=("clean", "telephone", "codec", "replay"), default="clean"
    )
    evaluate.add_argument(
        "--all-trials", action="store_true", help="also trials that are not marked for reports"
    )
    evaluate.add_argument(
        "--windows",
        choices=("file", "middle"),
        default="file",
        help="score the whole file by sliding windows, or its middle five seconds",
    )
    evaluate.set_defaults(command=_evaluate)

    cache = commands.add_parser("cache", help="decode the audio of a run beforehand")
    _add_data(cache)
    cache.add_argument("--config", type=Path)
    _add_set(cache)
    cache.set_defaults(command=_cache)

    corpus = commands.add_parser("corpus", help="count what a corpus holds")
    _add_data(corpus)
    corpus.add_argument("--config", type=Path)
    _add_set(corpus)
    corpus.set_defaults(command=_corpus)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, help="manifest.csv of a corpus")
    parser.add_argument("--audio", type=Path, help="folder of the manifest's ID.flac")
    parser.add_argument("--folder", type=Path, help="folder that holds bonafide/ and spoof/")
    parser.add_argument(
        "--corpus",
        action="append",
        default=[],
        metavar="LAYOUT=PATH",
        help="a published data set as it was unpacked, such as asvspoof2019-la=data/LA",
    )
    parser.add_argument("--cache", help="folder of decoded audio and features")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting by its dotted name, such as model.width=0.5",
    )


def _named_corpora(arguments: argparse.Namespace) -> tuple[CorpusSettings, ...]:
    from training.config import CorpusSettings

    named = []
    if arguments.manifest:
        audio = str(arguments.audio) if arguments.audio else ""
        named.append(CorpusSettings("manifest", str(arguments.manifest), audio))
    if arguments.folder:
        named.append(CorpusSettings("folder", str(arguments.folder)))
    for entry in arguments.corpus:
        layout, equals, path = entry.partition("=")
        if not equals:
            raise ConfigError(f"--corpus takes LAYOUT=PATH, not {entry!r}")
        named.append(CorpusSettings(layout, path))
    return tuple(named)


def _settings(arguments: argparse.Namespace) -> RunSettings:
    from training.config import read_settings

    settings = read_settings(arguments.config, arguments.set)
    given = {
        name: getattr(arguments, name)
        for name in ("epochs", "seed", "workers", "cache")
        if getattr(arguments, name, None) is not None
    }
    named = _named_corpora(arguments)
    if named:
        given["corpora"] = named
    return replace(settings, **given)


def _train(arguments: argparse.Namespace) -> int:
    from training.train import load_settings, train

    resumed = arguments.resume and (arguments.run / "config.json").exists()
    if resumed and not (arguments.config or arguments.set or _named_corpora(arguments)):
        settings = load_settings(arguments.run)
        given = {
            name: getattr(arguments, name)
            for name in ("epochs", "workers", "cache")
            if getattr(arguments, name) is not None
        }
        settings = replace(settings, **given)
    else:
        settings = _settings(arguments)
    best = train(arguments.run, settings, resume=arguments.resume)
    print(f"best epoch {best.epoch}: val EER {best.eer:.4f}, AUC {best.auc:.4f}; {arguments.run}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from training.evaluate import report_text
    from training.train import evaluate_run

    made = evaluate_run(
        arguments.run,
        arguments.split,
        arguments.condition,
        _named_corpora(arguments),
        reported_only=not arguments.all_trials,
        scope=arguments.windows,
        cache=arguments.cache or "",
    )
    print(report_text(made, f"{arguments.run.name} on {arguments.split}, {arguments.condition}"))
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from training.train import Validation, load_corpora, prepare_waves

    settings = _settings(arguments)
    corpus = load_corpora(settings.corpora, settings.seed)
    waves = prepare_waves(corpus, settings, print)
    Validation(corpus, settings)
    print(f"{len(waves)} clips are decoded, and the features of val are made, in {settings.cache}")
    return 0


def _corpus(arguments: argparse.Namespace) -> int:
    from training.corpus import summary
    from training.train import load_corpora

    settings = _settings(arguments)
    corpus = load_corpora(settings.corpora, settings.seed)
    print(summary(corpus.trials))
    print(f"\n{len(corpus.noises)} noises, {len(corpus.rirs)} room impulse responses")
    return 0


if __name__ == "__main__":
    sys.exit(main())
