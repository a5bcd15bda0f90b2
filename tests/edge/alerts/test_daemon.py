"""The whole daemon and real receivers: what a microphone raises arrives, whatever happens."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bundles import RATE_HZ, voice, whisper
from tests.processes import Running

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto_sub") is None, reason="needs mosquitto and mosquitto-clients"
)


@pytest.fixture
def write_config(bundle: Path, tmp_path: Path):
    """A configuration whose one source raises and clears an alert every two seconds, for ever."""
    clip = tmp_path / "loop.wav"
    soundfile.write(clip, np.concatenate([whisper(1.0), voice(1.0)]), RATE_HZ)

    def write(rest: str) -> Path:
        path = tmp_path / "site.yaml"
        path.write_text(
            f"model: {{bundle: {bundle}}}\n"
            "metrics: {enabled: false}\n"
            "detection: {window_s: 0.5, hop_s: 0.1}\n"
            "decision: {alert_windows: 1, of_windows: 1, evidence_s: 1, cooldown_s: 0}\n"
            f"sources: [{{name: desk, kind: file, path: {clip}, pace: true, loop: true}}]\n"
            f"alerts:\n  spool: {{path: {tmp_path / 'alerts.db'}}}\n{rest}"
        )
        return path

    return write


def test_windows_alerts_and_the_model_reach_a_broker_and_a_webhook(
    write_config, make_broker, subscribe, receiver, eventually
) -> None:
    broker = make_broker().start()
    subscriber = subscribe(broker)
    config = write_config(
        f"  mqtt: {{host: 127.0.0.1, port: {broker.port}, device_id: pi}}\n"
        f"  webhook: {{url: {receiver.url!r}}}\n"
    )
    with Running("--config", config) as running:
        alert = running.wait_for(lambda r: r["type"] == "alert")
        eventually(lambda: alert["id"] in subscriber.alert_ids())
        eventually(lambda: alert["id"] in receiver.ids())
        eventually(lambda: subscriber.payloads("pi/model"))
        eventually(lambda: subscriber.payloads("desk/window"))
        assert running.end() == 0
    [status, *_] = map(json.loads, subscriber.payloads("pi/model"))
    assert (status["model"], status["health"]) == ("tiny 0.0.1", "configured")
    window = json.loads(subscriber.payloads("desk/window")[0])
    assert window in running.of_type("window")
    assert subscriber.payloads("pi/availability")[-1] == "offline"
    discovery = json.loads(subscriber.payloads("/config")[0])
    assert "desk_synthetic_voice" in discovery["components"]


def test_alerts_raised_before_the_power_went_arrive_when_the_broker_is_there_again(
    write_config, make_broker, subscribe, eventually
) -> None:
    broker = make_broker()
    config = write_config(f"  mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n")
    raised = []
    for _ in range(2):
        with Running("--config", config) as running:
            raised.append(running.wait_for(lambda r: r["type"] == "alert")["id"])
        # Leaving the block was a SIGKILL.
    broker.start()
    subscriber = subscribe(broker)
    with Running("--config", config) as running:
        eventually(lambda: set(raised) <= set(subscriber.alert_ids()))
        running.end()
    arrived = [i for i in subscriber.alert_ids() if i in raised]
    assert arrived == raised


def test_a_program_is_run_for_each_alert(write_config, tmp_path: Path, eventually) -> None:
    log = tmp_path / "log.jsonl"
    script = f"import sys; open({str(log)!r}, 'a').write(sys.stdin.read())"
    argv = json.dumps([sys.executable, "-c", script])
    with Running("--config", write_config(f"  command: {{argv: {argv}}}\n")) as running:
        alert = running.wait_for(lambda r: r["type"] == "alert")
        eventually(lambda: log.exists() and alert["id"] in log.read_text())
        running.end()
    assert json.loads(log.read_text().splitlines()[0]) == alert
