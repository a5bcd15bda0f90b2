"""Which PulseAudio (or PipeWire) source a capture really listens to, asked of `pactl`.

PulseAudio moves a capture to another source without a word when its own disappears, and nothing
in PortAudio or ALSA tells. `pactl` belongs to the package pulseaudio-utils; without it this one
check is off.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

TOKEN_KEY = "earwitness.capture"
PACTL_TIMEOUT_S = 3.0
_SOURCE = re.compile(r"^\s+Source: (\d+)$", re.MULTILINE)


def has_pactl() -> bool:
    """Whether the sound server can be asked."""
    return shutil.which("pactl") is not None


def pactl(*arguments: str) -> str | None:
    """Output of pactl in plain English; None when there is no sound server or it is stuck."""
    try:
        done = subprocess.run(
            ["pactl", *arguments],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PACTL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def mark_capture(environment: dict[str, str], token: str) -> None:
    """Have libpulse attach a property to the streams of this process, to find them again."""
    ours = f"application.name=earwitness {TOKEN_KEY}={token}"
    environment["PULSE_PROP"] = f"{environment.get('PULSE_PROP', '')} {ours}".strip()


def parse_sources(short_list: str) -> dict[str, str]:
    """`pactl list short sources` -> {index: name}."""
    rows = [line.split("\t") for line in short_list.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def parse_route(source_outputs: str, token: str) -> str | None:
    """`pactl list source-outputs` -> index of the source that the marked capture listens to."""
    for block in source_outputs.split("\n\n"):
        if f'{TOKEN_KEY} = "{token}"' in block:
            found = _SOURCE.search(block)
            return found.group(1) if found else None
    return None


def current_source(token: str) -> str | None:
    """Name of the source that the marked capture listens to; None if that cannot be told."""
    outputs = pactl("list", "source-outputs")
    index = parse_route(outputs, token) if outputs else None
    if index is None:
        return None
    return parse_sources(pactl("list", "short", "sources") or "").get(index)


def source_names() -> list[str]:
    """Names of the sound server's sources; empty without one."""
    return list(parse_sources(pactl("list", "short", "sources") or "").values())


def default_source() -> str | None:
    """Name of the sound server's default source."""
    found = re.search(r"^Default Source: (.+)$", pactl("info") or "", re.MULTILINE)
    return found.group(1) if found else None
