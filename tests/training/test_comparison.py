"""What each choice of a search is worth, from runs that differ in seed alone."""

from __future__ import annotations

import json

import pytest

from training.cli import main
from training.comparison import against, choices, comparison_markdown, ranked
from training.config import read_settings
from training.errors import TrainingError
from training.experiments import read_runs
from training.history import EpochRecord, epochs_csv


def write_run(folder, name, seed, eers, overrides=()):
    """A run of these EERs, epoch by epoch."""
    run = folder / f"{name}-{seed}"
    run.mkdir(parents=True)
    settings = read_settings(None, [f"seed={seed}", *overrides]).to_dict()
    (run / "config.json").write_text(json.dumps(settings))
    (run / "data.json").write_text('{"parameters": 7, "multiply_accumulates": 3000000}')
    figures = {"eer": 0.5, "auc": 0.9 + seed / 100, "tpr_at_5_fpr": 0.5}
    (run / "report-val.json").write_text(
        json.dumps({"unseen_generators": figures, "all": figures})
    )
    records = [EpochRecord(i + 1, 0.5, 0.9, 0.8, eer, 1e-3, 1.0) for i, eer in enumerate(eers)]
    (run / "epochs.csv").write_text(epochs_csv(records))


@pytest.fixture
def search(tmp_path):
    """Average pooling is better with both seeds, SAM with one of two, width with the only one."""
    folder = tmp_path / "search"
    for seed, eers in ((1, (0.5, 0.30)), (2, (0.28, 0.4))):
        write_run(folder, "middle", seed, eers)
    for seed, eer in ((1, 0.28), (2, 0.27)):
        write_run(folder, "pooling-average", seed, [eer], ["model.pooling=average"])
    for seed, eer in ((1, 0.29), (2, 0.35)):
        write_run(folder, "sam", seed, [eer], ["optimiser.sam_radius=0.05"])
    write_run(folder, "wide", 1, [0.25], ["model.width=2.0"])
    return folder


def test_runs_of_the_same_settings_are_one_choice_whatever_the_seed(search):
    found = {choice.name: list(choice.runs) for choice in choices(read_runs(search))}
    assert found == {"middle": [1, 2], "pooling-average": [1, 2], "sam": [1, 2], "wide": [1]}


def test_a_choice_is_held_against_the_middle_of_the_same_seed_at_its_best_epoch(search):
    middle, others = ranked(choices(read_runs(search)), "middle")
    assert [choice.name for choice in others] == ["wide", "pooling-average", "sam"]
    points = [against(choice, middle) for choice in others]
    assert points == [
        pytest.approx([-5.0]), pytest.approx([-2.0, -1.0]), pytest.approx([-1.0, 7.0])
    ]


def test_the_table_shows_mean_and_range_and_in_how_many_seeds_it_was_better(search):
    lines = comparison_markdown(*ranked(choices(read_runs(search)), "middle")).splitlines()
    assert lines[-4:] == [
        "| wide | 1 | 25.0 (25.0 … 25.0) | -5.0 (-5.0 … -5.0) | 1 of 1 | 0.910 (0.910 … 0.910) "
        "| 50 (50 … 50) | 7 | 3 | `model.width=2.0` |",
        "| pooling-average | 2 | 27.5 (27.0 … 28.0) | -1.5 (-2.0 … -1.0) | 2 of 2 "
        '| 0.915 (0.910 … 0.920) | 50 (50 … 50) | 7 | 3 | `model.pooling="average"` |',
        "| **middle** | 2 | 29.0 (28.0 … 30.0) |  |  | 0.915 (0.910 … 0.920) "
        "| 50 (50 … 50) | 7 | 3 |  |",
        "| sam | 2 | 32.0 (29.0 … 35.0) | +3.0 (-1.0 … +7.0) | 1 of 2 | 0.915 (0.910 … 0.920) "
        "| 50 (50 … 50) | 7 | 3 | `optimiser.sam_radius=0.05` |",
    ]


def test_a_search_without_its_middle_says_what_there_is(search):
    found = choices(read_runs(search))
    with pytest.raises(TrainingError, match=r"no finished run is called center-SEED; there are mi"):
        ranked(found, "center")
    with pytest.raises(TrainingError, match="no other choice has a run with a seed of middle"):
        ranked([choice for choice in found if choice.name == "middle"], "middle")


def test_the_same_run_twice_is_refused(search):
    write_run(search, "again", 1, [0.3])
    with pytest.raises(TrainingError, match="have the same settings and seed"):
        choices(read_runs(search))


def test_runs_of_one_name_that_differ_in_more_than_the_seed_are_refused(search):
    write_run(search, "wide", 2, [0.3], ["model.width=3.0"])
    with pytest.raises(TrainingError, match=r"wide-SEED differ in more.* `model.width=3.0`"):
        choices(read_runs(search))


def test_a_run_whose_epochs_are_not_known_is_refused(search):
    (search / "wide-1" / "epochs.csv").unlink()
    with pytest.raises(TrainingError, match=r"the run wide-1 has no epochs\.csv"):
        choices(read_runs(search))


def test_the_command_writes_the_table_and_a_plot_beside_it(search, tmp_path, capsys):
    out = tmp_path / "docs" / "search.md"
    command = ["compare", str(search), "--with", "middle", "--out", str(out)]
    assert main(command) == 0
    assert "](search.png)" in out.read_text() and out.with_suffix(".png").stat().st_size > 1000
    assert main(["compare", str(tmp_path / "nothing"), "--with", "a", "--out", str(out)]) == 1
    assert "no finished run is called a-SEED; there are none" in capsys.readouterr().err
