"""The fleet's table: what each device last said of its models, read from the MQTT broker.

Each daemon publishes `edge.updates.choice.status` as retained JSON under `PREFIX/DEVICE/model`, and
under `PREFIX/DEVICE/availability` whether it runs; a broker is all that is needed to see them
together.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import UpdateError

TOPIC, AVAILABILITY = "model", "availability"
CELL_CHARACTERS = 200  # a whole sentence that says what to do
COLUMNS = ("device", "online", "version", "health", "previous", "held", "error")


@dataclass(frozen=True)
class Broker:
    """Where the devices' words are kept.

    Attributes:
        host, port: of the MQTT broker.
        prefix: first part of the topics.
        username, password: None = anonymous.
        tls: encrypt, and check the broker's certificate against the system's authorities.
        wait_s: how long retained messages are collected, seconds.
    """

    host: str
    port: int = 1883
    prefix: str = "earwitness"
    username: str | None = None
    password: str | None = None
    tls: bool = False
    wait_s: float = 2.0


def topic_of(prefix: str, device: str) -> str:
    """Topic under which a device publishes its status, retained."""
    return f"{prefix}/{device}/{TOPIC}"


def read_fleet(broker: Broker) -> list[dict[str, Any]]:
    """Statuses of all devices, by name.

    Raises:
        UpdateError: the broker cannot be reached or refuses.
    """
    try:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise UpdateError(
            "The fleet's table needs paho-mqtt; run: pip install 'earwitness[mqtt]'."
        ) from None
    where = f"The broker {broker.host}:{broker.port}"
    payloads: dict[str, bytes | bytearray] = {}
    answers: list[Any] = []

    def connected(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        answers.append(reason)
        topics = [f"{broker.prefix}/+/{name}" for name in (TOPIC, AVAILABILITY)]
        client.subscribe([(topic, 1) for topic in topics])

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = connected
    client.on_message = lambda c, d, message: payloads.__setitem__(message.topic, message.payload)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(ssl.create_default_context())
    try:
        client.connect(broker.host, broker.port)
        _listen(client, broker.wait_s, answers)
        client.disconnect()
    except OSError as error:
        raise UpdateError(f"{where} cannot be reached ({error}).") from error
    if not answers:
        raise UpdateError(f"{where} does not answer within {broker.wait_s:g} s; is it a broker?")
    if answers[0].is_failure:
        raise UpdateError(f"{where} refuses: {answers[0]}.")
    return statuses_of(payloads)


def _listen(client: Any, wait_s: float, answers: Sequence[Any]) -> None:
    ends_s = time.monotonic() + wait_s
    while time.monotonic() < ends_s and not any(answer.is_failure for answer in answers):
        client.loop(timeout=0.1)


def statuses_of(payloads: Mapping[str, bytes | bytearray]) -> list[dict[str, Any]]:
    """Messages as statuses; one that is no status shows as an error of its device."""
    statuses = []
    for topic, payload in sorted(payloads.items()):
        device, _, name = topic.rpartition("/")
        if name != TOPIC:
            continue
        online = payloads.get(f"{device}/{AVAILABILITY}")
        try:
            status = json.loads(payload)
            if not isinstance(status, dict):
                raise ValueError("not an object")
        except ValueError as error:
            status = {"error": f"unreadable status ({error})"}
        statuses.append(
            {
                **status,
                "device": status.get("device", device.split("/")[-1]),
                "online": None if online is None else online == b"online",
            }
        )
    return statuses


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as a table of text, one line each."""
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    # What a device says reaches a terminal: no control characters, no endless lines.
    text = "-" if value is None else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)[:CELL_CHARACTERS]
