"""MQTT topics, and how Home Assistant is told about them. Pure.

One retained message describes the whole device ("device discovery", Home Assistant 2024.12 and
later: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.errors import ConfigError

ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
# A sensor fed by window records goes stale, and is shown so, when the microphone is lost.
WINDOW_EXPIRES_S = 60


@dataclass(frozen=True)
class Device:
    """Who speaks.

    Attributes:
        id: unique name, of letters, digits, `_` and `-` only.
        name: what people call it.
        model: the board, for people.
        version: of this software.
    """

    id: str
    name: str
    model: str
    version: str


def device_id(machine_id: str) -> str:
    """A stable id from the content of /etc/machine-id, which must not itself be shown around."""
    return hashlib.sha256(b"earwitness:" + machine_id.strip().encode()).hexdigest()[:12]


def slug(name: str) -> str:
    """A name as a level of an MQTT topic and as part of a Home Assistant id."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "source"


@dataclass(frozen=True)
class Topics:
    """Where what is published.

    Attributes:
        root: first levels of every topic, for example "earwitness/3f2a".
        slugs: each source's level, by the source's name.
    """

    root: str
    slugs: dict[str, str]

    @classmethod
    def build(cls, prefix: str, device: str, sources: Iterable[str]) -> Topics:
        """Topics for these sources.

        Raises:
            ConfigError: two sources would share a topic, or the prefix is not a topic.
        """
        if not prefix or any(character in prefix for character in "#+\0"):
            raise ConfigError(f"The MQTT topic {prefix!r} is empty or holds #, + or NUL.")
        slugs: dict[str, str] = {}
        for source in sources:
            if slug(source) in slugs.values():
                raise ConfigError(
                    f"The source {source!r} would share its MQTT topic {slug(source)!r} with "
                    "another; give it a name that differs in more than case and punctuation."
                )
            slugs[source] = slug(source)
        return cls(f"{prefix.strip('/')}/{device}", slugs)

    @property
    def availability(self) -> str:
        """Retained: "online", or "offline" by last will."""
        return f"{self.root}/availability"

    @property
    def status(self) -> str:
        """Retained: the state of the device's models as JSON, for `earwitness fleet status`."""
        return f"{self.root}/model"

    @property
    def event(self) -> str:
        """Events as JSON."""
        return f"{self.root}/event"

    def of(self, source: str, what: str) -> str:
        """`alert` and `window` (records as JSON) and `state` (retained "ON" or "OFF")."""
        return f"{self.root}/{self.slugs.get(source) or slug(source)}/{what}"


def discovery_message(device: Device, topics: Topics) -> dict[str, Any]:
    """The device's description for Home Assistant."""
    components: dict[str, Any] = {}
    for source in topics.slugs:
        components.update(source_components(device, topics, source))
    return {
        "dev": {
            "ids": [f"earwitness_{device.id}"],
            "name": device.name,
            "mf": "Earwitness",
            "mdl": device.model,
            "sw": device.version,
        },
        "o": {"name": "earwitness", "sw": device.version},
        "avty_t": topics.availability,
        "cmps": components,
    }


def source_components(device: Device, topics: Topics, source: str) -> dict[str, Any]:
    """What Home Assistant shows for one source."""
    window = {"stat_t": topics.of(source, "window"), "exp_aft": WINDOW_EXPIRES_S}
    alert_template = (
        "{{ dict(value_json, event_type=value_json.state, state=value_json.state) | tojson }}"
    )
    parts: dict[str, dict[str, Any]] = {
        "synthetic_voice": {
            "p": "binary_sensor",
            "name": f"{source} synthetic voice",
            "dev_cla": "problem",
            "stat_t": topics.of(source, "state"),
        },
        "alert": {
            "p": "event",
            "name": f"{source} alert",
            "evt_typ": ["raised", "cleared"],
            "stat_t": topics.of(source, "alert"),
            "val_tpl": alert_template,
            "qos": 1,
        },
        "spoof_probability": {
            "p": "sensor",
            "name": f"{source} spoof probability",
            "unit_of_meas": "%",
            "stat_cla": "measurement",
            "sug_dsp_prc": 0,
            "val_tpl": (
                "{{ none if value_json.smoothed_probability is none "
                "else (value_json.smoothed_probability * 100) | round(1) }}"
            ),
            **window,
        },
        "verdict": {
            "p": "sensor",
            "name": f"{source} verdict",
            "val_tpl": "{{ value_json.verdict }}",
            **window,
        },
        "speech": {
            "p": "binary_sensor",
            "name": f"{source} speech",
            "dev_cla": "sound",
            "val_tpl": f"{{{{ '{ON}' if value_json.speech else '{OFF}' }}}}",
            **window,
        },
        "health": {
            "p": "sensor",
            "name": f"{source} input",
            "ent_cat": "diagnostic",
            "val_tpl": "{{ value_json.health }}",
            **window,
        },
    }
    level = topics.slugs[source]
    return {
        f"{level}_{kind}": {**part, "uniq_id": f"earwitness_{device.id}_{level}_{kind}"}
        for kind, part in parts.items()
    }
