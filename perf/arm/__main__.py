"""`python -m perf.arm`: instructions per hop on ARM, and whether they are more than they were.

    python -m perf.arm                  measure all systems and compare with baseline.json
    python -m perf.arm --record         measure and make that the baseline
    python -m perf.arm --prove          install and run `earwitness score` on each system

Counts come from QEMU with the plugin in count.c; they do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge.bundle import DEFAULT_BUNDLE, ModelBundle
from perf.arm import counts
from perf.arm.install import environment, install
from perf.arm.root import BUILD, REPOSITORY, ROOTS, Root

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
PLUGIN = BUILD / "count.so"
COUNTED = ("arm64-py311", "armhf-py311")
DEMO = REPOSITORY / "edge" / "demo"
STAGES = ("log_mel", "inference", "decision", "gate", "health", "accept", "hop", "log_mel_whole")
# A window's logit may differ from another machine's by as much as the bundle says.
RECORDINGS = ("human.flac", "synthetic.flac")


def main() -> int:
    """Do what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m perf.arm")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--root", choices=ROOTS, action="append", help="only this system")
    parser.add_argument("--record", action="store_true", help="make this the baseline")
    parser.add_argument("--prove", action="store_true", help="install and score instead")
    args = parser.parse_args()
    if args.prove:
        return prove([ROOTS[name] for name in args.root or ROOTS], args.bundle)
    measured = {name: measure(ROOTS[name], args.bundle) for name in args.root or COUNTED}
    print(table(measured))
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if args.record:
        BASELINE.write_text(json.dumps({**known, **measured}, indent=2) + "\n")
        return 0
    found = counts.regressions(known, measured)
    print(*found or ["No stage takes over 2 % more instructions than the baseline."], sep="\n")
    return 1 if found else 0


def measure(root: Root, bundle: Path) -> dict[str, Any]:
    """Instructions of every variant that the system's runtime can load."""
    if not root.site.exists():
        install(root)
    PLUGIN.parent.mkdir(parents=True, exist_ok=True)
    source = str(HERE / "count.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(PLUGIN), source], check=True)
    first = ModelBundle.load(bundle)
    found = {}
    for variant in sorted(first.manifest.variants):
        record = measure_variant(root, ModelBundle.load(bundle, variant))
        if record is not None:
            found[variant] = record
    return found


def measure_variant(root: Root, bundle: ModelBundle) -> dict[str, Any] | None:
    """Run the guest; None if the runtime there cannot load the network, which is told."""
    out = BUILD / f"{root.name}.{bundle.variant}.txt"
    command = root.command(
        str(HERE / "guest.py"),
        str(bundle.path.resolve()),
        bundle.variant,
        qemu_options=("-plugin", f"{PLUGIN},out={out}"),
    )
    # Without address randomisation, copies are aligned the same in every run.
    done = subprocess.run(
        ["setarch", "-R", *command],
        capture_output=True,
        text=True,
        check=False,
        env=environment(root),
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        print(f"{root.name}, {bundle.variant}: not measured: {' '.join(reason)}", file=sys.stderr)
        return None
    told = json.loads(done.stdout)
    marks = counts.parse(out.read_text(), told["markers"])
    return {
        "sha256": bundle.manifest.files[bundle.variant_entry.file].sha256,
        "versions": told["versions"],
        "stages": counts.stages(marks, told["hops"]),
    }


def table(measured: dict[str, Any]) -> str:
    """Millions of instructions by system, variant and stage."""
    lines = [f"{'million instructions':28}" + "".join(f"{stage:>14}" for stage in STAGES)]
    for system, variants in measured.items():
        for variant, record in variants.items():
            figures = "".join(f"{record['stages'][stage] / 1e6:14.3f}" for stage in STAGES)
            lines.append(f"{system + ', ' + variant:28}{figures}")
    return "\n".join(lines)


def prove(roots: list[Root], bundle: Path) -> int:
    """Install the wheel on each system, score the demo recordings, and hold that against here."""
    loaded = ModelBundle.load(bundle)
    manifest, ours = loaded.manifest, loaded.variant_entry
    here = score([sys.executable], bundle, None)
    wrong = 0
    for root in roots:
        install(root)
        there = score(root.command(), bundle, root)
        machine = "arm32" if root.architecture == "armhf" else "aarch64"
        used = manifest.variants[manifest.variant_for(machine)]
        tolerance = max(used.golden_tolerance, ours.golden_tolerance)
        # The calibration multiplies the logit, and so its tolerance.
        problems = differences(here, there, tolerance * manifest.calibration.scale)
        wrong += bool(problems)
        print(
            f"{root.name}: {'; '.join(problems) or f'same verdicts as here ({len(there)} files)'}"
        )
    return 1 if wrong else 0


def score(python: list[str], bundle: Path, root: Root | None) -> list[dict[str, Any]]:
    """What `earwitness score` says of the demo recordings."""
    variables = None
    if root is not None:
        variables = {**environment(root), "PYTHONPATH": str(root.site)}
    arguments = ["-m", "edge.cli", "score", "--format", "jsonl", "--model", str(bundle.resolve())]
    # From elsewhere than the repository: it is the installed package that must work.
    done = subprocess.run(
        [*python, *arguments, *(str(DEMO / name) for name in RECORDINGS)],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
        cwd=REPOSITORY if root is None else BUILD,
    )
    if done.returncode:
        raise SystemExit(f"earwitness score failed: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def differences(
    here: list[dict[str, Any]], there: list[dict[str, Any]], tolerance: float
) -> list[str]:
    """Verdicts that differ, and probabilities that differ by more than the tolerance allows.

    The tolerance of calibrated log-odds bounds a probability's at a quarter of it, the steepest
    slope of a sigmoid.
    """
    found = []
    for one, other in zip(here, there):
        if one["verdict"] != other["verdict"]:
            found.append(f"{Path(one['file']).name}: {other['verdict']}, not {one['verdict']}")
        pair = one["spoof_probability"], other["spoof_probability"]
        if None not in pair and abs(pair[0] - pair[1]) > tolerance / 4:
            found.append(f"{Path(one['file']).name}: probability {pair[1]}, not {pair[0]}")
    return found if len(here) == len(there) else [*found, "not all files were scored"]


if __name__ == "__main__":
    sys.exit(main())
