"""Metrics over real HTTP, and every query of the dashboard against a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from edge.errors import ConfigError
from edge.metrics import Health, Metrics, MetricsServer, MetricsSettings
from tests.patience import HANG_S
from tests.processes import free_port

DASHBOARD = Path(__file__).parents[2] / "systemd" / "grafana-dashboard.json"


def window(number=1, **changes):
    return {
        "type": "window",
        "source": "desk",
        "window": number,
        "speech": True,
        "spoof_probability": 0.25,
        "smoothed_probability": 0.3,
        "verdict": "bonafide",
        "health": "ok",
        "level_dbfs": -32.5,
        "model": "default-1",
        "latency_ms": 40.0,
        **changes,
    }


def alert(state="raised"):
    return {"type": "alert", "id": "a", "state": state, "source": "desk"}


def event(kind="gap", **facts):
    return {"type": "event", "source": "desk", "kind": kind, "message": "Lost some.", **facts}


def fill(metrics):
    """A minute in the life of a daemon, everything in it once."""
    for number in range(20):
        metrics.emit(window(number))
        for stage in ("log_mel", "gate", "inference", "decision"):
            metrics.stage(stage, 0.002)
    metrics.emit(window(20, speech=False, spoof_probability=None, verdict="no-speech"))
    metrics.emit(
        window(
            21,
            speech=False,
            spoof_probability=None,
            verdict="not-scored",
            health="clipped",
            level_dbfs=None,
        )
    )
    metrics.emit(alert("raised"))
    metrics.emit(alert("cleared"))
    metrics.emit(event("gap", lost_s=1.5))
    metrics.emit(event("recovered", count=3))


class PatientSpool:
    """What metrics ask of a spool."""

    degraded = False

    def depth(self, sink):
        return 2

    def dropped(self, sink):
        return 0


def build(folder):
    """Metrics of a daemon on a Raspberry Pi whose supply is weak."""
    for name, content in {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "51500",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    metrics = Metrics(["desk"])
    status = {"health": "proven", "quarantine": {"1.1.0-ab": "NaN"}, "error_at_s": 9.5}
    metrics.model("default-1", status)
    metrics.watch_spool(PatientSpool(), ["mqtt"])
    metrics.watch_board(folder)
    return metrics


@pytest.fixture
def metrics(tmp_path):
    return build(tmp_path)


@pytest.fixture
def serve(metrics):
    servers = []

    def start(health=lambda: Health(True, {})):
        server = MetricsServer(MetricsSettings(port=0), metrics, health)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def get(server, path):
    url = f"http://127.0.0.1:{server.port}{path}"
    with urllib.request.urlopen(url, timeout=HANG_S) as answer:
        return answer.status, answer.read().decode()


def test_what_is_emitted_is_what_prometheus_reads(serve, metrics):
    fill(metrics)
    _, text = get(serve(), "/metrics")
    lines = text.splitlines()
    for line in (
        'earwitness_windows_total{source="desk",verdict="bonafide"} 20.0',
        'earwitness_windows_total{source="desk",verdict="no-speech"} 1.0',
        'earwitness_speech_windows_total{source="desk"} 20.0',
        'earwitness_unhealthy_windows_total{health="clipped",source="desk"} 1.0',
        'earwitness_alerts_total{source="desk",state="raised"} 1.0',
        'earwitness_alert_active{source="desk"} 0.0',
        'earwitness_events_total{kind="recovered",source="desk"} 3.0',
        'earwitness_lost_audio_seconds_total{source="desk"} 1.5',
        'earwitness_input_level_dbfs{source="desk"} -32.5',
        'earwitness_model_info{health="proven",model="default-1"} 1.0',
        "earwitness_models_quarantined 1.0",
        "earwitness_model_failure_timestamp_seconds 9.5",
        'earwitness_spoof_probability_bucket{le="0.3",source="desk"} 20.0',
        'earwitness_spoof_probability_bucket{le="0.2",source="desk"} 0.0',
        'earwitness_stage_seconds_count{stage="inference"} 20.0',
        'earwitness_spool_alerts{sink="mqtt"} 2.0',
        "earwitness_cpu_temperature_celsius 51.5",
        'earwitness_throttling{condition="under_voltage"} 1.0',
    ):
        assert line in lines, line
    assert "process_resident_memory_bytes" in text


def test_counters_start_at_zero_so_that_the_first_alert_is_seen_as_a_rise(serve):
    _, text = get(serve(), "/metrics")
    assert 'earwitness_alerts_total{source="desk",state="raised"} 0.0' in text
    assert 'earwitness_events_total{kind="gap",source="desk"} 0.0' in text


def test_a_change_of_model_leaves_one_model(serve, metrics):
    metrics.model("default-2", {"health": "on trial"})
    _, text = get(serve(), "/metrics")
    assert [line for line in text.splitlines() if line.startswith("earwitness_model_info")] == [
        'earwitness_model_info{health="on trial",model="default-2"} 1.0'
    ]


def test_the_exposition_passes_promtool(serve, metrics):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    fill(metrics)
    _, text = get(serve(), "/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_health_is_told_with_its_reasons(serve):
    health = [Health(True, {"sources": {"desk": "ok"}})]
    server = serve(health=lambda: health[0])
    assert get(server, "/healthz") == (200, '{"status": "ok", "sources": {"desk": "ok"}}\n')
    health[0] = Health(False, {"sources": {"desk": "stalled"}})
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "/healthz")
    assert caught.value.code == 503
    assert json.loads(caught.value.read())["status"] == "failing"


def test_other_paths_and_methods_are_refused(serve):
    server = serve()
    for request in (
        urllib.request.Request(f"http://127.0.0.1:{server.port}/etc/passwd"),
        urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", b"x", method="POST"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=HANG_S)
        assert caught.value.code in (404, 501)


def test_clients_that_hang_up_or_babble_do_not_hinder_others(serve, capfd):
    server = serve()
    for opening in (
        b"",
        b"GET /metr",
        b"\x16\x03\x01\x00\xff" * 50,
        b"GET /metrics HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(opening)
    assert get(server, "/healthz")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_in_use_is_refused_with_a_sentence(serve, metrics):
    taken = serve().port
    with pytest.raises(ConfigError, match=r"already in use.*metrics\.port"):
        MetricsServer(MetricsSettings(port=taken), metrics, lambda: Health(True, {}))


def dashboard_queries():
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']}: {target['expr']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def substituted(query):
    """A query as Grafana would send it with everything selected."""
    return (
        query.replace("$__rate_interval", "1m")
        .replace("$__range", "1m")
        .replace("$source", ".*")
        .replace("$instance", ".*")
    )


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A real Prometheus that has scraped a real, living Metrics for a few seconds."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    metrics = build(folder / "board")
    server = MetricsServer(MetricsSettings(port=0), metrics, lambda: Health(True, {}))
    port = free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs: [{job_name: earwitness, static_configs: "
        f"[{{targets: ['127.0.0.1:{server.port}']}}]}}]\n"
    )
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    deadline_s = time.monotonic() + HANG_S
    base = f"http://127.0.0.1:{port}/api/v1/query?query="
    try:
        while True:
            assert time.monotonic() < deadline_s, "prometheus does not scrape"
            fill(metrics)
            time.sleep(0.5)
            try:
                scrapes = ask(base, "count_over_time(earwitness_alert_active[1m])")
            except OSError:
                continue
            if scrapes and float(scrapes[0]["value"][1]) >= 4:
                break
        yield lambda query: ask(base, query)
    finally:
        process.kill()
        process.wait()
        server.close()


def ask(base, query):
    try:
        with urllib.request.urlopen(base + urllib.parse.quote(query), timeout=HANG_S) as answer:
            return json.loads(answer.read())["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.loads(error.read())["error"]) from error


@pytest.mark.parametrize("query", dashboard_queries().values(), ids=list(dashboard_queries()))
def test_every_query_of_the_dashboard_gives_numbers(prometheus, query):
    result = prometheus(substituted(query))
    assert result, query
    values = [series["value"][1] for series in result]
    assert all(re.fullmatch(r"-?[0-9.e+-]+", value) for value in values), values


def test_the_dashboard_shows_every_metric_that_the_daemon_has(metrics):
    names = {family.name for family in metrics.registry.collect()} | {"earwitness_windows_total"}
    wanted = {name for name in names if name.startswith("earwitness_")}
    queries = " ".join(dashboard_queries().values())
    missing = {name for name in wanted if name not in queries}
    assert not missing


def test_a_board_that_tells_nothing_shows_nothing(tmp_path):
    metrics = Metrics(["desk"])
    metrics.watch_board(tmp_path)
    samples = [sample.name for family in metrics.registry.collect() for sample in family.samples]
    assert not [name for name in samples if "temperature" in name or "throttling" in name]


def test_the_lists_to_choose_from_are_not_empty(prometheus):
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = [v["query"]["query"] for v in variables if v["type"] == "query"]
    assert len(asked) == 2
    for query in asked:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
        assert prometheus(f"count by ({label}) ({substituted(metric)})")
