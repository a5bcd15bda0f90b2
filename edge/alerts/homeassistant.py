"""MQTT topics, and how Home Assistant is told about them. Pure.

One retained message describes the whole device ("device discovery", Home Assistant 2024.12 and
later: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.errors import ConfigError

ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
# A sensor fed by window records goes stale, and is shown so, when the microphone is lost.
WINDOW_EXPIRES_S = 60
# An event entity wants its kind under `event_type`; the rest become its attributes.
EVENT_TEMPLATE = (
    "{{ {'event_type': value_json.state, 'id': value_json.id, 'window': value_json.window, "
    "'spoof_probability': value_json.spoof_probability, 'message': value_json.message} | tojson }}"
)


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
        "device": {
            "identifiers": [f"earwitness_{device.id}"],
            "name": device.name,
            "manufacturer": "Earwitness",
            "model": device.model,
            "sw_version": device.version,
        },
        "origin": {"name": "earwitness", "sw_version": device.version},
        "availability_topic": topics.availability,
        "components": components,
    }


def source_components(device: Device, topics: Topics, source: str) -> dict[str, Any]:
    """What Home Assistant shows for one source."""
    window = {"state_topic": topics.of(source, "window"), "expire_after": WINDOW_EXPIRES_S}
    parts: dict[str, dict[str, Any]] = {
        "synthetic_voice": {
            "platform": "binary_sensor",
            "name": f"{source} synthetic voice",
            "device_class": "problem",
            "state_topic": topics.of(source, "state"),
        },
        "alert": {
            "platform": "event",
            "name": f"{source} alert",
            "event_types": ["raised", "cleared"],
            "state_topic": topics.of(source, "alert"),
            "value_template": EVENT_TEMPLATE,
            "qos": 1,
        },
        "spoof_probability": {
            "platform": "sensor",
            "name": f"{source} spoof probability",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "value_template": (
                "{{ none if value_json.smoothed_probability is none "
                "else (value_json.smoothed_probability * 100) | round(1) }}"
            ),
            **window,
        },
        "verdict": {
            "platform": "sensor",
            "name": f"{source} verdict",
            "value_template": "{{ value_json.verdict }}",
            **window,
        },
        "speech": {
            "platform": "binary_sensor",
            "name": f"{source} speech",
            "device_class": "sound",
            "value_template": f"{{{{ '{ON}' if value_json.speech else '{OFF}' }}}}",
            **window,
        },
        "health": {
            "platform": "sensor",
            "name": f"{source} input",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.health }}",
            **window,
        },
    }
    level = topics.slugs[source]
    return {
        f"{level}_{kind}": {**part, "unique_id": f"earwitness_{device.id}_{level}_{kind}"}
        for kind, part in parts.items()
    }
