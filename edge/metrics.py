"""What the daemon does, in numbers for Prometheus, and whether it is well, at /healthz.

The only module that imports prometheus_client. It is a sink like any other: what it counts are the
records that everybody sees.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from edge.alerts.settings import MetricsSettings
from edge.alerts.sink import Record
from edge.alerts.spool import Spool
from edge.board import read_temperature_c, read_throttling
from edge.errors import ConfigError

STAGE_BUCKETS_S = tuple(
    scale * step for scale in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) for step in (1.0, 2.5, 5.0)
)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PROBABILITY_BUCKETS = (0.01, 0.05, *(tenth / 10 for tenth in range(1, 10)), 0.95, 0.99, 1.0)
CLIENT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Health:
    """Is the daemon well?

    Attributes:
        ok: yes or no.
        details: JSON-ready facts, for example the state of each source.
    """

    ok: bool
    details: Mapping[str, object]


Readings = Callable[[], Mapping[str, float]]
"""Values by label, read at the moment of a scrape; what is unknown is left out."""


class Metrics:
    """Counts records, and measures what it is told.

    Args:
        sources: names of the audio sources, whose counters start at 0.
    """

    name = "metrics"

    def __init__(self, sources: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._windows = self._counter("windows", "Windows judged.", "source", "verdict")
        self._speech = self._counter("speech_windows", "Windows that hold speech.", "source")
        self._unfit = self._counter(
            "unhealthy_windows", "Windows whose input was unfit.", "source", "health"
        )
        self._alerts = self._counter("alerts", "Alerts raised and cleared.", "source", "state")
        self._events = self._counter("events", "Events of sources and parts.", "source", "kind")
        self._lost = self._counter("lost_audio_seconds", "Audio that went missing.", "source")
        self._active = self._gauge("alert_active", "1 while an alert stands.", "source")
        self._level = self._gauge("input_level_dbfs", "Level of the latest window.", "source")
        self._last = self._gauge(
            "last_window_timestamp_seconds", "When the latest window was judged.", "source"
        )
        self._model = self._gauge(
            "model_info",
            "1 for the model in use; health: proven, on trial, built-in, configured or mute.",
            "model",
            "health",
        )
        self._quarantined = self._gauge(
            "models_quarantined", "Models that were sent back and are not installed again."
        )
        self._failed = self._gauge(
            "model_failure_timestamp_seconds", "When a model last failed; 0 = never."
        )
        self._probability = Histogram(
            "earwitness_spoof_probability",
            "Probability of spoof of the windows scored.",
            ("source",),
            registry=self.registry,
            buckets=PROBABILITY_BUCKETS,
        )
        self._latency = Histogram(
            "earwitness_latency_seconds",
            "From the arrival of a window's last sample to its record.",
            ("source",),
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._stages = Histogram(
            "earwitness_stage_seconds",
            "Time of each stage, per window.",
            ("stage",),
            registry=self.registry,
            buckets=STAGE_BUCKETS_S,
        )
        for source in sources:
            self._begin(source)

    def emit(self, record: Record) -> None:
        """Count one record."""
        {"window": self._window, "alert": self._alert, "event": self._event}[record["type"]](record)

    def close(self, timeout_s: float) -> None:
        """Nothing waits here."""

    def stage(self, stage: str, seconds: float) -> None:
        """Note how long one stage took for one window."""
        self._stages.labels(stage).observe(seconds)

    def model(self, model: str, status: Mapping[str, Any]) -> None:
        """Note the model in use from now on.

        Args:
            model: its name and version.
            status: what is told of the models on this device (see edge.updates.choice.status).
        """
        self._model.clear()
        self._model.labels(model, status.get("health", "unknown")).set(1)
        self._quarantined.set(len(status.get("quarantine", ())))
        self._failed.set(status.get("error_at_s") or 0)

    def watch(self, name: str, doc: str, label: str, readings: Readings) -> None:
        """Show values that are read whenever Prometheus asks.

        Args:
            name: of the metric, without its prefix `earwitness_`.
            doc: one sentence.
            label: name of the label; "" for a single value, given under the key "".
            readings: reads the values.
        """
        self.registry.register(Watched(f"earwitness_{name}", doc, label, readings))

    def watch_spool(self, spool: Spool, sinks: Iterable[str]) -> None:
        """Show how many alerts wait for each sink, and whether they are safe."""
        names = tuple(sinks)
        self.watch(
            "spool_alerts",
            "Alerts that wait to be delivered.",
            "sink",
            lambda: {name: spool.depth(name) for name in names},
        )
        self.watch(
            "spool_dropped_alerts",
            "Alerts that were dropped because the spool was full.",
            "sink",
            lambda: {name: spool.dropped(name) for name in names},
        )
        self.watch(
            "spool_degraded",
            "1 while alerts are in memory only because the disk fails.",
            "",
            lambda: {"": spool.degraded},
        )

    def watch_board(self, root: Path = Path("/")) -> None:
        """Show what the board tells of its temperature, its supply and its throttling."""
        self.watch(
            "cpu_temperature_celsius",
            "Temperature of the CPU, where the board tells.",
            "",
            lambda: known(read_temperature_c(root)),
        )
        self.watch(
            "throttling",
            "1 where the board is slowed down or was since power-on, by condition.",
            "condition",
            lambda: read_throttling(root) or {},
        )

    def _counter(self, name: str, doc: str, *labels: str) -> Counter:
        return Counter(f"earwitness_{name}", doc, labels, registry=self.registry)

    def _gauge(self, name: str, doc: str, *labels: str) -> Gauge:
        return Gauge(f"earwitness_{name}", doc, labels, registry=self.registry)

    def _begin(self, source: str) -> None:
        """Let counters start at 0: Prometheus does not see a counter rise that appears at 1."""
        self._speech.labels(source)
        self._lost.labels(source)
        self._active.labels(source).set(0)
        for state in ("raised", "cleared"):
            self._alerts.labels(source, state)
        for kind in ("gap", "overload", "recovered", "stalled"):
            self._events.labels(source, kind)

    def _window(self, record: Record) -> None:
        source = record["source"]
        self._windows.labels(source, record["verdict"]).inc()
        self._speech.labels(source).inc(bool(record["speech"]))
        if record["health"] != "ok":
            self._unfit.labels(source, record["health"]).inc()
        if record["spoof_probability"] is not None:
            self._probability.labels(source).observe(record["spoof_probability"])
        if record.get("level_dbfs") is not None:
            self._level.labels(source).set(record["level_dbfs"])
        self._latency.labels(source).observe(record["latency_ms"] / 1000)
        self._last.labels(source).set(time.time())

    def _alert(self, record: Record) -> None:
        self._alerts.labels(record["source"], record["state"]).inc()
        self._active.labels(record["source"]).set(record["state"] == "raised")

    def _event(self, record: Record) -> None:
        """`count` tells how many an event stands for, `lost_s` how much audio was lost."""
        self._events.labels(record["source"], record["kind"]).inc(record.get("count", 1))
        if record.get("lost_s"):
            self._lost.labels(record["source"]).inc(record["lost_s"])


def known(value: float | None) -> dict[str, float]:
    """A single reading, or none."""
    return {} if value is None else {"": value}


class Watched(Collector):
    """A gauge whose values are read at the moment of the scrape."""

    def __init__(self, name: str, doc: str, label: str, readings: Readings) -> None:
        self._name = name
        self._doc = doc
        self._labels = [label] if label else []
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """The values of now."""
        family = GaugeMetricFamily(self._name, self._doc, labels=self._labels)
        for label, value in self._readings().items():
            family.add_metric([label] if self._labels else [], value)
        yield family


class MetricsServer:
    """Serves `/metrics` and `/healthz` from a thread of its own.

    Args:
        settings: where to listen.
        metrics: what to show.
        health: asked at every `/healthz`; answered with 200 or 503 and JSON.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(
        self, settings: MetricsSettings, metrics: Metrics, health: Callable[[], Health]
    ) -> None:
        try:
            self._server = Server((settings.address, settings.port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"The metrics cannot be served at {settings.address}:{settings.port}: {reason}; "
                "change metrics.port, or set metrics.enabled to false."
            ) from error
        self._server.metrics, self._server.health = metrics, health
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    """Knows what its handlers show."""

    daemon_threads = True
    metrics: Metrics
    health: Callable[[], Health]

    def server_bind(self) -> None:
        """Bind without asking the name service for this machine's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up or falls silent is none of our trouble; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = CLIENT_TIMEOUT_S
    server_version = "earwitness"
    sys_version = ""

    def do_GET(self) -> None:
        """`/metrics` and `/healthz`; anything else is not there."""
        path = self.path.split("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, content_type, encode(self.server.metrics.registry))
        elif path == "/healthz":
            health = self.server.health()
            status = {"status": "ok" if health.ok else "failing", **health.details}
            body = json.dumps(status).encode() + b"\n"
            self._answer(200 if health.ok else 503, "application/json", body)
        else:
            self._answer(404, "text/plain", b"Try /metrics or /healthz.\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes every few seconds do not belong into the journal."""
