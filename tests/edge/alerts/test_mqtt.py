"""The MQTT sink against a real mosquitto that goes, comes, refuses and dawdles."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.alerts.delivery import RetrySettings
from edge.alerts.homeassistant import Device
from edge.alerts.mqtt import MqttSink, device_of
from edge.alerts.settings import MqttSettings
from edge.alerts.sink import FanOut
from edge.errors import ConfigError
from tests.patience import HANG_S, repeated

DEVICE = Device("pi1", "Desk Pi", "Raspberry Pi 4", "1.0")
FAST = RetrySettings(first_s=0.05, longest_s=0.2)


@pytest.fixture
def connect(events):
    sinks = []

    def make(broker, spool, **changes):
        given = {"host": "127.0.0.1", "port": broker.port, "retry": FAST, "timeout_s": 60.0}
        settings = MqttSettings(**{**given, **changes})
        sink = MqttSink(settings, DEVICE, ("desk",), spool, os.environ, events)
        sinks.append(sink)
        return SimpleNamespace(mqtt=sink, emit=FanOut([sink], spool).emit)

    yield make
    for sink in sinks:
        sink.close(2.0)


def test_alerts_and_windows_reach_a_subscriber(
    make_broker, subscribe, open_spool, connect, make_alert, make_window, eventually
):
    broker = make_broker().start()
    listener = subscribe(broker)
    spool = open_spool()
    out = connect(broker, spool)
    eventually(lambda: out.mqtt.connected)
    out.emit(make_window(1))
    out.emit(make_alert(1))
    # A state is what holds when it is sent: one that has passed by then is left out.
    eventually(lambda: listener.payloads("/desk/state")[-1:] == ["ON"])
    out.emit(make_alert(2, state="cleared"))
    eventually(lambda: len(listener.payloads("earwitness/pi1/desk/alert")) == 2)
    eventually(lambda: spool.depth("mqtt") == 0)
    assert [json.loads(p) for p in listener.payloads("earwitness/pi1/desk/window")] == [
        make_window(1)
    ]
    assert [json.loads(p) for p in listener.payloads("/desk/alert")] == [
        make_alert(1),
        make_alert(2, state="cleared"),
    ]
    eventually(lambda: len(listener.payloads("/desk/state")) == 3)
    assert listener.payloads("/desk/state") == ["OFF", "ON", "OFF"]


def test_one_retained_message_describes_the_device_to_home_assistant(
    make_broker, subscribe, open_spool, connect, eventually
):
    broker = make_broker().start()
    out = connect(broker, open_spool())
    eventually(lambda: out.mqtt.connected)
    late = subscribe(broker)
    eventually(lambda: len(late.messages) >= 3)
    retained = {topic: payload for kept, topic, payload in late.messages if kept}
    assert retained["earwitness/pi1/availability"] == "online"
    assert retained["earwitness/pi1/desk/state"] == "OFF"
    configs = [topic for topic in retained if topic.startswith("homeassistant/")]
    assert configs == ["homeassistant/device/earwitness_pi1/config"]
    description = json.loads(retained[configs[0]])
    assert description["availability_topic"] == "earwitness/pi1/availability"
    assert {part["platform"] for part in description["components"].values()} == {
        "binary_sensor",
        "event",
        "sensor",
    }
    ids = [part["unique_id"] for part in description["components"].values()]
    assert len(set(ids)) == len(ids) == 6


def test_the_device_is_announced_again_when_home_assistant_returns(
    make_broker, subscribe, open_spool, connect, eventually
):
    broker = make_broker().start()
    out = connect(broker, open_spool())
    eventually(lambda: out.mqtt.connected)
    listener = subscribe(broker, "homeassistant/device/#")
    eventually(lambda: len(listener.messages) == 1)
    subprocess.run(
        ["mosquitto_pub", "-p", str(broker.port), "-t", "homeassistant/status", "-m", "online"],
        check=True,
    )
    eventually(lambda: len(listener.messages) == 2)


def test_a_closed_device_says_that_it_leaves(
    make_broker, subscribe, open_spool, connect, eventually
):
    broker = make_broker().start()
    listener = subscribe(broker, "+/+/availability")
    out = connect(broker, open_spool())
    eventually(lambda: listener.payloads("availability") == ["online"])
    out.mqtt.close(HANG_S)
    eventually(lambda: listener.payloads("availability") == ["online", "offline"])


def test_alerts_made_while_the_broker_is_away_arrive_in_order_once_it_is_there(
    make_broker, subscribe, open_spool, connect, events, make_alert, eventually
):
    broker = make_broker()
    spool = open_spool()
    out = connect(broker, spool)
    for number in range(60):
        out.emit(make_alert(number))
    events.wait_for("mqtt-failed")
    assert spool.depth("mqtt") == 60
    broker.start()
    listener = subscribe(broker, "+/+/+/alert")
    eventually(lambda: spool.depth("mqtt") == 0)
    events.wait_for("mqtt-recovered")
    broker.kill()
    eventually(lambda: not out.mqtt.connected)
    broker.start()
    again = subscribe(broker, "+/+/+/alert")
    for number in range(60, 90):
        out.emit(make_alert(number))
    eventually(lambda: spool.depth("mqtt") == 0)
    eventually(lambda: len(again.alert_ids()) == 30)
    assert again.alert_ids() == [f"id-{n}" for n in range(60, 90)]
    assert set(listener.alert_ids()) <= {f"id-{n}" for n in range(60)}


def test_refused_credentials_keep_the_alerts_until_the_right_ones_are_accepted(
    make_broker, subscribe, open_spool, connect, events, make_alert, eventually, tmp_path
):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "pi", "right"], check=True)
    broker = make_broker(f"allow_anonymous false\npassword_file {passwords}\n").start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    spool = open_spool()
    out = connect(broker, spool, username="pi", password_file=str(secret))
    out.emit(make_alert(1))
    events.wait_for("mqtt-failed")
    assert "ot authorized" in events.records[0]["message"]
    out.mqtt.close(HANG_S)
    assert spool.depth("mqtt") == 1
    secret.write_text("right\n")
    listener = subscribe(broker, "#", ("-u", "pi", "-P", "right"))
    connect(broker, spool, username="pi", password_file=str(secret))
    eventually(lambda: listener.alert_ids() == ["id-1"])
    eventually(lambda: spool.depth("mqtt") == 0)


def test_alerts_that_the_broker_does_not_permit_are_kept_and_said(
    make_broker, open_spool, connect, events, make_alert, eventually, tmp_path
):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite earwitness/+/availability\n")
    broker = make_broker(f"allow_anonymous true\nacl_file {rules}\n").start()
    spool = open_spool()
    out = connect(broker, spool)
    out.emit(make_alert(1))
    events.wait_for("mqtt-failed")
    events.wait_for("mqtt-refused")
    assert spool.depth("mqtt") == 1


def test_a_broker_that_hangs_is_left_and_the_alert_reaches_it_later(
    make_broker, subscribe, open_spool, connect, events, make_alert, eventually
):
    broker = make_broker().start()
    spool = open_spool()
    out = connect(broker, spool, timeout_s=0.5)
    eventually(lambda: out.mqtt.connected)
    os.kill(broker.pid, signal.SIGSTOP)
    out.emit(make_alert(1))
    events.wait_for("mqtt-failed")
    os.kill(broker.pid, signal.SIGCONT)
    listener = subscribe(broker)
    eventually(lambda: spool.depth("mqtt") == 0)
    out.emit(make_alert(2))
    eventually(lambda: "id-2" in listener.alert_ids())


def test_emitting_does_not_wait_for_a_broker_that_hangs(
    make_broker, open_spool, connect, events, make_alert, eventually
):
    broker = make_broker().start()
    spool = open_spool()
    out = connect(broker, spool, timeout_s=120.0)
    eventually(lambda: out.mqtt.connected)
    os.kill(broker.pid, signal.SIGSTOP)
    for number in range(5):
        out.emit(make_alert(number))
    assert spool.depth("mqtt") == 5 and events.kinds == []
    os.kill(broker.pid, signal.SIGCONT)
    eventually(lambda: spool.depth("mqtt") == 0)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_slow_reader_of_the_socket_loses_windows_but_no_alert(
    make_broker, subscribe, open_spool, connect, make_alert, make_window, eventually, protocol
):
    broker = make_broker().start()
    listener = subscribe(broker, "+/+/+/alert")
    spool = open_spool()
    out = connect(broker, spool, protocol=protocol)
    eventually(lambda: out.mqtt.connected)
    os.kill(broker.pid, signal.SIGSTOP)
    for number in range(300):
        out.emit({**make_window(number), "filling": "x" * 20_000})
    out.emit(make_alert(1))
    time.sleep(0.5)
    os.kill(broker.pid, signal.SIGCONT)
    eventually(lambda: spool.depth("mqtt") == 0)
    eventually(lambda: listener.alert_ids() == ["id-1"])


def test_bytes_that_are_not_mqtt_cost_only_the_connection(
    open_spool, connect, events, make_alert, an_open_port
):
    port = an_open_port()
    noise = os.urandom(200)
    with socket.create_server(("127.0.0.1", port)) as server:

        def babble():
            for opening in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x00\x00" + noise):
                peer, _ = server.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(opening)

        threading.Thread(target=babble, daemon=True).start()
        out = connect(SimpleNamespace(port=port), open_spool())
        out.emit(make_alert(1))
        events.wait_for("mqtt-failed")
    time.sleep(0.5)
    out.emit(make_alert(2))
    assert out.mqtt._thread.is_alive()


def test_closing_does_not_wait_for_a_broker_that_is_away(
    make_broker, open_spool, connect, make_alert
):
    out = connect(make_broker(), open_spool())
    out.emit(make_alert(1))
    began_s = time.monotonic()
    out.mqtt.close(2 * HANG_S)
    assert time.monotonic() - began_s < HANG_S


def test_closing_delivers_what_was_emitted_just_before(
    make_broker, subscribe, open_spool, connect, make_alert, eventually
):
    broker = make_broker().start()
    listener = subscribe(broker)
    spool = open_spool()
    out = connect(broker, spool)
    eventually(lambda: out.mqtt.connected)
    for number in range(50):
        out.emit(make_alert(number))
    out.mqtt.close(HANG_S)
    assert spool.depth("mqtt") == 0
    eventually(lambda: listener.alert_ids() == [f"id-{n}" for n in range(50)])


def make_certificates(directory, name="127.0.0.1"):
    key, certificate = directory / "key.pem", directory / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2"
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{name}"]
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate, *names],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_tls_delivers_to_a_broker_whose_certificate_is_trusted_and_to_no_other(
    make_broker, open_spool, connect, events, make_alert, eventually, tmp_path
):
    certificate, key = make_certificates(tmp_path)
    broker = make_broker(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n").start()
    spool = open_spool()
    out = connect(broker, spool, tls=True)
    out.emit(make_alert(1))
    events.wait_for("mqtt-failed")
    assert "certificate" in events.records[0]["message"].lower()
    assert spool.depth("mqtt") == 1
    out.mqtt.close(HANG_S)
    connect(broker, spool, tls=True, ca_file=str(certificate))
    eventually(lambda: spool.depth("mqtt") == 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"password_file": "/nonexistent/secret"},
        {"password_file": "relative-name"},
        {"ca_file": "/etc/ssl/cert.pem"},
        {"tls": True, "ca_file": "/nonexistent.pem"},
        {"tls": True, "client_certificate_file": "/nonexistent.pem"},
        {"topic": "ear/#"},
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(open_spool, events, changes):
    settings = MqttSettings(host="127.0.0.1", **changes)
    with pytest.raises(ConfigError, match=r"\.$"):
        MqttSink(settings, DEVICE, ("desk",), open_spool(), {}, events)


def test_sources_whose_topics_would_collide_are_refused(open_spool, events):
    with pytest.raises(ConfigError, match="another"):
        MqttSink(MqttSettings(host="h"), DEVICE, ("Desk 1", "desk-1"), open_spool(), {}, events)


def test_a_device_has_its_own_name_in_topics_unless_the_owner_gives_another():
    assert device_of(MqttSettings(), "3f2a", "pi", "board", "1.0").id == "3f2a"
    assert device_of(MqttSettings(device_id="hall"), "3f2a", "pi", "board", "1.0").id == "hall"
    with pytest.raises(ConfigError):
        device_of(MqttSettings(device_id="a/b"), "3f2a", "pi", "board", "1.0")


@repeated(brief=300, full=5000)
def test_payloads_of_any_bytes_on_home_assistants_topic_change_nothing(
    make_broker, subscribe, open_spool, connect, events, make_alert, eventually, count
):
    broker = make_broker().start()
    spool = open_spool()
    out = connect(broker, spool)
    eventually(lambda: out.mqtt.connected)
    chance = random.Random(5)
    other = paho.Client(CallbackAPIVersion.VERSION2)
    other.connect("127.0.0.1", broker.port)
    other.loop_start()
    for _ in range(count):
        payload = chance.randbytes(chance.choice((0, 1, 6, 200, 5000)))
        last = other.publish("homeassistant/status", payload, qos=1, retain=chance.random() < 0.1)
    last.wait_for_publish(HANG_S)
    other.loop_stop()
    out.emit(make_alert(1))
    eventually(lambda: spool.depth("mqtt") == 0)
    assert events.kinds == []


@repeated(brief=300, full=2000)
def test_mangled_answers_of_a_broker_cost_connections_and_no_alert(
    make_broker, open_spool, connect, events, make_alert, eventually, count
):
    """Packets cut, stretched and with bits flipped, in place of what a broker should say."""
    broker = make_broker()
    answers = (
        b"\x20\x03\x00\x00\x00",
        b"\x40\x02\x00\x01",
        b"\x90\x04\x00\x02\x00\x00",
        b"\x30\x1b\x00\x14homeassistant/status\x00online",
        b"\xe0\x00",
        b"\xd0\x00",
    )
    chance = random.Random(6)
    sent = 0

    def mangled():
        packets = bytearray(answers[0]) if chance.random() < 0.7 else bytearray()
        for _ in range(chance.randrange(1, 5)):
            packet = bytearray(chance.choice(answers))
            for _ in range(chance.randrange(0, 4)):
                packet[chance.randrange(len(packet))] = chance.randrange(256)
            packets += packet[: chance.randrange(1, len(packet) + 1)]
        return bytes(packets)

    spool = open_spool()
    with socket.create_server(("127.0.0.1", broker.port)) as server:
        server.settimeout(HANG_S)
        quick = RetrySettings(first_s=0.01, longest_s=0.01)
        out = connect(broker, spool, retry=quick)
        out.emit(make_alert(1))
        while sent < count:
            peer, _ = server.accept()
            with peer:
                for _ in range(10):
                    try:
                        peer.sendall(mangled())
                    except OSError:
                        break
                    sent += 1
    broker.start()
    out.emit(make_alert(2))
    eventually(lambda: spool.depth("mqtt") == 0)
    assert len(events.kinds) < 100
