"""From settings to everything that takes records. Optional packages are imported only if used."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.alerts.command import CommandTransport
from edge.alerts.delivery import SpooledSink
from edge.alerts.jsonl import file_sink, json_line, stdout_sink
from edge.alerts.settings import MetricsSettings
from edge.alerts.sink import AlertSink, EventHandler, FanOut, Record, local_now
from edge.alerts.spool import Spool, default_spool_path
from edge.audio.block import SAMPLE_RATE_HZ
from edge.clips import ClipRecorder
from edge.config import AlertsSettings, Config
from edge.errors import ConfigError
from edge.log import LogSink, same_place
from edge.report import event_record, text_line
from edge.terminal import style_of

if TYPE_CHECKING:
    from edge.alerts.mqtt import MqttSink
    from edge.metrics import Health, Metrics, MetricsServer

TEXT = "text"
STDOUT, STDERR = 1, 2


@dataclass(frozen=True)
class Context:
    """What outputs need to know besides their settings.

    Attributes:
        output_format: of standard output, "text" or "jsonl".
        environment: for credentials and directories.
        tell: takes the outputs' own events; from any thread.
        on_broken_pipe: called when nobody reads standard output any more.
    """

    output_format: str
    environment: Mapping[str, str]
    tell: EventHandler
    on_broken_pipe: Callable[[], None]


class Outputs:
    """All that takes records, as one sink.

    Args:
        config: which there are.
        context: see Context.

    Raises:
        ConfigError: an address, credential or program cannot be used; nothing is left open.
    """

    name = "outputs"

    def __init__(self, config: Config, context: Context) -> None:
        self._sources = tuple(source.name for source in config.sources)
        self._context = context
        self._device_id = config.device_id
        self._opened: list[AlertSink] = []
        self.spool: Spool | None = None
        self.spooled: list[str] = []
        self.mqtt: MqttSink | None = None
        self.recorder: ClipRecorder | None = None
        self.metrics: Metrics | None = None
        self._server: MetricsServer | None = None
        try:
            self._open(config)
        except BaseException:
            self.close(0.0)
            raise
        self._all = FanOut(self._opened, self.spool)

    def emit(self, record: Record) -> None:
        """Take one record."""
        self._all.emit(record)

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered in time, then let go of everything."""
        if self._server is not None:
            self._server.close()
        FanOut(self._opened).close(timeout_s)
        if self.spool is not None:
            self.spool.close(timeout_s)

    def _open(self, config: Config) -> None:
        alerts, tell = config.alerts, self._context.tell
        text = alerts.stdout.enabled and self._context.output_format == TEXT
        if not text and not (alerts.stdout.enabled and same_place(STDOUT, STDERR)):
            self._opened.append(LogSink())
        if alerts.stdout.enabled:
            layout = text_layout(config) if text else json_line
            broken = self._context.on_broken_pipe
            self._opened.append(stdout_sink(alerts.stdout, tell, layout, broken))
        if alerts.file.path:
            self._opened.append(file_sink(alerts.file, tell))
        self._open_remotes(alerts)
        if config.clips.directory:
            self.recorder = ClipRecorder(config.clips, self._sources, SAMPLE_RATE_HZ, tell)
            self._opened.append(self.recorder)
        if config.metrics.enabled:
            self._open_metrics()

    def serve_metrics(self, settings: MetricsSettings, health: Callable[[], Health]) -> None:
        """Let Prometheus and health checks ask.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        if self.metrics is None:
            return
        from edge.metrics import MetricsServer

        self._server = MetricsServer(settings, self.metrics, health)

    def _open_remotes(self, alerts: AlertsSettings) -> None:
        """Those that alerts reach through the spool, which is there only if one of them is."""
        used = {
            "mqtt": bool(alerts.mqtt.host),
            "webhook": bool(alerts.webhook.url),
            "command": bool(alerts.command.argv),
        }
        self.spooled = [name for name, wanted in used.items() if wanted]
        if not self.spooled:
            return
        environment, tell = self._context.environment, self._context.tell
        path = Path(alerts.spool.path or default_spool_path(environment))
        self.spool = Spool(path, self.spooled, alerts.spool, tell)
        if used["mqtt"]:
            self.mqtt = self._mqtt(alerts, self.spool)
            self._opened.append(self.mqtt)
        if used["webhook"]:
            from edge.alerts.webhook import WebhookTransport

            webhook = WebhookTransport(alerts.webhook, environment)
            self._opened.append(self._spooled("webhook", webhook, alerts.webhook, self.spool))
        if used["command"]:
            command = CommandTransport(alerts.command)
            self._opened.append(self._spooled("command", command, alerts.command, self.spool))

    def _spooled(self, name: str, transport: Any, settings: Any, spool: Spool) -> SpooledSink:
        kinds = {"window": settings.windows, "event": settings.events}
        wanted = tuple(kind for kind, is_wanted in kinds.items() if is_wanted)
        return SpooledSink(name, transport, spool, settings.retry, wanted, self._context.tell)

    def _mqtt(self, alerts: AlertsSettings, spool: Spool) -> MqttSink:
        try:
            from edge.alerts.mqtt import MqttSink, device_of
        except ImportError as error:
            raise ConfigError(
                f"alerts.mqtt needs a package that is missing ({error.name}); run: "
                "pip install 'earwitness[mqtt]'."
            ) from error
        from edge.board import read_board

        board = read_board().model or "computer"
        device = device_of(alerts.mqtt, self._device_id, socket.gethostname(), board, __version__)
        context = self._context
        return MqttSink(
            alerts.mqtt, device, self._sources, spool, context.environment, context.tell
        )

    def _open_metrics(self) -> None:
        """Figures are on by default, so a package that is missing costs the figures only."""
        try:
            from edge.metrics import Metrics
        except ImportError as error:
            message = f"There are no metrics, because the package {error.name} is missing."
            self._context.tell(event_record("metrics", "metrics-off", message, local_now()))
            return
        self.metrics = Metrics(self._sources)
        self.metrics.watch_board()
        if self.spool is not None:
            self.metrics.watch_spool(self.spool, self.spooled)
        self._opened.append(self.metrics)


def text_layout(config: Config) -> Callable[[Record], str]:
    """Records as lines for the terminal in front of the user."""
    style = replace(
        style_of(sys.stdout),
        sources=len(config.sources) > 1,
        positions=all(source.kind == "file" and not source.pace for source in config.sources),
    )
    return lambda record: text_line(record, style)
