"""The unit file, as systemd itself judges it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = ("earwitness.service", "earwitness-pull.service")
TIMER = "earwitness-pull.timer"
# Exposure in tenths: 0 is a locked room, 100 is root without limits.
EXPOSURE_LIMIT = 20

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.mark.parametrize("unit", UNITS)
def test_no_service_is_exposed_to_more_than_2_0(unit):
    command = f"systemd-analyze security --no-pager --offline=true --threshold={EXPOSURE_LIMIT}"
    done = subprocess.run(
        [*command.split(), str(SYSTEMD / unit)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_systemd_understands_every_line_of_the_units(tmp_path):
    """`verify` exits 0 on keys it does not know, so what it says counts, not its status."""
    installed = "/opt/earwitness/venv/bin/earwitness"
    for name in UNITS:
        text = (SYSTEMD / name).read_text()
        assert installed in text
        (tmp_path / name).write_text(text.replace(installed, "/bin/true"))
    (tmp_path / TIMER).write_text((SYSTEMD / TIMER).read_text())
    paths = [str(tmp_path / name) for name in (*UNITS, TIMER)]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_key_that_systemd_does_not_know_would_be_found(tmp_path):
    unit = tmp_path / UNITS[0]
    unit.write_text("[Service]\nExecStart=/bin/true\nWatchdogSeconds=30\n")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert "WatchdogSeconds" in done.stderr


@pytest.mark.parametrize(
    ("tool", "file"), [("systemd-sysusers", "sysusers.conf"), ("systemd-tmpfiles", "tmpfiles.conf")]
)
def test_user_and_folders_are_made_in_an_empty_root(tmp_path, tool, file):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\naudio:x:29:\n")
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    users = ["systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "sysusers.conf")]
    subprocess.run(users, check=True, capture_output=True)
    if tool == "systemd-tmpfiles":
        folders = [tool, f"--root={tmp_path}", "--create", str(SYSTEMD / file)]
        subprocess.run(folders, check=True, capture_output=True)
        assert (tmp_path / "var/lib/earwitness").stat().st_mode & 0o777 == 0o750
    else:
        assert "audio:x:29:earwitness" in (tmp_path / "etc/group").read_text()


def test_the_installer_is_plain_shell():
    subprocess.run(["sh", "-n", str(SYSTEMD / "install.sh")], check=True)
    refused = subprocess.run([str(SYSTEMD / "install.sh")], capture_output=True, text=True)
    assert refused.returncode == 1 and "usage" in refused.stderr
