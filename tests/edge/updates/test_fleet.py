"""The fleet's table from a real broker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest
import soundfile
import yaml

from edge.errors import UpdateError
from edge.updates.choice import status
from edge.updates.cli import _address
from edge.updates.fleet import Broker, read_fleet, statuses_of, table, topic_of
from edge.updates.proof import PACKAGES, prove
from tests.bundles import RATE_HZ, voice
from tests.edge.updates.services import binary, mosquitto
from tests.processes import free_port

pytest.importorskip("paho.mqtt")


def publish(port: int, device: str, payload: str, *options: str) -> None:
    topic = topic_of("earwitness", device)
    command = [binary("mosquitto_pub"), "-p", str(port), "-r", "-q", "1", "-t", topic]
    subprocess.run([*command, *options, "-m", payload], check=True)


def test_every_device_has_a_line(world, tmp_path):
    world.publish("1.0.0")
    world.install()
    with mosquitto(tmp_path) as port:
        publish(port, "device-1", json.dumps(status(world.settings)))
        publish(port, "device-2", json.dumps({"device": "device-2", "health": "built-in"}))
        publish(port, "device-3", "not json")
        rows = read_fleet(Broker("127.0.0.1", port, wait_s=3.0))
    assert [row["device"] for row in rows] == ["device-1", "device-2", "device-3"]
    text = table(rows)
    assert "1.0.0" in text and "on trial" in text and "unreadable status" in text


def test_a_broker_with_passwords(tmp_path):
    with mosquitto(tmp_path, {"fleet": "secret"}) as port:
        publish(port, "pi", '{"version": "1.0.0"}', "-u", "fleet", "-P", "secret")
        known = Broker("127.0.0.1", port, username="fleet", password="secret", wait_s=3.0)
        assert read_fleet(known)[0]["version"] == "1.0.0"
        with pytest.raises(UpdateError, match="refuses"):
            read_fleet(Broker("127.0.0.1", port, username="fleet", password="guess"))


def test_a_broker_that_is_not_there_is_named():
    port = free_port()
    with pytest.raises(UpdateError, match=f"{port} cannot be reached"):
        read_fleet(Broker("127.0.0.1", port))


def test_what_devices_say_cannot_drive_the_terminal():
    rows = statuses_of({"earwitness/pi/model": json.dumps({"error": "\x1b[2J\n" + "x" * 999})})
    assert "\x1b" not in table(rows) and max(map(len, table(rows).splitlines())) < 250


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"[]", b"7", b"", b"{"])
def test_an_unreadable_status_is_an_error_of_its_device(payload):
    (row,) = statuses_of({"earwitness/pi-7/model": payload})
    assert row["device"] == "pi-7" and "unreadable" in row["error"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pi", ("pi", 1883)),
        ("pi:99", ("pi", 99)),
        ("192.168.1.5", ("192.168.1.5", 1883)),
        ("[::1]", ("::1", 1883)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_brokers_are_named_by_host_and_port(text, address):
    assert _address(text, 1883) == address


@pytest.mark.parametrize(
    "text", ["", ":", ":1883", "pi:x", "pi:70000", "mqtt://pi", "pi/x", "[::1"]
)
def test_what_is_no_broker_is_refused(text):
    with pytest.raises(UpdateError, match="is no broker"):
        _address(text, 1883)


def test_a_server_that_is_no_broker_is_told_from_an_empty_fleet():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(UpdateError, match="does not answer"):
            read_fleet(Broker("127.0.0.1", port, wait_s=0.3))


def test_the_fleet_sees_a_refused_model_and_a_device_that_is_gone(world, tmp_path):
    """A real daemon, a real broker; the refusal happens in another process than the daemon."""
    world.publish("1.0.0")
    world.install()
    world.store.commit(world.store.current())
    soundfile.write(tmp_path / "room.wav", voice(6.0), RATE_HZ)
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as port:
        source = {"name": "room", "kind": "file", "path": str(tmp_path / "room.wav")}
        config = {
            "sources": [{**source, "pace": True, "loop": True}],
            "updates": {"store": str(world.settings.store)},
            "alerts": {"mqtt": {"host": "127.0.0.1", "port": port, "device_id": "hall"}},
            "metrics": {"enabled": False},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "run", "--config", str(path), "--format", "jsonl"],
            stdout=subprocess.DEVNULL,
            cwd=PACKAGES,
            env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        )
        try:
            row = wait_for_row(port, lambda row: row["online"] and row["health"] == "proven")
            assert row["device"] == "hall" and row["version"] == "1.0.0" and row["error"] is None
            world.publish("1.1.0", "never_a_number")
            with pytest.raises(UpdateError):
                world.install(prove_bundle=prove)
            row = wait_for_row(port, lambda row: row["error"])
            assert "fails its proof" in row["error"] and row["version"] == "1.0.0"
        finally:
            daemon.kill()
            daemon.wait()
        wait_for_row(port, lambda row: row["online"] is False)


def wait_for_row(port: int, condition) -> dict:
    ends_s = time.monotonic() + 60
    while True:
        rows = read_fleet(Broker("127.0.0.1", port, wait_s=0.3))
        if rows and condition(rows[0]):
            return rows[0]
        assert time.monotonic() < ends_s, rows
