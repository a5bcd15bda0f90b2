"""No acknowledged alert is lost: killed writers, flapping brokers, broken disks, power cuts.

Run with `-m slow -s` to see the figures that docs/reliability.md quotes.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.alerts.spool import Spool, SpoolSettings
from tests.patience import HANG_S, repeated, wait_until

PROCESS = Path(__file__).with_name("alerting_process.py")
ROOT = Path(__file__).parents[3]
SETTINGS = SpoolSettings(max_alerts=100_000, commit_wait_s=60.0, retry_disk_s=0.1)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount disks")


class Alerting:
    """The process, and what it has said before and after each kill."""

    def __init__(self, spool, folder, port=None, pause_s=0.01, wrapper=()):
        self.durable, self.events = [], []
        self._spool, self._port, self._pause_s = spool, port, pause_s
        self._output = folder / "said.txt"
        self._wrapper = wrapper
        self._process = None
        self._next = 0
        self.kills = 0

    def start(self, count=1_000_000):
        arguments = [self._spool, self._next, self._port or "", self._pause_s, count]
        self._process = subprocess.Popen(
            [*self._wrapper, sys.executable, str(PROCESS), *map(str, arguments)],
            stdout=self._output.open("wb"),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        wait_until(lambda: b"durable" in self._output.read_bytes(), "a first alert")

    def lines_said(self):
        return self._output.read_text().splitlines()

    def kill(self, lines_that_count=None):
        """Kill, and note what was said: all of it, or only so many lines."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1
        self._listen(lines_that_count)

    def finish(self):
        assert self._process.wait(HANG_S) == 0
        self._listen()

    def _listen(self, lines_that_count=None):
        for index, line in enumerate(self.lines_said()):
            word, _, value = line.partition(" ")
            if word == "event":
                self.events.append(json.loads(value)["kind"])
                continue
            self._next = max(self._next, int(value) + 1)
            counts = lines_that_count is None or index < lines_that_count
            if word == "durable" and counts:
                self.durable.append(int(value))
        # The kill may have come between an append and its line.
        self._next += 1


def numbers_in(path):
    """Numbers of the alerts that a new run finds in the spool, in order."""
    spool = Spool(path, ("mqtt",), SETTINGS, lambda record: None)
    found = [json.loads(entry.payload)["number"] for entry in spool.pending("mqtt", 10**6)]
    spool.close(HANG_S)
    return found


def check_nothing_lost(acknowledged, found):
    assert acknowledged, "nothing was acknowledged at all"
    assert set(acknowledged) <= set(found), sorted(set(acknowledged) - set(found))[:10]
    assert found == sorted(found)


@repeated(brief=5, full=200)
def test_a_writer_that_is_killed_loses_no_acknowledged_alert(tmp_path, count):
    path = tmp_path / "alerts.db"
    alerting = Alerting(path, tmp_path, pause_s=0)
    chance = random.Random(1)
    for _ in range(count):
        alerting.start()
        time.sleep(chance.uniform(0.0, 0.1))
        alerting.kill()
    found = numbers_in(path)
    check_nothing_lost(alerting.durable, found)
    assert not alerting.events
    print(
        f"\nSIGKILL of the writer: {alerting.kills} kills, {len(alerting.durable)} alerts "
        f"acknowledged, {len(set(alerting.durable) - set(found))} lost"
    )


@repeated(brief=5, full=200)
def test_a_broker_that_flaps_under_a_daemon_killed_in_between_loses_nothing(
    tmp_path, make_broker, subscribe, eventually, count
):
    database = tmp_path / "mosquitto"
    database.mkdir()
    broker = make_broker(
        "allow_anonymous true\npersistence true\nmax_queued_messages 0\n"
        f"persistence_location {database}/\n"
    ).start()
    listener = subscribe(broker, "+/+/+/alert", ("-c", "-i", "listener"))
    path = tmp_path / "alerts.db"
    alerting = Alerting(path, tmp_path, port=broker.port, pause_s=0.005)
    chance = random.Random(2)
    alerting.start()
    for flap in range(count):
        time.sleep(chance.uniform(0.05, 0.6))
        broker.stop()
        if flap % 4 == 3:
            alerting.kill()
            alerting.start()
        time.sleep(chance.uniform(0.0, 0.3))
        broker.start()
    alerting.kill()
    alerting.start(count=1)
    alerting.finish()
    spool = Spool(path, ("mqtt",), SETTINGS, lambda record: None)
    waiting = {json.loads(entry.payload)["number"] for entry in spool.pending("mqtt", 10**6)}
    spool.close(HANG_S)
    wanted = set(alerting.durable) - waiting
    eventually(lambda: wanted <= {int(i[3:]) for i in listener.alert_ids()})
    heard = [int(identity[3:]) for identity in listener.alert_ids()]
    firsts = list(dict.fromkeys(heard))
    assert firsts == sorted(firsts)
    print(
        f"\nBroker restarted {count} times, daemon killed {alerting.kills} times: "
        f"{len(alerting.durable)} alerts acknowledged, 0 lost, {len(heard) - len(firsts)} "
        f"delivered twice, {len(waiting)} still waiting in the spool, order kept"
    )


@pytest.mark.slow
def test_an_hour_without_a_broker_loses_nothing(
    tmp_path, make_broker, subscribe, open_spool, events, make_alert, eventually
):
    """An alert every ten seconds for an hour, raised and cleared: more than any cooldown allows."""
    pytest.importorskip("paho.mqtt.client")
    from edge.alerts.delivery import RetrySettings
    from edge.alerts.homeassistant import Device
    from edge.alerts.mqtt import MqttSettings, MqttSink
    from edge.alerts.sink import FanOut

    broker = make_broker()
    spool = open_spool()
    settings = MqttSettings(
        host="127.0.0.1", port=broker.port, retry=RetrySettings(first_s=0.05, longest_s=0.2)
    )
    sink = MqttSink(settings, Device("pi1", "", "", ""), ("desk",), spool, {}, events)
    out = FanOut([sink], spool)
    for number in range(720):
        out.emit(make_alert(number))
    database = tmp_path / "broker"
    database.mkdir()
    assert spool.depth("mqtt") == 720
    broker.start()
    listener = subscribe(broker, "+/+/+/alert")
    for number in range(720, 730):
        out.emit(make_alert(number))
    eventually(lambda: spool.depth("mqtt") == 0)
    sink.close(HANG_S)
    assert events.kinds.count("mqtt-failed") == 1
    heard = listener.alert_ids()
    assert heard == sorted(heard, key=lambda identity: int(identity[3:]))
    print(f"\nBroker away for 720 alerts: {len(spool.pending('mqtt', 10**6))} left undelivered")


def mount(folder, kind, source, options):
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, str(source), str(folder)], check=True)


def unmount(folder):
    subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_full_disk_turns_to_memory_and_back_without_losing_an_alert(tmp_path, events):
    disk = tmp_path / "disk"
    mount(disk, "tmpfs", "tmpfs", "size=256k")
    try:
        spool = Spool(disk / "alerts.db", ("mqtt",), SETTINGS, events)
        assert spool.append({"type": "alert", "number": 0})
        (disk / "filling").write_bytes(b"x" * (shutil.disk_usage(disk).free))
        for number in range(1, 100):
            spool.append({"type": "alert", "number": number, "filling": "x" * 500})
        events.wait_for("spool-degraded")
        assert spool.degraded
        (disk / "filling").unlink()
        events.wait_for("spool-recovered")
        assert spool.append({"type": "alert", "number": 100})
        spool.close(HANG_S)
        assert numbers_in(disk / "alerts.db") == list(range(101))
        assert events.kinds == ["spool-degraded", "spool-recovered"]
    finally:
        unmount(disk)


@needs_root
def test_a_read_only_disk_is_said_and_used_once_it_can_be_written(tmp_path, events):
    disk = tmp_path / "disk"
    mount(disk, "tmpfs", "tmpfs", "size=1m,ro")
    try:
        spool = Spool(disk / "alerts.db", ("mqtt",), SETTINGS, events)
        assert events.kinds == ["spool-degraded"]
        assert spool.append({"type": "alert", "number": 0}) is False
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        events.wait_for("spool-recovered")
        spool.close(HANG_S)
        assert numbers_in(disk / "alerts.db") == [0]
    finally:
        unmount(disk)


@pytest.mark.parametrize("call", ["fdatasync", pytest.param("pwrite64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("error", ["EIO", pytest.param("ENOSPC", marks=pytest.mark.slow)])
def test_a_disk_whose_calls_fail_now_and_then_loses_no_acknowledged_alert(tmp_path, call, error):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    path = tmp_path / "alerts.db"
    wrapper = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}")
    wrapper += ("-e", f"inject={call}:error={error}:when=20..90+7")
    alerting = Alerting(path, tmp_path, pause_s=0.01, wrapper=wrapper)
    alerting.start(count=300)
    alerting.finish()
    assert "spool-degraded" in alerting.events
    assert "spool-recovered" in alerting.events
    found = numbers_in(path)
    check_nothing_lost(alerting.durable, found)
    assert found == list(range(300))
    print(
        f"\n{error} from every seventh {call}: 300 alerts, {len(alerting.durable)} acknowledged "
        f"at once, 0 lost, {alerting.events.count('spool-degraded')} event(s)"
    )


def cut_power(folder):
    """EXT4_IOC_SHUTDOWN without flushing the journal: what is not on the medium is gone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", 2))
    finally:
        os.close(descriptor)


@needs_root
@repeated(brief=3, full=30)
def test_power_cuts_lose_no_acknowledged_alert(tmp_path, count):
    image, disk = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    chance = random.Random(3)
    mount(disk, "ext4", image, "loop")
    alerting = Alerting(disk / "alerts.db", tmp_path, pause_s=0.002)
    for _ in range(count):
        alerting.start()
        time.sleep(chance.uniform(0.0, 0.3))
        # A process without power says nothing. This one outlives its disk for a moment, in which
        # ext4 can tell a call that was under way that all is well when it is not.
        said_before = len(alerting.lines_said())
        cut_power(disk)
        alerting.kill(said_before)
        unmount(disk)
        mount(disk, "ext4", image, "loop")
    try:
        found = numbers_in(disk / "alerts.db")
    finally:
        unmount(disk)
    check_nothing_lost(alerting.durable, found)
    print(
        f"\nPower cut {count} times: {len(alerting.durable)} alerts acknowledged, "
        f"{len(set(alerting.durable) - set(found))} lost"
    )


def test_a_spool_without_alerts_writes_nothing(tmp_path):
    def written():
        with open("/proc/self/io") as io:
            return int(dict(line.split(": ") for line in io.read().splitlines())["write_bytes"])

    spool = Spool(tmp_path / "alerts.db", ("mqtt",), SETTINGS, lambda record: None)
    before = written()
    time.sleep(2.5)
    assert written() == before
    spool.close(HANG_S)
