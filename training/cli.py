"""`earwitness-train`: parse, build, call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from edge.windows import PADDINGS
from training.program import run_program
from training.protocols import CONDITIONS, SPLITS

if TYPE_CHECKING:
    from training.channel import Channel
    from training.config import CorpusSettings, RunSettings
    from training.protocols import Clip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (see `run_program`)."""
    arguments = _parser().parse_args(argv)
    return run_program(
        "earwitness-train",
        lambda: int(arguments.command(arguments)),
        interrupted="interrupted; --resume goes on from here",
    )


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
    _add_scoring(evaluate)
    evaluate.set_defaults(command=_evaluate)

    shipped = commands.add_parser(
        "evaluate-bundle", help="the same report of a form of the network that devices run"
    )
    shipped.add_argument("bundle", type=Path)
    _add_data(shipped)
    _add_scoring(shipped)
    shipped.add_argument("--variant", help="form of the network (default: this machine's)")
    shipped.add_argument(
        "--seen-by", type=Path, required=True, metavar="RUN",
        help="run that the bundle was made from: it tells what generators were trained on",
    )
    shipped.add_argument("--out", type=Path, help="write FILE.md and FILE.json as well")
    shipped.set_defaults(command=_evaluate_bundle)

    cache = commands.add_parser("cache", help="decode the audio of a run beforehand")
    _add_data(cache)
    cache.add_argument("--config", type=Path)
    _add_set(cache)
    cache.set_defaults(command=_cache)

    pool = commands.add_parser("pool", help="augment windows once into a pool for many runs")
    pool.add_argument("pool", type=Path, help="folder of the pool")
    _add_data(pool)
    pool.add_argument("--config", type=Path)
    pool.add_argument("--workers", type=int)
    pool.add_argument(
        "--audio-of",
        type=Path,
        metavar="POOL",
        help="the windows of that pool (made with pool.keep_audio) through the front end of these "
        "settings; of the others none counts",
    )
    _add_set(pool)
    pool.set_defaults(command=_pool)

    hear = commands.add_parser(
        "hear", help="leave what Whisper hears beside the windows of pools"
    )
    hear.add_argument("pools", type=Path, nargs="+", help="made with pool.keep_audio")
    hear.set_defaults(command=_hear)

    teacher = commands.add_parser(
        "teacher", help="fit a classifier to what Whisper hears, to teach the small network"
    )
    teacher.add_argument("teacher", type=Path, help="folder of the teacher")
    teacher.add_argument("pools", type=Path, nargs="+", help="that Whisper has heard")
    teacher.add_argument("--looseness", type=float, help="scikit-learn's C (default 3e-4)")
    teacher.set_defaults(command=_teacher)

    teach = commands.add_parser(
        "teach", help="leave what other networks think beside the windows of pools"
    )
    teach.add_argument("pools", type=Path, nargs="+", help="made with pool.keep_audio")
    by = teach.add_mutually_exclusive_group(required=True)
    by.add_argument(
        "--by", type=Path, action="append", metavar="FOLDER",
        help="a run or a teacher; of several, the mean of their logits counts",
    )
    by.add_argument(
        "--labels", action="store_const", const=[], dest="by",
        help="no network: the labels, for windows that every teacher is deaf to",
    )
    teach.set_defaults(command=_teach)

    extend = commands.add_parser(
        "extend", help="extract further bona fide speech of the sources that a manifest names"
    )
    extend.add_argument("--manifest", type=Path, required=True)
    extend.add_argument("--mirrors", type=Path, required=True, help="git copies, OWNER+NAME")
    extend.add_argument("--packages", type=Path, required=True, help="unpacked Debian packages")
    extend.add_argument("--out", type=Path, required=True)
    extend.add_argument("--min-seconds", type=float, default=1.5)
    extend.add_argument("--per-folder", type=int, default=60, help="clips of one folder at most")
    extend.set_defaults(command=_extend)

    synthesize = commands.add_parser(
        "synthesize", help="make spoofs: copies of bona fide clips by vocoders, and read text"
    )
    synthesize.add_argument("bonafide", type=Path, nargs="?", help="folder of human speech")
    _add_data(synthesize)
    synthesize.add_argument("--out", type=Path, required=True)
    synthesize.add_argument(
        "--engine", action="append", required=True, metavar="NAME[=COUNT]",
        help="a synthesiser and how many clips it makes (default 100); may be given often",
    )
    synthesize.add_argument("--seed", type=int, default=1)
    synthesize.add_argument("--seconds", type=float, default=3.5, help="longest copy")
    synthesize.add_argument("--min-seconds", type=float, default=1.5, help="shortest original")
    synthesize.set_defaults(command=_synthesize)

    audit = commands.add_parser(
        "audit", help="can the class be told from duration, silence, bandwidth, level or floor?"
    )
    _add_data(audit)
    audit.add_argument("--config", type=Path)
    audit.add_argument("--clips", type=int, default=2000, help="clips measured at each stage")
    audit.add_argument("--out", type=Path, help="write the table there as well")
    _add_set(audit)
    audit.set_defaults(command=_audit)

    alerts = commands.add_parser(
        "false-alerts", help="alerts of a bundle on long human speech, as the daemon decides"
    )
    alerts.add_argument("bundle", type=Path)
    _add_data(alerts)
    alerts.add_argument("--split", choices=SPLITS, default="test")
    alerts.add_argument(
        "--hours", type=float, default=2.0,
        help="of speech in each condition; the round over the sources that reaches them is the "
        "last (default 2)",
    )
    _add_conditions(alerts)
    alerts.add_argument("--out", type=Path, help="write the table there as well")
    alerts.set_defaults(command=_false_alerts)

    rule = commands.add_parser(
        "alert-rule", help="choose a run's operating point on long human speech of val"
    )
    _add_data(rule)
    rule.add_argument("run", type=Path)
    rule.add_argument("bundle", type=Path, nargs="?", help="the run's network, converted")
    rule.add_argument(
        "--fold", type=Path, nargs=2, metavar=("RUN", "BUNDLE"), action="append", default=[],
        help="in place of both: a fold of the run (see crossfit) and its network, converted; "
        "hears the val of that fold's own data",
    )
    rule.add_argument(
        "--judge", type=Path, nargs=2, metavar=("RUN", "BUNDLE"),
        help="in place of all that: a run that was trained otherwise, and not on val, and its "
        "network, converted; judges by its own calibration",
    )
    rule.add_argument("--hours", type=float, default=6.0, help="of speech, at most")
    rule.add_argument("--per-hour", type=float, default=0.5, help="false alerts, at most")
    rule.add_argument(
        "--source-share", type=float, default=0.15,
        help="share of any one source's windows called spoof, at most",
    )
    _add_conditions(rule)
    rule.add_argument(
        "--together", action="store_true",
        help="keep to the limits over all conditions together, not in each",
    )
    rule.add_argument(
        "--least", type=float, default=0.0, metavar="THRESHOLD",
        help="choose none below this, such as that of the model which devices hold",
    )
    rule.set_defaults(command=_alert_rule)

    crossfit = commands.add_parser(
        "crossfit", help="calibrate a run that was trained on val too by networks that were not"
    )
    crossfit.add_argument("run", type=Path, help="trained on train and on all that folds judge")
    crossfit.add_argument(
        "--fold", type=Path, action="append", default=[],
        help="a run made in the same way that judges what others trained on; give it often",
    )
    crossfit.set_defaults(command=_crossfit)

    average = commands.add_parser("average", help="a run from the mean weights of checkpoints")
    average.add_argument("run", type=Path, help="run whose settings the new one takes")
    average.add_argument(
        "checkpoints", type=Path, nargs="+",
        help="epoch-NNN.npz of it (see keep_epochs), or of other runs of the same network",
    )
    average.add_argument(
        "--running", action="store_true",
        help="take each checkpoint's running average, not its last weights",
    )
    average.add_argument("--out", type=Path, required=True, help="folder of the new run")
    average.set_defaults(command=_average)

    refit = commands.add_parser("refit", help="a run's network with its last layer fitted anew")
    refit.add_argument("run", type=Path, help="run whose network is taken up to its pooling")
    refit.add_argument("pools", type=Path, nargs="+", help="pools of windows that it is fitted to")
    refit.add_argument("--out", type=Path, required=True, help="folder of the new run")
    refit.add_argument(
        "--without-dilation", type=int, action="append", default=[], metavar="FRAMES",
        help="leave the time-delay blocks of this dilation out"
    )
    refit.set_defaults(command=_refit)

    cues = commands.add_parser(
        "add-cues", help="a run's network that hears cues beside the spectrum, too"
    )
    cues.add_argument("run", type=Path, help="run that is finished and calibrated")
    cues.add_argument("pools", type=Path, nargs="+", help="made with pool.keep_audio")
    cues.add_argument(
        "--fold", type=Path, action="append", default=[], help="such a pool of sources of val"
    )
    cues.add_argument(
        "--judge", type=Path, help="run that has not trained on val; without it the run itself"
    )
    cues.add_argument("--out", type=Path, required=True, help="folder of the new run")
    cues.set_defaults(command=_add_cues)

    tried = commands.add_parser(
        "try-cues", help="what cues alone tell of sources not heard before, and without each"
    )
    tried.add_argument("pools", type=Path, nargs="+", help="made with pool.keep_audio")
    tried.add_argument(
        "--parts", type=int, default=6, help="that sources are dealt out to (default: %(default)s)"
    )
    tried.add_argument("--json", type=Path, help="write the figures there, too")
    tried.set_defaults(command=_try_cues)

    experiments = commands.add_parser("experiments", help="a table of run folders, best first")
    experiments.add_argument("runs", type=Path, help="folder of run folders")
    experiments.add_argument(
        "--out",
        type=Path,
        required=True,
        help="Markdown file; if it exists, rows of runs that the folder does not hold stay in its "
        "table (delete one by hand to be rid of it), and so does all that follows the table",
    )
    experiments.set_defaults(command=_experiments)

    compare = commands.add_parser(
        "compare", help="what each choice of a search is worth, over seeds"
    )
    compare.add_argument("runs", type=Path, help="folder of run folders called CHOICE-SEED")
    compare.add_argument(
        "--with",
        dest="middle",
        required=True,
        metavar="CHOICE",
        help="what all others are held against",
    )
    compare.add_argument(
        "--out", type=Path, required=True, help="Markdown file; a plot goes beside it"
    )
    compare.set_defaults(command=_compare)

    corpus = commands.add_parser("corpus", help="count what a corpus holds")
    _add_data(corpus)
    corpus.add_argument("--config", type=Path)
    _add_set(corpus)
    corpus.set_defaults(command=_corpus)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, help="manifest.csv of a corpus")
    parser.add_argument("--audio", type=Path, help="folder of the manifest's ID.flac")
    parser.add_argument(
        "--part", action="append", default=[], metavar="SOURCE:FOLDER",
        help="a folder of the manifest's source that is a source of its own",
    )
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


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--condition", choices=CONDITIONS, default="clean")
    parser.add_argument(
        "--all-trials", action="store_true", help="also trials that are not marked for reports"
    )
    parser.add_argument(
        "--windows",
        choices=("file", "middle"),
        default="file",
        help="score the whole file by sliding windows, or its middle five seconds",
    )
    parser.add_argument(
        "--padding",
        choices=PADDINGS,
        help="what fills up clips shorter than a window (default: as the run's own)",
    )


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--condition",
        action="append",
        choices=CONDITIONS,
        help="what the speech is heard through; may be given often (default clean)",
    )


def _channels(arguments: argparse.Namespace, noises: Sequence[Clip]) -> list[Channel]:
    from training.channel import Channel

    return [Channel(name, noises) for name in arguments.condition or ["clean"]]


def _named_corpora(arguments: argparse.Namespace) -> tuple[CorpusSettings, ...]:
    from training.config import CorpusSettings

    named = []
    if arguments.manifest:
        audio = str(arguments.audio) if arguments.audio else ""
        parts = tuple(arguments.part)
        named.append(CorpusSettings("manifest", str(arguments.manifest), audio, parts=parts))
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
        padding=arguments.padding or "",
        cache=arguments.cache or "",
    )
    print(report_text(made, f"{arguments.run.name} on {arguments.split}, {arguments.condition}"))
    return 0


def _evaluate_bundle(arguments: argparse.Namespace) -> int:
    from edge.bundle import ModelBundle
    from training.channel import Channel
    from training.evaluate import (
        evaluate_bundle,
        of_generators,
        refuse_inside,
        report_text,
        write_json,
        write_text,
    )
    from training.train import load_corpora, load_data_description, load_settings

    bundle = ModelBundle.load(arguments.bundle, arguments.variant)
    if arguments.out:
        refuse_inside(bundle.path, arguments.out)
    settings = load_settings(arguments.seen_by)
    corpus = load_corpora(_named_corpora(arguments) or settings.corpora, settings.seed)
    made = evaluate_bundle(
        bundle,
        corpus.side(arguments.split, not arguments.all_trials),
        Path(arguments.cache or settings.cache) / "features",
        of_generators(load_data_description(arguments.seen_by)["train_generators"]),
        Channel(arguments.condition, corpus.noises),
        arguments.windows,
        arguments.padding or "",
    )
    made["split"] = arguments.split
    name = f"{bundle.manifest.name} {bundle.manifest.version} {bundle.variant}"
    title = f"{name} on {arguments.split}, {arguments.condition}, {arguments.windows}"
    if arguments.out:
        write_text(arguments.out.with_suffix(".md"), report_text(made, title))
        write_json(arguments.out.with_suffix(".json"), made)
    print(report_text(made, title))
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from training.train import Validation, load_corpora, prepare_waves

    settings = _settings(arguments)
    corpus = load_corpora(settings.corpora, settings.seed)
    waves = prepare_waves(corpus, settings, print)
    Validation(corpus, settings)
    print(f"{len(waves)} clips are decoded, and the features of val are made, in {settings.cache}")
    return 0


def _pool(arguments: argparse.Namespace) -> int:
    from training.pool import build_pool, refilter
    from training.train import load_corpora, make_batches, prepare_waves

    settings = _settings(arguments)
    if arguments.audio_of:
        refilter(arguments.pool, arguments.audio_of, settings.front_end)
        return 0
    corpus = load_corpora(settings.corpora, settings.seed)
    maker = make_batches(corpus, prepare_waves(corpus, settings, print), settings)
    build_pool(arguments.pool, maker, settings.pool, settings.workers)
    return 0


def _hear(arguments: argparse.Namespace) -> int:
    from training.teacher import hear

    print(f"{hear(arguments.pools)} windows heard")
    return 0


def _teacher(arguments: argparse.Namespace) -> int:
    from training.teacher import TeacherSettings, train_teacher

    settings = TeacherSettings()
    if arguments.looseness is not None:
        settings = replace(settings, looseness=arguments.looseness)
    train_teacher(arguments.teacher, arguments.pools, settings)
    return 0


def _teach(arguments: argparse.Namespace) -> int:
    from training.teach import teach

    print(f"{teach(arguments.pools, arguments.by)} windows taught")
    return 0


def _extend(arguments: argparse.Namespace) -> int:
    from training.extend import extend

    count = extend(
        arguments.manifest,
        arguments.mirrors,
        arguments.packages,
        arguments.out,
        arguments.min_seconds,
        arguments.per_folder,
        print,
    )
    print(f"{count} further clips; {arguments.out / 'manifest.csv'}")
    return 0


def _synthesize(arguments: argparse.Namespace) -> int:
    from training.audio import clip_seconds
    from training.corpus import read_human_folder
    from training.errors import TrainingError
    from training.synthesize import synthesize
    from training.train import load_corpora

    counts = {}
    for given in arguments.engine:
        name, _, count = given.partition("=")
        if count and not count.isdigit():
            raise TrainingError(f"--engine takes NAME or NAME=COUNT, not {given!r}")
        counts[name] = int(count or 100)
    trials = list(load_corpora(named, 1).side("train")) if (
        named := _named_corpora(arguments)
    ) else []
    if arguments.bonafide:
        trials += read_human_folder(arguments.bonafide).trials
    human = [trial for trial in trials if not trial.is_spoof]
    long_enough = [trial for trial in human if clip_seconds(trial) >= arguments.min_seconds]
    made = synthesize(
        long_enough, counts, arguments.out, arguments.seed, arguments.seconds, print
    )
    print(f"{made} clips; {arguments.out / 'manifest.csv'}")
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    import numpy as np

    from training.audio import read_clip
    from training.audit import audit_after, audit_before, audit_markdown
    from training.train import load_corpora, make_batches, prepare_waves

    settings = _settings(arguments)
    corpus = load_corpora(settings.corpora, settings.seed)
    maker = make_batches(corpus, prepare_waves(corpus, settings, print), settings)
    batches = range(-(-arguments.clips // settings.loader.batch_size))
    drawn = [trial for index in batches for trial in maker.draw(0, index)]
    once = list({trial.id: trial for trial in drawn}.values())
    before = audit_before(once, lambda trial: np.asarray(read_clip(trial)))
    text = audit_markdown([before, audit_after(maker, arguments.clips)])
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _false_alerts(arguments: argparse.Namespace) -> int:
    from training.evaluate import write_text
    from training.long_audio import false_alerts
    from training.train import load_corpora

    corpus = load_corpora(_named_corpora(arguments), 1)
    text = false_alerts(
        arguments.bundle,
        corpus.side(arguments.split),
        arguments.hours,
        _channels(arguments, corpus.noises),
    )
    if arguments.out:
        write_text(arguments.out, text)
    print(text)
    return 0


def _alert_rule(arguments: argparse.Namespace) -> int:
    from training.alert_rule import Limits, Listener, choose
    from training.errors import TrainingError
    from training.train import load_corpora, load_judge, load_settings

    if sum(map(bool, (arguments.bundle, arguments.fold, arguments.judge))) != 1:
        raise TrainingError(
            "alert-rule needs a bundle, or --fold RUN BUNDLE for each fold, or --judge RUN BUNDLE"
        )
    if arguments.bundle:
        corpora = [load_corpora(_named_corpora(arguments), 1)]
        listeners = [Listener(arguments.bundle, corpora[0].side("val"))]
    else:
        # A fold's network gives logits like the run's; a judge's are its own.
        calibration = None
        others = [(load_settings(run), bundle) for run, bundle in arguments.fold]
        if arguments.judge:
            settings, calibration = load_judge(arguments.judge[0])
            others = [(settings, arguments.judge[1])]
        corpora = [load_corpora(one.corpora, one.seed) for one, _ in others]
        listeners = [
            Listener(bundle, corpus.side("val"), calibration)
            for (_, bundle), corpus in zip(others, corpora, strict=True)
        ]
    point = choose(
        arguments.run,
        listeners,
        arguments.hours,
        Limits(arguments.per_hour, arguments.source_share),
        _channels(arguments, corpora[0].noises),
        arguments.together,
        arguments.least,
    )
    print(
        f"threshold {point['threshold']:.4f}: {point['chosen_for']}; of the recordings of val "
        f"{point['false_alert_rate']:.1%} of the human ones lie above it and "
        f"{point['miss_rate']:.1%} of the spoofs do not"
    )
    return 0


def _crossfit(arguments: argparse.Namespace) -> int:
    from training.crossfit import crossfit_run

    crossfit_run(arguments.run, arguments.fold)
    return 0


def _average(arguments: argparse.Namespace) -> int:
    from training.average import average_run

    eer = average_run(
        arguments.run, arguments.checkpoints, arguments.out, arguments.running
    )
    print(f"val EER {eer:.4f}; {arguments.out}")
    return 0


def _refit(arguments: argparse.Namespace) -> int:
    from training.refit import refit_run

    eer = refit_run(
        arguments.run,
        arguments.pools,
        arguments.out,
        without_dilations=arguments.without_dilation,
    )
    print(f"val EER {eer:.4f}; {arguments.out}")
    return 0


def _add_cues(arguments: argparse.Namespace) -> int:
    from training.cues import add_cues

    judge = arguments.judge or arguments.run
    add_cues(arguments.run, arguments.pools, arguments.fold, judge, arguments.out)
    return 0


def _try_cues(arguments: argparse.Namespace) -> int:
    from training.cue_trial import table, try_cues
    from training.evaluate import write_json

    trials = try_cues(arguments.pools, arguments.parts)
    print(table(trials))
    if arguments.json:
        write_json(arguments.json, [asdict(one) for one in trials])
    return 0


def _experiments(arguments: argparse.Namespace) -> int:
    from training.evaluate import write_text
    from training.experiments import experiments_markdown, read_runs

    out = arguments.out
    before = out.read_text(encoding="utf-8") if out.exists() else ""
    write_text(out, experiments_markdown(read_runs(arguments.runs), before))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from training.comparison import against, choices, comparison_markdown, ranked
    from training.evaluate import write_text
    from training.experiments import read_runs
    from training.plots import differences

    middle, others = ranked(choices(read_runs(arguments.runs)), arguments.middle)
    plot = arguments.out.with_suffix(".png")
    points = {choice.name: against(choice, middle) for choice in others}
    write_text(arguments.out, comparison_markdown(middle, others, plot.name))
    differences(plot, points, middle.name)
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
