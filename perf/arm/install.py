"""The package as a device installs it: pip, run by the emulated system's own Python.

That pip evaluates the package's conditions (which runtime for which processor) as on the device.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from perf.arm.root import BUILD, REPOSITORY, Root, build

# PyPI has no wheels of these for 32-bit ARM: numpy, scipy, soundfile and yaml come from Debian,
# soxr from piwheels on a Raspberry Pi, and is left out here (it serves other rates than 16 kHz).
ON_32_BIT = ("tflite-runtime==2.14.0", "sounddevice")
CONSTRAINTS = Path(__file__).parent / "constraints.txt"


def environment(root: Root) -> dict[str, str]:
    """Variables under which everything repeats: no hash seeds, one thread, one kind of kernels."""
    return {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}:{root.site}",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # QEMU has no identity registers to read the processor's name from; a Pi 4 has.
        "OPENBLAS_CORETYPE": "CORTEXA72" if root.architecture == "arm64" else "CORTEXA15",
    }


def install(root: Root) -> None:
    """The wheel and what it requires into the root's `site`; what is there already stays."""
    build(root)
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    shutil.rmtree(REPOSITORY / "build" / "lib", ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), str(REPOSITORY)], check=True)
    subprocess.run([*pip, "download", "--no-deps", "-d", str(wheels), "pip"], check=True)
    (package,) = wheels.glob("earwitness-*.whl")
    (foreign_pip,) = wheels.glob("pip-*.whl")
    arguments = [str(foreign_pip / "pip"), "install", "--target", str(root.site), "--upgrade"]
    arguments += ["--only-binary", ":all:", "--quiet", "--root-user-action", "ignore"]
    if root.architecture == "armhf":
        wanted = ["--no-deps", str(package), *ON_32_BIT]
    elif (root.site / "numpy").exists():
        wanted = ["--no-deps", str(package)]
    else:
        wanted = ["--constraint", str(CONSTRAINTS), str(package)]
    variables = {**environment(root), "PYTHONPATH": ""}
    subprocess.run(root.command(*arguments, *wanted), check=True, env=variables)
