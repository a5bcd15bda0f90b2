"""What the board says of itself: model, kernel, clocks, temperature, throttling.

Parsing is pure; reading takes the root of the file system, so a copied tree can be read as well.
Whatever a board does not tell is None, never a guess.
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLING_BITS = {
    "under_voltage": 0,
    "frequency_capped": 1,
    "throttled": 2,
    "soft_temperature_limit": 3,
    "under_voltage_occurred": 16,
    "frequency_capped_occurred": 17,
    "throttled_occurred": 18,
    "soft_temperature_limit_occurred": 19,
}
# Kernels name the CPU's own sensor so: Raspberry Pi, Jetson, Rockchip and Allwinner, Intel, AMD.
CPU_ZONES = ("cpu-thermal", "cpu_thermal", "cpu-therm", "x86_pkg_temp", "soc-thermal", "k10temp")
COMMAND_TIMEOUT_S = 2.0

RunTool = Callable[[tuple[str, ...]], "str | None"]
"""Runs a program and returns its output, or None if it is not there or fails."""


@dataclass(frozen=True)
class Board:
    """A board at one moment. What it does not tell is None.

    Attributes:
        model: "Raspberry Pi 4 Model B Rev 1.4", a PC's product name, or its CPU's name.
        architecture: "aarch64", "armv7l", "x86_64" ...
        kernel: release of the running kernel.
        cores: processors that may be used.
        governor: CPU frequency governor of the first core.
        frequency_mhz, max_frequency_mhz: of the first core, now and at most.
        temperature_c: of the CPU, degrees Celsius.
        throttling: by condition (see `THROTTLING_BITS`): does it hold, has it since power-on?
        power_mode: of a Jetson, as nvpmodel names it.
        load_1min: processes that wanted to run, averaged over the last minute.
    """

    model: str | None
    architecture: str
    kernel: str
    cores: int | None
    governor: str | None
    frequency_mhz: float | None
    max_frequency_mhz: float | None
    temperature_c: float | None
    throttling: Mapping[str, bool] | None
    power_mode: str | None
    load_1min: float | None


def read_board(root: Path = Path("/"), run: RunTool | None = None) -> Board:
    """Everything that can be read now.

    Args:
        root: of the file system.
        run: how to run vcgencmd and nvpmodel; None: only files are read, as the daemon must.
    """
    run = run or no_tool
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    return Board(
        model=read_model(root),
        architecture=platform.machine(),
        kernel=platform.release(),
        cores=parse_core_count(read_text(root / "sys/devices/system/cpu/online")),
        governor=read_text(cpu / "scaling_governor"),
        frequency_mhz=parse_scaled(read_text(cpu / "scaling_cur_freq"), 1e-3),
        max_frequency_mhz=parse_scaled(read_text(cpu / "cpuinfo_max_freq"), 1e-3),
        temperature_c=read_temperature_c(root),
        throttling=read_throttling(root, run),
        power_mode=read_power_mode(root, run),
        load_1min=parse_load(read_text(root / "proc/loadavg")),
    )


def read_model(root: Path = Path("/")) -> str | None:
    """The board's name, from the device tree, the firmware (DMI) or the CPU."""
    tree = read_text(root / "sys/firmware/devicetree/base/model")
    return tree or read_dmi(root) or parse_cpu_model(read_text(root / "proc/cpuinfo"))


def read_dmi(root: Path) -> str | None:
    """Maker and product as a PC's firmware gives them."""
    parts = (read_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    return " ".join(part for part in parts if part) or None


def read_temperature_c(root: Path = Path("/")) -> float | None:
    """Temperature of the CPU, degrees Celsius."""
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    temperatures = {
        (read_text(zone / "type") or "").lower(): parse_scaled(read_text(zone / "temp"), 1e-3)
        for zone in zones
    }
    return next((temperatures[name] for name in CPU_ZONES if name in temperatures), None)


def read_throttling(root: Path = Path("/"), run: RunTool | None = None) -> dict[str, bool] | None:
    """Conditions that slow the board down, as far as it tells.

    A Raspberry Pi's kernel has them in a file; its `vcgencmd` does too; its voltage sensor knows
    under-voltage alone; a Jetson counts over-current events.
    """
    told = read_text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if told is None and run is not None:
        told = run(("vcgencmd", "get_throttled"))
    return parse_throttled(told) or read_hwmon_throttling(root)


def read_hwmon_throttling(root: Path) -> dict[str, bool] | None:
    """What the hardware monitors of a Raspberry Pi or a Jetson tell of their supply."""
    found: dict[str, bool] = {}
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        name = read_text(monitor / "name")
        if name == "rpi_volt":
            found["under_voltage"] = read_text(monitor / "in0_lcrit_alarm") == "1"
        elif name == "soctherm_oc":
            counts = [read_text(path) for path in sorted(monitor.glob("oc*_event_cnt"))]
            found["over_current_occurred"] = any(count not in (None, "0") for count in counts)
    return found or None


def read_power_mode(root: Path = Path("/"), run: RunTool | None = None) -> str | None:
    """A Jetson's power mode: its name if `nvpmodel` may be run, else its number."""
    named = parse_nvpmodel(run(("nvpmodel", "-q"))) if run is not None else None
    return named or parse_nvpmodel(read_text(root / "var/lib/nvpmodel/status"))


def parse_throttled(text: str | None) -> dict[str, bool] | None:
    """`throttled=0x50005` (vcgencmd) or `50005` (kernel) by condition."""
    match = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", (text or "").strip())
    if match is None:
        return None
    bits = int(match.group(1), 16)
    return {name: bool(bits >> bit & 1) for name, bit in THROTTLING_BITS.items()}


def parse_nvpmodel(text: str | None) -> str | None:
    """`NV Power Mode: 15W` (nvpmodel -q) or `pmode:0002` (its status file)."""
    match = re.search(r"(?:NV Power Mode:|pmode:)\s*(\S+)", text or "")
    return match.group(1) if match else None


def parse_cpu_model(text: str | None) -> str | None:
    """The first `model name` of /proc/cpuinfo."""
    match = re.search(r"^model name\s*:\s*(.+)$", text or "", re.MULTILINE)
    return match.group(1).strip() if match else None


def parse_core_count(text: str | None) -> int | None:
    """Number of processors in a kernel list such as `0-3,6`."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text or ""):
        return None
    return sum(len(parse_range(part)) for part in (text or "").split(","))


def parse_range(text: str) -> range:
    """`3` or `0-3` as numbers."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def parse_scaled(text: str | None, scale: float) -> float | None:
    """A whole number in a file, times `scale`."""
    return int(text) * scale if text and re.fullmatch(r"-?\d+", text) else None


def parse_load(text: str | None) -> float | None:
    """The first figure of /proc/loadavg."""
    match = re.match(r"\d+\.\d+", text or "")
    return float(match.group()) if match else None


def throttled_now(throttling: Mapping[str, bool] | None) -> list[str]:
    """The conditions that hold at this moment, by name."""
    return names(throttling or {}, occurred=False)


def names(throttling: Mapping[str, bool], occurred: bool) -> list[str]:
    """Conditions that are set, either the momentary ones or those remembered since power-on."""
    return [n for n, on in throttling.items() if on and n.endswith("_occurred") == occurred]


def read_text(path: Path) -> str | None:
    """A small file's text without blanks and NULs around it; None if it cannot be read or is empty.

    Sensors come and go, and some files of /sys answer with an error while the hardware is busy.
    """
    try:
        return path.read_bytes().decode(errors="replace").strip(" \t\r\n\0") or None
    except OSError:
        return None


def no_tool(argv: tuple[str, ...]) -> str | None:
    """Runs nothing."""
    return None


def run_tool(argv: Iterable[str]) -> str | None:
    """Run a board's own tool, as the benchmark does."""
    try:
        done = subprocess.run(
            tuple(argv), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
