"""The installed service under a real systemd as PID 1, in a container over this very machine.

Run with `-m slow`. Needs root, systemd-nspawn (Debian: systemd-container), overlayfs, PulseAudio,
and a package index for building the wheels; the container itself has no network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from convert import repo_cli
from tests.bundles import RATE_HZ, tiny_bundle, voice, whisper
from tests.patience import HANG_S

PROJECT = Path(__file__).parents[2]
PROGRAMS = ("systemd-nspawn", "nsenter", "unshare", "pulseaudio", "parec", "paplay")
# Services of the machine below that have no place in the container.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "fstrim.timer")
METRICS = "http://127.0.0.1:9731/metrics"
PULSE = "/run/earwitness-pulse/native"
WATCHDOG_S = 30  # of the unit


def missing():
    """What this machine lacks for a container of its own."""
    lacks = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0:
        lacks.append("root's rights")
    if lacks:
        return lacks
    mount = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    refused = subprocess.run(mount, capture_output=True).returncode
    return ["the right to mount in a namespace of its own"] if refused else []


MISSING = missing()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}"),
]


class Machine:
    """A booted container: this machine's own files below, everything written thrown away."""

    def __init__(self, folder):
        self.root = folder / "root"
        self._folder = folder
        self._process = None
        self._leader = 0

    def boot(self):
        upper, work = self._folder / "upper", self._folder / "work"
        for path in (upper, work, self.root):
            path.mkdir()
        layers = f"lowerdir=/,upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", self.root], check=True)
        for unit in (*MASKED, *self._enabled_services()):
            mask = self.root / "etc/systemd/system" / unit
            mask.unlink(missing_ok=True)
            mask.symlink_to("/dev/null")
        (self.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        command = "systemd-nspawn --quiet --boot --private-network --register=no --keep-unit"
        command += " --link-journal=no --console=pipe --machine=earwitness-test"
        self._process = subprocess.Popen(
            # Bound by itself: a checkout below /tmp is hidden by the /tmp of the container.
            [
                *command.split(),
                f"--bind-ro={PROJECT}",
                f"--directory={self.root}",
                "systemd.unit=multi-user.target",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.eventually(self._has_booted)

    def _enabled_services(self):
        """What the machine below would start: web servers, databases and the like."""
        wants = Path("/etc/systemd/system/multi-user.target.wants")
        return [path.name for path in wants.glob("*.service")] if wants.is_dir() else []

    def _has_booted(self):
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = children.read_text().split()
        self._leader = int(found[0]) if found else 0
        if not self._leader:
            return False
        state = self.try_run("systemctl is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def try_run(self, command):
        """Run a shell command inside, as root."""
        inside = [
            "nsenter",
            "-t",
            str(self._leader),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-C",
            "-r",
            "-w",
        ]
        clean = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            [*inside, "sh", "-c", command], capture_output=True, text=True, env=clean
        )

    def run(self, command):
        done = self.try_run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done.stdout.strip()

    def journal(self):
        return self.try_run("journalctl -u earwitness --no-pager -n 60").stdout

    def property(self, name):
        return self.run(f"systemctl show -P {name} earwitness")

    def metric(self, start):
        """Sum of the metrics whose lines start so."""
        fetch = f"import urllib.request; print(urllib.request.urlopen('{METRICS}').read().decode())"
        text = self.try_run(f'/usr/bin/python3 -c "{fetch}"').stdout
        lines = [line for line in text.splitlines() if line.startswith(start)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def eventually(self, condition):
        deadline_s = time.monotonic() + HANG_S
        while not condition():
            assert time.monotonic() < deadline_s, self.journal() if self._leader else "no boot"
            time.sleep(0.2)

    def shut_down(self):
        if self._leader:
            os.kill(self._leader, signal.SIGKILL)  # its systemd, and all in its namespace with it
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        subprocess.run(["umount", "--lazy", str(self.root)], check=False)


def build_wheels(folder):
    """Everything that the installer will need, for a machine without a network."""
    source = folder / "source"
    for part in ("edge", "training", "convert"):
        shutil.copytree(PROJECT / part, source / part)
    for part in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / part, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([*command, f"{source}[mqtt,metrics,update]", "setuptools", "wheel"], check=True)
    for wheel in folder.glob("earwitness-*.whl"):
        wheel.unlink()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The container with a microphone in it, and Earwitness installed as the README says."""
    folder = tmp_path_factory.mktemp("machine")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "tmpfs", str(folder)], check=True)
    machine = Machine(folder)
    try:
        machine.boot()
        prepare(machine)
        machine.run(install_command())
        yield machine
    finally:
        machine.shut_down()
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def install_command():
    return (
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PYTHON=/usr/bin/python3 PIP_CONFIG_FILE=/dev/null "
        f"{PROJECT}/systemd/install.sh install"
    )


def prepare(machine):
    """Wheels, a bundle whose verdicts are known, a sound server, and the owner's settings."""
    root = machine.root
    build_wheels_at = root / "wheels"
    build_wheels_at.mkdir()
    build_wheels(build_wheels_at)
    tiny_bundle(root / "bundle")
    soundfile.write(root / "voice.wav", voice(12.0), RATE_HZ)
    soundfile.write(root / "whisper.wav", whisper(12.0), RATE_HZ)
    machine.run("chmod -R a+rX /bundle; mkdir -p /run/earwitness-pulse")
    machine.run(
        "systemd-run --unit=test-pulse --setenv=HOME=/run/earwitness-pulse pulseaudio -n "
        "--daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes "
        f"--load='module-native-protocol-unix auth-anonymous=1 socket={PULSE}' "
        "--load='module-null-sink sink_name=mic rate=16000 channels=1'"
    )
    machine.eventually(lambda: machine.try_run(f"test -S {PULSE}").returncode == 0)
    machine.run(f"PULSE_SERVER=unix:{PULSE} pactl set-default-source mic.monitor")
    machine.run(
        f"systemd-run --unit=test-ear --setenv=PULSE_SERVER=unix:{PULSE} "
        "sh -c 'parec --latency-msec=20 -d mic.monitor >/dev/null'"
    )
    machine.run(
        "mkdir -p /var/lib/earwitness /etc/earwitness /etc/systemd/system/earwitness.service.d; "
        "printf 'pcm.!default { type pulse }\\nctl.!default { type pulse }\\n' "
        ">/var/lib/earwitness/.asoundrc; "
        f"echo PULSE_SERVER=unix:{PULSE} >/etc/default/earwitness; "
        f"printf '[Service]\\nTimeoutStartSec={HANG_S}\\nTimeoutStopSec={HANG_S}\\n' "
        ">/etc/systemd/system/earwitness.service.d/test.conf; "
        "printf 'model: {bundle: /bundle}\\n' >/etc/earwitness/earwitness.yaml"
    )


def play(machine, name):
    machine.run(f"PULSE_SERVER=unix:{PULSE} paplay --device=mic /{name}.wav")


def windows(machine):
    return machine.metric("earwitness_windows_total")


def is_active(machine):
    return machine.try_run("systemctl is-active earwitness").stdout.strip() == "active"


def test_the_service_starts_and_hears_under_its_full_hardening(machine):
    assert is_active(machine)
    assert machine.property("MemoryDenyWriteExecute") == "yes"
    play(machine, "voice")
    bonafide = 'earwitness_windows_total{source="microphone",verdict="bonafide"}'
    machine.eventually(lambda: machine.metric(bonafide) >= 3)
    status = machine.run(f"cat /proc/{machine.property('MainPID')}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert int(fields["CapEff"], 16) == 0
    assert machine.property("User") == "earwitness"


def test_a_synthetic_voice_raises_an_alert_in_the_journal(machine):
    play(machine, "whisper")
    raised = 'earwitness_alerts_total{source="microphone",state="raised"}'
    machine.eventually(lambda: machine.metric(raised) >= 1)
    alerts = [
        json.loads(line)
        for line in machine.run("journalctl -u earwitness -o cat --no-pager").splitlines()
        if line.startswith("{") and json.loads(line)["type"] == "alert"
    ]
    assert alerts and alerts[0]["state"] == "raised"


def test_the_group_of_sound_devices_reaches_through_the_hardening(machine):
    """ALSA's devices belong to root:audio; here a file stands for one."""
    machine.run("echo heard >/run/device; chgrp audio /run/device; chmod 0640 /run/device")
    context = (
        "-p PrivateUsers=yes -p NoNewPrivileges=yes -p CapabilityBoundingSet= -p User=earwitness"
    )
    read = f"systemd-run --quiet --pipe --wait {context} %s cat /run/device"
    assert machine.run(read % "-p SupplementaryGroups=audio") == "heard"


def test_no_windows_are_written_into_the_journal(machine):
    assert windows(machine) > 0
    journal = machine.run("journalctl -u earwitness -o cat --no-pager")
    assert '"type":"window"' not in journal


def test_a_reload_keeps_the_process_and_a_bad_configuration_keeps_the_old_one(machine):
    process = machine.property("MainPID")
    machine.run("systemctl reload earwitness")
    machine.run("echo 'nonsense: true' >>/etc/earwitness/earwitness.yaml")
    machine.run("systemctl reload earwitness")
    machine.eventually(lambda: "nonsense" in machine.journal())
    machine.run("sed -i /nonsense/d /etc/earwitness/earwitness.yaml")
    # It says so in the journal while systemd still calls it "reloading".
    machine.eventually(lambda: is_active(machine))
    assert machine.property("MainPID") == process
    before = windows(machine)
    machine.eventually(lambda: windows(machine) > before)


def test_a_killed_daemon_is_back_and_hears(machine):
    process = machine.property("MainPID")
    machine.run(f"kill -9 {process}")
    machine.eventually(lambda: is_active(machine) and machine.property("MainPID") != process)
    machine.eventually(lambda: windows(machine) > 0)


def test_a_frozen_daemon_is_killed_by_the_watchdog_and_is_back(machine):
    process = machine.property("MainPID")
    machine.run(f"kill -STOP {process}")
    machine.eventually(
        lambda: is_active(machine) and machine.property("MainPID") not in (process, "0")
    )
    assert "watchdog" in machine.journal().lower()
    machine.eventually(lambda: windows(machine) > 0)


def test_a_daemon_that_hears_is_not_touched_by_the_watchdog(machine):
    process = machine.property("MainPID")
    time.sleep(WATCHDOG_S * 1.5)
    assert machine.property("MainPID") == process, machine.journal()


def test_a_stopped_daemon_ends_by_itself_and_leaves_no_process(machine):
    machine.run("systemctl stop earwitness")
    assert machine.property("Result") == "success"
    assert machine.try_run("pgrep -u earwitness").returncode == 1
    machine.run("systemctl start earwitness")


def test_installing_again_changes_nothing_that_is_the_owners(machine):
    before = machine.run("cat /etc/earwitness/earwitness.yaml")
    output = machine.run(install_command())
    assert "is yours and stays" in output
    assert machine.run("cat /etc/earwitness/earwitness.yaml") == before
    assert len(machine.run("ls -d /opt/earwitness/venv-*").split()) == 1
    assert is_active(machine)


def test_models_are_asked_for_where_a_repository_is_configured(machine):
    enabled = "systemctl is-enabled earwitness-pull.timer"
    assert machine.try_run(enabled).stdout.strip() == "disabled"
    assert "no model repository is configured" in machine.run(install_command())
    machine.run("mkdir /nowhere; echo 'updates: {url: /nowhere}' >>/etc/earwitness/earwitness.yaml")
    assert "earwitness model trust root.json" in machine.run(install_command())
    assert machine.run(enabled).strip() == "enabled"
    assert machine.run("systemctl is-active earwitness-pull.timer").strip() == "active"
    # What is missing is said in a sentence; the service that hears goes on.
    assert machine.try_run("systemctl start earwitness-pull.service").returncode != 0
    said = machine.run("journalctl -u earwitness-pull.service -o cat")
    assert "Traceback" not in said and "This device trusts no" in said
    assert is_active(machine)


def publish(machine, *words):
    """Change the repository that lies on the machine's stick."""
    command, *rest = words
    keys = f"--keys={machine.root}-keys"
    assert repo_cli.main([command, f"{machine.root}/stick/repo", *rest, keys]) == 0


def test_models_installed_by_root_and_pulled_by_the_timer_run_without_losing_audio(machine):
    bundle = tiny_bundle(Path(f"{machine.root}-tiny"), "1.0.0")
    publish(machine, "keygen")
    publish(machine, "publish", str(bundle))
    machine.run("echo 'updates: {url: /stick/repo}' >/etc/earwitness/earwitness.yaml")
    machine.run("systemctl restart earwitness")
    # Other programs keep every core busy while models are proven and changed.
    busy = f"for i in $(seq {os.cpu_count()}); do (while :; do :; done) & done; wait"
    machine.run(f"systemd-run --unit=test-busy sh -c '{busy}'")
    # The stick is root's alone, as a desktop mounts it; the models become the service's.
    machine.run("chmod 700 /stick; earwitness model trust /stick/repo/root.json")
    assert "now current" in machine.run("earwitness model install /stick/repo")
    assert machine.run("find /var/lib/earwitness/models ! -user earwitness") == ""
    machine.eventually(lambda: "The model is now tiny 1.0.0" in machine.journal())
    publish(machine, "publish", str(bundle), "--as-version=1.1.0")
    machine.run("chmod 755 /stick; systemctl start earwitness-pull.service")
    machine.eventually(lambda: "The model is now tiny 1.1.0" in machine.journal())
    before = windows(machine)
    machine.eventually(lambda: windows(machine) >= before + 5)
    machine.run("systemctl stop test-busy")
    assert machine.metric("earwitness_lost_audio_seconds_total") == 0
    assert "on trial" in machine.run("earwitness model status") and is_active(machine)
    refused = machine.try_run("setpriv --reuid=nobody --clear-groups earwitness model status")
    assert refused.returncode != 0 and "put sudo before the command" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_installation_that_fails_leaves_the_old_one_at_work(machine):
    process = machine.property("MainPID")
    venv = machine.run("readlink /opt/earwitness/venv")
    broken = install_command().replace("PIP_FIND_LINKS=/wheels", "PIP_FIND_LINKS=/nowhere")
    failed = machine.try_run(broken)
    assert failed.returncode != 0
    assert machine.run("readlink /opt/earwitness/venv") == venv
    assert machine.run("ls -d /opt/earwitness/venv-*") == venv
    assert machine.property("MainPID") == process, machine.journal()


def test_uninstalling_keeps_the_configuration_and_purging_does_not(machine):
    script = f"{PROJECT}/systemd/install.sh"
    machine.run(f"{script} uninstall")
    assert machine.try_run("systemctl cat earwitness").returncode != 0
    assert machine.try_run("systemctl cat earwitness-pull.timer").returncode != 0
    machine.run("test ! -e /opt/earwitness -a -e /etc/earwitness/earwitness.yaml")
    machine.run(f"{script} uninstall --purge")
    machine.run("test ! -e /etc/earwitness -a ! -e /var/lib/earwitness")
    assert machine.try_run("id earwitness").returncode != 0
