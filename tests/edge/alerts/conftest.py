"""Real services for the alert tests: a broker, an HTTP server, and ears for events."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge.alerts.spool import Spool, SpoolSettings
from tests.patience import HANG_S, wait_until
from tests.processes import free_port

SPOOL_SETTINGS = SpoolSettings(max_alerts=1000, commit_wait_s=60.0, retry_disk_s=0.1)


class Events:
    """Collects event records and lets a test wait for one."""

    def __init__(self):
        self.records = []
        self._changed = threading.Condition()

    def __call__(self, record):
        with self._changed:
            self.records.append(dict(record))
            self._changed.notify_all()

    @property
    def kinds(self):
        return [record["kind"] for record in self.records]

    def wait_for(self, kind, timeout_s=HANG_S):
        with self._changed:
            assert self._changed.wait_for(lambda: kind in self.kinds, timeout_s), self.kinds


def alert(number, source="desk", state="raised"):
    return {
        "type": "alert",
        "id": f"id-{number}",
        "state": state,
        "time": "2025-06-01T12:00:00.000+02:00",
        "source": source,
        "window": number,
        "spoof_probability": 0.97,
        "rule": "3 of the last 5 windows exceed 0.82",
        "model": "test-1",
    }


def window(number, source="desk", probability=0.25):
    return {
        "type": "window",
        "time": "2025-06-01T12:00:00.000+02:00",
        "source": source,
        "window": number,
        "start_s": float(number),
        "end_s": number + 5.0,
        "speech": True,
        "spoof_probability": probability,
        "smoothed_probability": probability,
        "verdict": "bonafide",
        "health": "ok",
        "model": "test-1",
        "latency_ms": 12.5,
    }


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def open_spool(tmp_path, events):
    opened = []

    def open_one(*sinks, path=None, settings=SPOOL_SETTINGS):
        spool = Spool(path or tmp_path / "alerts.db", sinks or ("mqtt",), settings, events)
        opened.append(spool)
        return spool

    yield open_one
    for spool in opened:
        spool.close(HANG_S)


class Broker:
    """A real mosquitto that can be stopped, killed and brought back on the same port."""

    def __init__(self, directory, extra=""):
        self.port = free_port()
        self._config = directory / "mosquitto.conf"
        self._config.write_text(
            # Run as root, mosquitto would turn into a user that cannot read pytest's folders.
            f"user root\nlistener {self.port} 127.0.0.1\n"
            + (extra or "allow_anonymous true\n")
            + "log_type none\n"
        )
        self._process = None

    def start(self):
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        self._process = subprocess.Popen(
            [program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._listening)
        return self

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self):
        """An orderly end, in which a persistent broker saves what it has taken on."""
        self._process.terminate()
        self._process.wait()
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    def _listening(self):
        assert self._process.poll() is None, "mosquitto did not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """A real mosquitto_sub; `messages` are (retained, topic, payload)."""

    def __init__(self, port, topic="#", extra=()):
        self.messages = []
        self._subscribed = threading.Event()
        command = f"stdbuf -oL mosquitto_sub -d -q 1 -p {port} -t {topic}"
        self._process = subprocess.Popen(
            [*command.split(), "-F", "MESSAGE %r %t %p", *extra],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._subscribed.wait(HANG_S), "mosquitto_sub did not subscribe"

    def _read(self):
        for line in self._process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "MESSAGE":
                retained, topic, payload = rest.split(" ", 2)
                self.messages.append((retained == "1", topic, payload))
            elif word == "Subscribed":
                self._subscribed.set()

    def payloads(self, ending):
        return [payload for _, topic, payload in list(self.messages) if topic.endswith(ending)]

    def alert_ids(self):
        return [json.loads(payload)["id"] for payload in self.payloads("/alert")]

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def make_broker(tmp_path):
    brokers = []

    def make(extra=""):
        broker = Broker(tmp_path, extra)
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def subscribe():
    subscribers = []

    def make(broker, topic="#", extra=()):
        subscriber = Subscriber(broker.port, topic, extra)
        subscribers.append(subscriber)
        return subscriber

    yield make
    for subscriber in subscribers:
        subscriber.stop()


class Receiver(ThreadingHTTPServer):
    """A real HTTP server; `answers` are used up one by one, then everything is taken."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.requests = []
        self.answers = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"

    def ids(self):
        return [json.loads(body).get("id") for _, body in list(self.requests)]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, pause_s = (
            self.server.answers.pop(0) if self.server.answers else (204, {}, 0.0)
        )
        if 200 <= status < 300:
            self.server.requests.append((dict(self.headers), body))
        time.sleep(pause_s)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def make_alert():
    return alert


@pytest.fixture
def make_window():
    return window


@pytest.fixture
def eventually():
    return wait_until


@pytest.fixture
def an_open_port():
    return free_port
