"""A device has no tensorflow, no keras, no librosa, and none of the training code."""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import subprocess
import sys

import edge
from tests.processes import ROOT, clean_environment

FORBIDDEN = ("tensorflow", "keras", "librosa", "torch", "sklearn", "training", "convert")
OPTIONAL = ("paho", "prometheus_client", "tuf", "securesystemslib", "urllib3")

IMPORT_ALL = """
import importlib, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
failures = {}
for name in MODULES:
    try:
        importlib.import_module(name)
    except Exception as error:
        failures[name] = getattr(error.__cause__ or error, "name", None) or repr(error)
print(json.dumps({"failures": failures, "loaded": sorted(sys.modules)}))
"""


def modules() -> list[str]:
    """Every module of the package but the process that holds PortAudio."""
    walked = pkgutil.walk_packages(edge.__path__, "edge.")
    return sorted(module.name for module in walked)


def import_all(names: list[str], blocked: tuple[str, ...]) -> dict:
    script = f"BLOCKED = {blocked!r}\nMODULES = {names!r}\n{IMPORT_ALL}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_module_imports_without_tensorflow_and_the_training_code() -> None:
    result = import_all(modules(), FORBIDDEN)
    absent = {name for name in OPTIONAL if importlib.util.find_spec(name) is None}
    assert {failure.split(".")[0] for failure in result["failures"].values()} <= absent
    assert not [name for name in result["loaded"] if name.startswith("scipy.signal")]


def test_without_optional_packages_only_the_modules_that_wrap_them_fail() -> None:
    failures = import_all(modules(), FORBIDDEN + OPTIONAL)["failures"]
    assert {failure.split(".")[0] for failure in failures.values()} <= set(OPTIONAL)
    updates = {f"edge.updates.{name}" for name in ("client", "install", "transport")}
    assert set(failures) <= {"edge.alerts.mqtt", "edge.metrics", *updates}


def test_running_from_a_file_needs_no_optional_package() -> None:
    names = ["edge.cli", "edge.run", "edge.score", "edge.config_command", "edge.model_command"]
    result = import_all(names, FORBIDDEN + OPTIONAL)
    assert result["failures"] == {}
    heavy = {"sounddevice", "ssl", "sqlite3", "http.client", "multiprocessing"}
    # sqlite3 belongs to the spool, whose settings stand in the configuration.
    assert heavy.intersection(result["loaded"]) <= {"sqlite3"}
