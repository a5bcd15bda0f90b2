"""The fleet's table from a real broker."""

from __future__ import annotations

import json
import subprocess

import pytest

from edge.errors import UpdateError
from edge.updates.choice import status
from edge.updates.fleet import Broker, read_fleet, statuses_of, table, topic_of
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
