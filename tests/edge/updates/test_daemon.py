"""A running daemon, a real sshd and a real nginx: signed but bad models come, and are sent back."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from edge.updates.proof import PACKAGES, prove
from edge.updates.push import PushSettings, push
from tests.bundles import RATE_HZ, voice
from tests.edge.updates.bundles import tone
from tests.edge.updates.services import Nginx, Sshd
from tests.patience import HANG_S, wait_until

DEVICE = Path(__file__).with_name("earwitness.py")
HOP_S = 0.25


class Daemon:
    """`earwitness run` on a recording in a loop, at its own speed; its records as they come."""

    def __init__(self, world) -> None:
        sound = np.concatenate([voice(6.0), voice(2.0) + tone(2.0) * (0.5 + voice(2.0))])
        recording = world.folder / "room.wav"
        soundfile.write(recording, 0.9 * sound / np.abs(sound).max(), RATE_HZ, subtype="FLOAT")
        config = {
            "sources": [
                {
                    "name": "room",
                    "kind": "file",
                    "path": str(recording),
                    "pace": True,
                    "loop": True,
                }
            ],
            "updates": {
                "store": str(world.settings.store),
                "trial": {"healthy_windows": 30, "compared_windows": 8, "late_windows": 1000},
            },
            "speech": {"min_active_s": 0},
            "metrics": {"enabled": False},
        }
        self._config = world.folder / "daemon.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self.records: list[dict] = []
        self._changed = threading.Condition()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "edge.cli", "run", "--config", str(self._config)]
        return subprocess.Popen(
            [*command, "--format", "jsonl"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=PACKAGES,
            env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        )

    @contextmanager
    def running(self):
        process = self.start()
        reader = threading.Thread(target=self._read, args=(process.stdout,))
        reader.start()
        try:
            yield self
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(HANG_S)
            reader.join()
        assert status == 0, f"the daemon ended with {status}"

    def _read(self, stream) -> None:
        for line in stream:
            with self._changed:
                self.records.append(json.loads(line))
                self._changed.notify_all()

    @property
    def windows(self) -> list[dict]:
        return [record for record in self.records if record["type"] == "window"]

    def wait_for_model(self, version: str, windows: int = 3) -> None:
        """Until the newest windows are judged by this version."""
        ends_s = time.monotonic() + HANG_S
        with self._changed:
            while True:
                models = [window["model"] for window in self.windows[-windows:]]
                if models == [f"tiny {version}"] * windows:
                    return
                assert time.monotonic() < ends_s, f"{version} never judged; the last are {models}"
                self._changed.wait(1.0)


class Ways:
    """Two ways to a device, taken in turn."""

    def __init__(self, world, sshd: Sshd, nginx: Nginx) -> None:
        self.world, self.sshd, self.nginx, self.turn = world, sshd, nginx, 0

    def send(self) -> tuple[bool, str]:
        """The newest model to the device; was it activated, and what was said?"""
        self.turn += 1
        if self.turn % 2:
            words = (sys.executable, str(DEVICE), str(self.world.settings.store))
            how = PushSettings(self.sshd.ssh, tuple(map(shlex.quote, words)))
            (outcome,) = push(self.world.export(), [self.sshd.host], how)
            return outcome.ok, outcome.message
        try:
            outcome = self.world.install(self.nginx.url, by_hand=False, prove_bundle=prove)
        except Exception as error:
            return False, str(error)
        return outcome.changed, outcome.message


@pytest.fixture
def ways(world, tmp_path):
    for name in ("sshd", "nginx"):
        (tmp_path / name).mkdir()
    with (
        Sshd(tmp_path / "sshd").serving() as sshd,
        Nginx(tmp_path / "nginx", world.repo_folder).serving() as nginx,
    ):
        yield Ways(world, sshd, nginx)


def assert_no_window_is_lost(daemon: Daemon) -> None:
    windows = daemon.windows
    assert [window["window"] for window in windows] == list(range(len(windows)))
    starts = np.array([window["start_s"] for window in windows])
    assert np.allclose(np.diff(starts), HOP_S)


def live_through(world, ways: Ways, stages) -> None:
    """Send models to a running daemon; each stage says its network and how it must end."""
    world.publish("1.0.0")
    world.install()
    world.store.commit(world.store.current())
    daemon = Daemon(world)
    good = "1.0.0"
    with daemon.running():
        daemon.wait_for_model(good)
        for number, (network, offset, ending) in enumerate(stages, 1):
            version = f"1.{number}.0"
            world.publish(version, network, golden_offset=offset)
            activated, message = ways.send()
            print(f"{version} {network}: {message}")
            assert activated == (ending != "refused"), message
            if ending == "rolled back":
                quarantined = lambda v=version: any(  # noqa: E731
                    name.startswith(v) for name in world.store.state().quarantine
                )
                wait_until(quarantined, f"the rollback of {network}")
                print(f"  rolled back: {world.store.state().last_error.reason}")
            elif ending == "committed":
                wait_until(lambda: world.store.pending() is None, f"the commit of {network}")
                good = version
            # A rollback is written down before the link is swapped.
            current = lambda g=good: world.store.current().startswith(f"{g}-")  # noqa: E731
            wait_until(current, f"the use of {good}")
            daemon.wait_for_model(good)
    assert_no_window_is_lost(daemon)
    judged = {window["model"] for window in daemon.windows}
    print(f"{len(daemon.windows)} windows, none lost, judged by {', '.join(sorted(judged))}")
    for number, (network, _, ending) in enumerate(stages, 1):
        # One that is rolled back may have failed at its first window.
        if ending != "rolled back":
            assert (f"tiny 1.{number}.0" in judged) == (ending == "committed"), network


def test_a_bad_model_is_rolled_back_and_a_good_one_kept_without_losing_a_window(world, ways):
    live_through(
        world, ways, [("crash_on_a_tone", 0.0, "rolled back"), ("better", 0.0, "committed")]
    )


@pytest.mark.slow
def test_every_kind_of_bad_model_is_sent_back_by_a_daemon_that_keeps_listening(world, ways):
    live_through(
        world,
        ways,
        [
            ("wrong_shape", 0.0, "refused"),
            ("never_a_number", 0.0, "refused"),
            ("slow", 0.0, "refused"),
            ("good", 0.3, "refused"),  # its golden score is wrong
            ("always_spoof", 0.0, "rolled back"),
            ("not_a_number_on_a_tone", 0.0, "rolled back"),
            ("crash_on_a_tone", 0.0, "rolled back"),
            ("better", 0.0, "committed"),
        ],
    )


@pytest.mark.slow
def test_a_model_that_the_daemon_does_not_survive_is_left_by_itself(world):
    """Killed at its first window of each start, as by a network that crashes the runtime."""
    for version in ("1.0.0", "1.1.0"):
        world.publish(version)
        world.install()
        if version == "1.0.0":
            world.store.commit(world.store.current())
    bad = world.store.current()
    judged = []
    for _ in range(world.settings.trial.max_starts + 1):
        process = Daemon(world).start()
        records = map(json.loads, process.stdout)
        judged.append(next(record["model"] for record in records if record["type"] == "window"))
        process.kill()
        process.communicate()
    print(f"killed at its first window four times; judged by {', '.join(judged)}")
    assert judged == ["tiny 1.1.0"] * 3 + ["tiny 1.0.0"]
    assert "not survived 3 starts" in world.store.state().quarantine[bad].reason
