"""The table of everything tried, from run folders."""

from __future__ import annotations

import json

import pytest

from training.cli import main
from training.config import RunSettings
from training.errors import TrainingError
from training.experiments import (
    differences,
    experiments_markdown,
    flat,
    read_runs,
    split_at_table,
)

PROSE = """
Not everything is in a table.

## What the first told

| run | EER |
|---|---|
| another table | 3% |

Trailing blanks  \n\n# Everything tried"""


def write_run(folder, eer, **changed):
    folder.mkdir(parents=True)
    settings = json.loads(json.dumps(RunSettings().to_dict()))
    settings["seed"] = changed.get("seed", 1)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "data.json").write_text('{"parameters": 7, "multiply_accumulates": 3000000}')
    figures = {"eer": eer, "auc": 0.9, "tpr_at_5_fpr": 0.5}
    report = {"unseen_generators": figures, "all": figures}
    (folder / "report-val.json").write_text(json.dumps(report))


def test_runs_stand_best_first_with_what_differs(tmp_path):
    write_run(tmp_path / "worse", 0.3)
    write_run(tmp_path / "better", 0.1, seed=5)
    (tmp_path / "unfinished").mkdir()
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == ["better", "worse"]
    text = experiments_markdown(runs)
    assert "| better | 10.0% | 0.900 | 50.0% | 7 | 3 | `seed=5` |" in text


def test_default_settings_differ_in_nothing():
    assert differences(json.loads(json.dumps(flat(RunSettings().to_dict())))) == ""


def rows_of(text):
    return [line.split(" | ")[0][2:] for line in text.split("\n") if line.startswith("| ")][1:]


def test_the_command_makes_the_file_and_keeps_what_people_write_after_the_table(tmp_path):
    write_run(tmp_path / "runs" / "one", 0.2)
    out = tmp_path / "experiments.md"
    command = ["experiments", str(tmp_path / "runs"), "--out", str(out)]
    assert main(command) == 0
    made = out.read_text()
    assert made == experiments_markdown(read_runs(tmp_path / "runs"))
    out.write_text(made + PROSE)
    assert main(command) == 0
    assert out.read_text() == made + PROSE
    write_run(tmp_path / "runs" / "two", 0.1)
    assert main(command) == 0
    assert out.read_text() == experiments_markdown(read_runs(tmp_path / "runs")) + PROSE
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


def test_rows_of_runs_that_are_gone_stay_and_those_that_are_there_are_replaced(tmp_path):
    for name, eer in (("gone", 0.2), ("here", 0.3), ("gone too", 0.4)):
        write_run(tmp_path / "then" / name, eer)
    report = (tmp_path / "then" / "gone" / "report-val.json").read_text()
    (tmp_path / "then" / "gone" / "report-test-clean.json").write_text(report)
    then = experiments_markdown(read_runs(tmp_path / "then")) + PROSE
    write_run(tmp_path / "now" / "here", 0.1, seed=3)
    write_run(tmp_path / "now" / "new", 0.25)
    report = (tmp_path / "now" / "new" / "report-val.json").read_text()
    (tmp_path / "now" / "new" / "report-test-far.json").write_text(report)
    text = experiments_markdown(read_runs(tmp_path / "now"), then)
    assert text.endswith("|\n" + PROSE)
    assert rows_of(text)[:4] == ["here", "gone", "new", "gone too"]
    assert "| test-clean EER | test-far EER | parameters |" in text
    assert "| here | 10.0% | 0.900 | 50.0% | - | - | 7 | 3 | `seed=3` |" in text
    assert "| gone | 20.0% | 0.900 | 50.0% | 20.0% | - | 7 | 3 |  |" in text
    assert experiments_markdown(read_runs(tmp_path / "now"), text) == text
    assert experiments_markdown([], text) == text


def test_what_differs_may_hold_the_sign_that_parts_cells():
    text = "| run | val EER | what differs from the defaults |\n|---|---|---|\n| a | 1% | `x|y` |\n"
    rows, rest = split_at_table(text)
    assert rows == [{"run": "a", "val EER": "1%", "what differs from the defaults": "`x|y`"}]
    assert rest == ""


@pytest.mark.parametrize("before", ["", "# Everything tried\n\n"])
def test_a_file_without_a_table_gets_one_above_what_it_says(tmp_path, before):
    write_run(tmp_path / "one", 0.2)
    runs = read_runs(tmp_path)
    assert experiments_markdown(runs, before + PROSE) == experiments_markdown(runs) + PROSE


def test_a_table_whose_rows_have_lost_a_cell_is_refused():
    table = "| run | val EER | MMAC |\n|---|---|---|\n| a | 1% |\n"
    with pytest.raises(TrainingError, match="row of 'a' has 2 cells"):
        experiments_markdown([], table)
