"""The table of everything tried, from run folders."""

from __future__ import annotations

import json

from training.config import RunSettings
from training.experiments import differences, experiments_markdown, flat, read_runs


def write_run(folder, eer, **changed):
    folder.mkdir()
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
