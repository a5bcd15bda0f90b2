"""Webhooks against a real HTTP server that refuses, dawdles, dies and redirects."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from edge.alerts.delivery import DeliveryError, RetrySettings, SpooledSink
from edge.alerts.settings import WebhookSettings
from edge.alerts.sink import FanOut
from edge.alerts.webhook import WebhookTransport
from edge.errors import ConfigError
from tests.patience import HANG_S

FAST = RetrySettings(first_s=0.05, longest_s=0.2)


@pytest.fixture
def hook(events, open_spool):
    sinks = []

    def make(url, wanted=(), retry=FAST, spool=None, **changes):
        settings = WebhookSettings(url=url, **{"timeout_s": 60.0, **changes})
        spool = spool or open_spool("webhook")
        transport = WebhookTransport(settings, os.environ)
        sink = SpooledSink("webhook", transport, spool, retry, wanted, events)
        sinks.append(sink)
        return SimpleNamespace(sink=sink, spool=spool, emit=FanOut([sink], spool).emit)

    yield make
    for sink in sinks:
        sink.close(3.0)


def test_alerts_are_posted_signed_and_in_order(
    receiver, hook, make_alert, make_window, eventually, tmp_path
):
    (tmp_path / "secret").write_text("hush\n")
    out = hook(receiver.url, secret_file=str(tmp_path / "secret"))
    out.emit(make_window(1))
    for number in range(5):
        out.emit(make_alert(number))
    eventually(lambda: out.spool.depth("webhook") == 0)
    assert receiver.ids() == [f"id-{n}" for n in range(5)]
    headers, body = receiver.requests[0]
    expected = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    assert headers["X-Earwitness-Signature"] == f"sha256={expected}"
    assert headers["Idempotency-Key"] == "id-0-raised"
    assert json.loads(body) == make_alert(0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_server_that_refuses_gets_the_alert_again_until_it_takes_it(
    receiver, hook, events, make_alert, eventually, status
):
    receiver.answers = [(status, {}, 0.0)] * 3
    out = hook(receiver.url)
    out.emit(make_alert(1))
    out.emit(make_alert(2))
    eventually(lambda: out.spool.depth("webhook") == 0)
    assert receiver.ids() == ["id-1", "id-2"]
    assert events.kinds == ["delivery-failed", "delivery-recovered"]
    assert str(status) in events.records[0]["message"]


def test_a_redirect_is_an_error_that_names_itself(receiver, hook, events, make_alert):
    receiver.answers = [(302, {"Location": "/elsewhere"}, 0.0)] * 1000
    out = hook(receiver.url)
    out.emit(make_alert(1))
    events.wait_for("delivery-failed")
    assert "redirects" in events.records[0]["message"]
    assert out.spool.depth("webhook") == 1


def test_a_server_that_asks_for_time_is_given_it(receiver, hook, make_alert, eventually):
    receiver.answers = [(503, {"Retry-After": "1"}, 0.0)]
    out = hook(receiver.url, retry=RetrySettings(first_s=0.01, longest_s=5.0))
    began_s = time.monotonic()
    out.emit(make_alert(1))
    eventually(lambda: out.spool.depth("webhook") == 0)
    assert time.monotonic() - began_s >= 1.0


def test_a_server_that_is_away_gets_everything_once_it_returns(
    hook, events, make_alert, eventually, an_open_port, request
):
    port = an_open_port()
    out = hook(f"http://127.0.0.1:{port}/hook")
    for number in range(20):
        out.emit(make_alert(number))
    events.wait_for("delivery-failed")
    receiver_class = type(request.getfixturevalue("receiver"))
    server = receiver_class(port)
    try:
        eventually(lambda: out.spool.depth("webhook") == 0)
        assert server.ids() == [f"id-{n}" for n in range(20)]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("manner", ["silent", "noise", "closes"])
def test_a_server_that_does_not_speak_http_is_survived(
    hook, events, make_alert, an_open_port, manner
):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def misbehave():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                if manner == "noise":
                    peer.sendall(os.urandom(100))
                if manner == "silent":
                    time.sleep(1.0)
                peer.close()

        threading.Thread(target=misbehave, daemon=True).start()
        out = hook(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.2)
        out.emit(make_alert(1))
        events.wait_for("delivery-failed")
        assert out.spool.depth("webhook") == 1


def test_emitting_does_not_wait_for_a_slow_server(receiver, hook, make_alert):
    receiver.answers = [(204, {}, 2 * HANG_S)]
    out = hook(receiver.url, timeout_s=2 * HANG_S)
    for number in range(5):
        out.emit(make_alert(number))
    # Whoever waits has seen the first answer come, or has asked again.
    assert out.spool.depth("webhook") == 5 and len(receiver.requests) <= 1


def test_alerts_left_at_the_end_are_delivered_by_the_next_run(
    receiver, hook, open_spool, make_alert, eventually
):
    receiver.answers = [(500, {}, 0.0)] * 1000
    out = hook(receiver.url)
    out.emit(make_alert(1))
    out.sink.close(2.0)
    out.spool.close(HANG_S)
    receiver.answers = []
    again = hook(receiver.url, spool=open_spool("webhook"))
    eventually(lambda: again.spool.depth("webhook") == 0)
    assert receiver.ids() == ["id-1"]


def test_windows_are_posted_when_wanted_and_forgotten_when_the_server_refuses(
    receiver, hook, make_window, eventually
):
    receiver.answers = [(500, {}, 0.0)]
    out = hook(receiver.url, wanted=("window",))
    out.emit(make_window(1))
    eventually(lambda: not receiver.answers)
    out.emit(make_window(2))
    eventually(lambda: len(receiver.requests) == 1)
    assert json.loads(receiver.requests[0][1])["window"] == 2


@pytest.mark.parametrize(
    "url",
    ["ftp://host/", "host/path", "http://", "http://a b/", "http://u:p@host/", "http://h:99999/"],
)
def test_an_address_that_cannot_work_is_refused_with_a_sentence(url):
    with pytest.raises(ConfigError, match=r"webhook address .*\.$"):
        WebhookTransport(WebhookSettings(url=url), {})


def test_a_single_post_tells_what_went_wrong(an_open_port, make_alert):
    transport = WebhookTransport(WebhookSettings(url=f"http://127.0.0.1:{an_open_port()}/"), {})
    with pytest.raises(DeliveryError, match="refused"):
        transport.send(make_alert(1))
