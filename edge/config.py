"""The configuration: one YAML file, one frozen dataclass per concern.

The parts' own settings live beside the parts; here they are put together and held against each
other. `edge.settings` reads them, and says every error at once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge import settings
from edge.alerts.command import CommandSettings
from edge.alerts.jsonl import FileSettings, StdoutSettings
from edge.alerts.settings import MetricsSettings, MqttSettings, WebhookSettings
from edge.alerts.spool import SpoolSettings
from edge.audio.health import HealthSettings
from edge.audio.settings import SourceSettings
from edge.bundle import VARIANTS, Manifest
from edge.clips import ClipSettings
from edge.decision import DecisionRule, DecisionSettings
from edge.detector import DetectorSettings
from edge.errors import ConfigError
from edge.identity import device_id
from edge.speech import SpeechSettings
from edge.updates.settings import UpdateSettings

PREFIX = "EARWITNESS_"
TITLE = "Earwitness configuration"
HEADER = """\
Earwitness: every setting, at its default. All are optional.

Check an edited file with:  earwitness config check FILE
What its rules amount to:   earwitness explain-config --config FILE
Any key can be overridden by a variable, sections and keys joined by two underscores:
  EARWITNESS_DETECTION__HOP_S=0.5   EARWITNESS_SOURCES__0__DEVICE="USB Audio"
Made by:                    earwitness config example"""

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
SYSTEM_CONFIG = Path("/etc/earwitness/earwitness.yaml")
MAX_FILE_BYTES = 2**20


@dataclass(frozen=True)
class ModelSettings:
    """Which network judges."""

    bundle: str | None = field(
        default=None,
        metadata={
            "unit": "path",
            "doc": "folder of a model bundle; null = the one that `earwitness model` installed, "
            "else the one that ships",
        },
    )
    variant: str | None = field(
        default=None,
        metadata={"doc": "form of the network; null = the bundle's default", "choices": VARIANTS},
    )
    threads: int = field(
        default=1,
        metadata={"doc": "threads that one inference may use", "minimum": 1, "maximum": 64},
    )


@dataclass(frozen=True)
class DetectionSettings:
    """How audio is cut into windows."""

    window_s: float | None = field(
        default=None,
        metadata={
            "unit": "s",
            "doc": "audio that is judged at once; null = the model's own, its longest",
            "minimum": 0.5,
            "maximum": 60.0,
        },
    )
    hop_s: float | None = field(
        default=None,
        metadata={
            "unit": "s",
            "doc": "time from one window to the next; null = the model's own, usually 1 s",
            "minimum": 0.05,
            "maximum": 60.0,
        },
    )

    def problems(self) -> list[str]:
        """Contradictions between settings, one sentence each."""
        if self.window_s is not None and self.hop_s is not None and self.hop_s > self.window_s:
            return [f"hop_s ({self.hop_s:g}) is longer than window_s ({self.window_s:g})"]
        return []


@dataclass(frozen=True)
class AlertsSettings:
    """Where windows, alerts and events go."""

    stdout: StdoutSettings = field(
        default=StdoutSettings(), metadata={"doc": "Standard output, and so the journal"}
    )
    file: FileSettings = field(default=FileSettings(), metadata={"doc": "A rotated file"})
    mqtt: MqttSettings = field(
        default_factory=MqttSettings, metadata={"doc": "An MQTT broker, with Home Assistant"}
    )
    webhook: WebhookSettings = field(
        default_factory=WebhookSettings, metadata={"doc": "HTTP POST requests"}
    )
    command: CommandSettings = field(
        default_factory=CommandSettings, metadata={"doc": "A program to run"}
    )
    spool: SpoolSettings = field(
        default=SpoolSettings(), metadata={"doc": "Where alerts wait while a receiver is away"}
    )


@dataclass(frozen=True)
class LoggingSettings:
    """What is told on standard error."""

    level: str = field(
        default="info",
        metadata={
            "doc": "least weight of what is told: faults and alerts are warnings",
            "choices": ("debug", "info", "warning", "error"),
        },
    )


@dataclass(frozen=True)
class Config:
    """All settings."""

    model: ModelSettings = field(
        default=ModelSettings(), metadata={"doc": "The network that judges"}
    )
    sources: tuple[SourceSettings, ...] = field(
        default=(SourceSettings(),),
        metadata={
            "doc": "Where audio comes from: one or more, each judged by itself",
            "minimum": 1,
            "maximum": 256,
        },
    )
    detection: DetectionSettings = field(
        default=DetectionSettings(), metadata={"doc": "How audio is cut into windows"}
    )
    speech: SpeechSettings = field(
        default=SpeechSettings(),
        metadata={"doc": "When a window counts as speech; others are not judged"},
    )
    health: HealthSettings = field(
        default=HealthSettings(),
        metadata={"doc": "When the input is unfit to be judged at all"},
    )
    decision: DecisionSettings = field(
        default=DecisionSettings(), metadata={"doc": "When windows become an alert"}
    )
    alerts: AlertsSettings = field(
        default_factory=AlertsSettings, metadata={"doc": "Where windows, alerts and events go"}
    )
    metrics: MetricsSettings = field(
        default=MetricsSettings(), metadata={"doc": "Figures for Prometheus, and a health check"}
    )
    clips: ClipSettings = field(
        default=ClipSettings(), metadata={"doc": "Sound around alerts; none is kept by default"}
    )
    updates: UpdateSettings = field(
        default=UpdateSettings(), metadata={"doc": "Where models come from and are kept"}
    )
    logging: LoggingSettings = field(
        default_factory=LoggingSettings, metadata={"doc": "What is told on standard error"}
    )

    def problems(self) -> list[str]:
        """Contradictions between sections, one sentence each."""
        names = Counter(source.name for source in self.sources)
        twice = [name for name, count in names.items() if count > 1]
        found = [f"two sources are named {name!r}; give each its own name" for name in twice]
        if sum(source.kind == "stdin" for source in self.sources) > 1:
            found.append("only one source can read standard input")
        return found

    @property
    def device_id(self) -> str:
        """This device's one name: in topics, in staged rollouts and in the fleet's table."""
        return device_id(self.updates.device_id or self.alerts.mqtt.device_id)

    def detector_settings(self, manifest: Manifest) -> DetectorSettings:
        """Everything that shapes the results, for a bundle's network.

        Raises:
            ConfigError: the window or hop does not fit the network.
        """
        try:
            return DetectorSettings.of(
                manifest,
                DecisionRule.of(self.decision, manifest.operating_point),
                hop_s=self.detection.hop_s,
                window_s=self.detection.window_s,
                speech=self.speech,
                health=self.health,
            )
        except ValueError as error:
            raise ConfigError(
                f"The section detection does not fit the model {manifest.name} "
                f"{manifest.version}: {error}."
            ) from error


def windows_sentence(settings: DetectorSettings) -> str:
    """How audio is cut, in words."""
    rate_hz = settings.front_end.sample_rate_hz
    return (
        f"Judges {settings.window_samples / rate_hz:g} s of audio every "
        f"{settings.hop_samples / rate_hz:g} s, where there is speech."
    )


def default_path(environment: Mapping[str, str]) -> Path | None:
    """The file that $EARWITNESS_CONFIG names, if it names one."""
    named = environment.get(CONFIG_VARIABLE)
    return Path(named) if named else None


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; without one, the defaults. The environment overrides both.

    Raises:
        ConfigError: the file cannot be read, or anything in it is wrong; all of it is told.
    """
    text = "" if path is None else _text_of(path)
    origin = "The environment" if path is None else str(path)
    return settings.read(Config, text, origin, environment, PREFIX)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than 1 MiB; that is no configuration.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"The configuration {path} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The configuration {path} is not UTF-8 text ({error.reason}).") from None
