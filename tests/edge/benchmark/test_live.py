"""The figures of a running daemon, from what it really shows to Prometheus."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.benchmark import live
from edge.benchmark.__main__ import run
from edge.errors import EdgeError


def exposition(durations_s: dict[str, list[float]], windows: int = 0) -> str:
    """What the daemon's own metrics show after these durations."""
    pytest.importorskip("prometheus_client")
    from prometheus_client.exposition import generate_latest

    from edge.metrics import Metrics

    metrics = Metrics(["microphone"])
    for stage, values in durations_s.items():
        for value in values:
            metrics.stage(stage, value)
    for _ in range(windows):
        metrics.emit(WINDOW)
    return generate_latest(metrics.registry).decode()


WINDOW = {
    "type": "window",
    "source": "microphone",
    "verdict": "bonafide",
    "speech": True,
    "health": "ok",
    "spoof_probability": 0.1,
    "level_dbfs": -20.0,
    "latency_ms": 30.0,
}


def test_percentiles_come_from_the_daemons_own_buckets():
    text = exposition({"inference": [0.002] * 50 + [0.004] * 50, "log_mel": [0.0004]}, windows=3)
    document = live.document(live.parse(text), None)
    inference = document["stages"]["inference"]
    # Half of the values lie in (1, 2.5] ms and half in (2.5, 5] ms.
    assert inference["p50"] == pytest.approx(2.5)
    assert inference["p90"] == pytest.approx(4.5)
    assert inference["at_most"] == pytest.approx(5.0)
    assert document["stages"]["log_mel"]["at_most"] == pytest.approx(0.5)
    assert document["windows"] == 3
    assert document["latency"]["microphone"]["at_most"] == pytest.approx(50)


def test_only_the_time_that_was_watched_counts():
    earlier = live.parse(exposition({"inference": [0.2] * 10}, windows=10))
    later = live.parse(exposition({"inference": [0.2] * 10 + [0.002] * 4}, windows=14))
    document = live.document(live.since(later, earlier), 4.0)
    assert document["windows"] == 4
    assert document["stages"]["inference"]["at_most"] == pytest.approx(2.5)


def test_a_restart_while_watching_is_said():
    earlier = live.parse(exposition({"inference": [0.002] * 10}))
    later = live.parse(exposition({"inference": [0.002] * 2}))
    with pytest.raises(EdgeError, match="restarted"):
        live.since(later, earlier)


def test_no_window_in_the_time_watched_is_said():
    scrape = live.parse(exposition({"inference": [0.002] * 10}))
    with pytest.raises(EdgeError, match="no window"):
        live.since(scrape, scrape)


def test_values_beyond_the_last_bucket_are_not_given_a_number():
    document = live.document(live.parse(exposition({"inference": [99.0] * 3})), None)
    assert document["stages"]["inference"]["p50"] is None
    assert "more" in live.text(document)


@given(st.lists(st.floats(0.0001, 4.9), min_size=1, max_size=60), st.integers(1, 100))
@example([0.0078125], 100)
def test_a_quantile_lies_in_the_bucket_of_the_value_it_stands_for(values, percent):
    limits = (0.001, 0.01, 0.1, 1.0, 5.0, math.inf)
    buckets = {limit: float(sum(v <= limit for v in values)) for limit in limits}
    found = live.quantile(buckets, percent / 100)
    exact = sorted(values)[math.ceil(percent / 100 * len(values)) - 1]
    upper = next(limit for limit in limits if exact <= limit)
    lower = max((limit for limit in limits if limit < upper), default=0.0)
    assert lower <= found <= upper


@pytest.mark.parametrize("text", ["<html>", "up 1\n", ""])
def test_another_programs_answer_is_refused(text):
    with pytest.raises(EdgeError, match="daemon"):
        live.parse(text)


def test_a_real_server_is_read_over_http(capsys):
    pytest.importorskip("prometheus_client")
    from edge.metrics import Health, Metrics, MetricsServer, MetricsSettings

    metrics = Metrics(["microphone"])
    metrics.stage("inference", 0.002)
    metrics.emit(WINDOW)
    server = MetricsServer(MetricsSettings(port=0), metrics, lambda: Health(True, {}))
    try:
        url = f"http://127.0.0.1:{server.port}/metrics"
        assert run(["--live", url]) == 0
        assert "inference" in capsys.readouterr().out
        assert run(["--live", url, "--json", "-"]) == 0
        assert json.loads(capsys.readouterr().out)["windows"] == 1
    finally:
        server.close()
    with pytest.raises(EdgeError, match="No daemon answers"):
        run(["--live", url])
