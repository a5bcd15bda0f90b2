"""Settings of model updates."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge.updates.health import TrialSettings
from edge.updates.proof import ProofSettings

DEFAULT_STORE = Path("/var/lib/earwitness/models")


@dataclass(frozen=True)
class UpdateSettings:
    """Where models come from and where they are kept."""

    store: Path = field(
        default=DEFAULT_STORE,
        metadata={"unit": "path", "doc": "folder of installed models and of what is trusted"},
    )
    url: str | None = field(
        default=None,
        metadata={
            "doc": "repository that `earwitness model pull` asks, https://... or a folder; "
            "null = none"
        },
    )
    device_id: str | None = field(
        default=None,
        metadata={
            "doc": "name of this device in staged rollouts and in the fleet's table; null = "
            "alerts.mqtt.device_id, or derived from /etc/machine-id"
        },
    )
    keep_releases: int = field(
        default=3,
        metadata={
            "doc": "how many installed models are kept, the current and the previous included",
            "minimum": 2,
            "maximum": 100,
        },
    )
    download_timeout_s: float = field(
        default=900.0,
        metadata={
            "unit": "s",
            "doc": "longest time that reading from a repository may take in all",
            "minimum": 1.0,
            "maximum": 86400.0,
        },
    )
    proof: ProofSettings = field(
        default=ProofSettings(),
        metadata={"doc": "What a model must show on this device before it becomes current"},
    )
    trial: TrialSettings = field(
        default=TrialSettings(),
        metadata={"doc": "What a model must show in the running daemon before it is kept"},
    )
