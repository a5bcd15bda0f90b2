"""ARM systems to run under QEMU: Debian packages unpacked into a folder, nothing executed as root.

    python -m perf.arm.root arm64-py311     ->  build/arm/arm64-py311

QEMU's user mode then runs the interpreter in there (`qemu-aarch64 -L ROOT ROOT/usr/bin/python3`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / "build" / "arm"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What a network needs beside the interpreter: libgomp and libstdc++ for the wheels.
RUNTIME = ("libstdc++6", "libgomp1", "libatomic1", "ca-certificates")
# On 32 bits, PyPI has no numpy or scipy; Raspberry Pi OS ships these very packages.
# OpenBLAS, because numpy would else be content with the reference BLAS.
SCIENCE = (
    "python3-numpy",
    "python3-scipy",
    "python3-soundfile",
    "python3-yaml",
    "python3-cffi",
    "libopenblas0-pthread",
)


@dataclass(frozen=True)
class Root:
    """One system.

    Attributes:
        name: of its folder.
        architecture: Debian's name of it.
        suite: Debian release.
        python: version of the interpreter there.
        qemu: the emulator.
        cpu: the processor that it emulates.
        packages: what to unpack, with all it depends on.
    """

    name: str
    architecture: str
    suite: str
    python: str
    qemu: str
    cpu: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Its folder."""
        return BUILD / self.name

    @property
    def site(self) -> Path:
        """Where its Python packages are installed."""
        return self.path / "opt" / "earwitness"

    def command(self, *arguments: str, qemu_options: tuple[str, ...] = ()) -> list[str]:
        """Run its interpreter under QEMU."""
        interpreter = str(self.path / "usr" / "bin" / f"python{self.python}")
        emulator = [self.qemu, "-cpu", self.cpu, "-L", str(self.path), *qemu_options]
        return [*emulator, interpreter, *arguments]


ROOTS = {
    root.name: root
    for root in (
        Root(
            "arm64-py311", "arm64", "bookworm", "3.11", "qemu-aarch64", "cortex-a72",
            ("python3", *RUNTIME),
        ),
        Root(
            "arm64-py313", "arm64", "trixie", "3.13", "qemu-aarch64", "cortex-a72",
            ("python3", *RUNTIME),
        ),
        Root(
            "armhf-py311", "armhf", "bookworm", "3.11", "qemu-arm", "cortex-a15",
            ("python3", *RUNTIME, *SCIENCE),
        ),
    )
}  # fmt: skip


def build(root: Root) -> None:
    """Download and unpack, unless that was done before."""
    finished = root.path / ".unpacked"
    if finished.exists():
        return
    shutil.rmtree(root.path, ignore_errors=True)
    for package in download(root):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root.path)], check=True)
    link(root.path)
    finished.touch()


def link(path: Path) -> None:
    """What the packages' own scripts would have linked: merged /usr, and the chosen BLAS."""
    for merged in ("lib", "bin"):
        if not (path / merged).exists():
            (path / merged).symlink_to(f"usr/{merged}")
    for library in path.glob("usr/lib/*/openblas-pthread/lib*.so.[03]"):
        (library.parents[1] / library.name).symlink_to(f"openblas-pthread/{library.name}")


def download(root: Root) -> list[Path]:
    """Fetch the packages and what they need with an apt that has nothing to do with this machine's.

    Returns:
        The .deb files.
    """
    apt = BUILD / f"apt-{root.suite}-{root.architecture}"
    for folder in (
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "state/lists/partial",
        "cache/archives/partial",
    ):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "etc/apt/sources.list").write_text(
        f"deb [signed-by={KEYRING}] {MIRROR} {root.suite} main\n"
    )
    options = {
        "Dir::Etc": str(apt / "etc/apt"),
        "Dir::State": str(apt / "state"),
        "Dir::State::status": str(apt / "status"),
        "Dir::Cache": str(apt / "cache"),
        "APT::Architecture": root.architecture,
        "APT::Architectures": root.architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    get = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*get, "update"], check=True)
    subprocess.run([*get, "install", "--yes", "--download-only", *root.packages], check=True)
    return sorted((apt / "cache/archives").glob("*.deb"))


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ROOTS:
        build(ROOTS[chosen])
        print(ROOTS[chosen].path)
