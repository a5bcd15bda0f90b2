"""Alerts, windows and availability to an MQTT broker, with Home Assistant device discovery.

The only module that imports paho-mqtt. One thread owns the client and its socket; nothing that the
broker does reaches any other thread. Every connection begins with a new client and sends again
whatever the broker has not acknowledged, in order, so a crash on either side repeats an alert at
worst; its id tells.
"""

from __future__ import annotations

import json
import random
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge.alerts.backlog import Backlog
from edge.alerts.credentials import optional_credential, tls_context
from edge.alerts.homeassistant import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    Device,
    Topics,
    discovery_message,
)
from edge.alerts.outage import Outage, backoff_s
from edge.alerts.settings import MqttSettings
from edge.alerts.sink import Clock, EventHandler, Record, local_now
from edge.alerts.spool import Spool
from edge.errors import ConfigError
from edge.report import event_record

PROTOCOLS = {"5": paho.MQTTv5, "3.1.1": paho.MQTTv311}
# Alerts under way without an acknowledgement: enough to hide the round trip, few enough that a
# reconnection repeats little.
IN_FLIGHT = 20
BACKLOG_RECORDS = 60
IDLE_S = 1.0


def device_of(
    settings: MqttSettings, device_id: str, host_name: str, model: str, version: str
) -> Device:
    """Who this device says it is.

    Args:
        settings: may name the device.
        device_id: this device's, where the settings do not name another.
        host_name: for devices that are not named.
        model: the board.
        version: of this software.

    Raises:
        ConfigError: the configured id is not fit for a topic.
    """
    identity = settings.device_id or device_id
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", identity):
        raise ConfigError(
            f"The MQTT device_id {identity!r} must be 1 to 64 letters, digits, '_' or '-'."
        )
    return Device(identity, settings.device_name or host_name, model, version)


def client_tls(settings: MqttSettings) -> ssl.SSLContext | None:
    """How to encrypt, or None for a plain connection.

    Raises:
        ConfigError: a certificate or key cannot be used, or is given though tls is off.
    """
    certificate, key = settings.client_certificate_file, settings.client_key_file
    if not settings.tls:
        if settings.ca_file or certificate or key:
            raise ConfigError("The MQTT settings name certificates, which need 'tls: true'.")
        return None
    context = tls_context(settings.ca_file)
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None)
        except OSError as error:
            raise ConfigError(
                f"The MQTT client certificate {certificate} cannot be used: "
                f"{error.strerror or error}."
            ) from error
    return context


class MqttFaultError(Exception):
    """The connection is of no use any more; the message is half a sentence for a person."""


class MqttSink:
    """Publishes records for as long as it lives, whatever the broker does.

    Alerts come from the spool at QoS 1 and leave it only when the broker has acknowledged them.
    Windows and events are published at QoS 0 while there is a connection and forgotten otherwise.

    Args:
        settings: the broker and how to reach it.
        device: who speaks.
        sources: names of the audio sources, to announce them.
        spool: where alerts wait, under the name `MqttSink.name`.
        environment: for $CREDENTIALS_DIRECTORY.
        on_event: told of outages and recoveries.
        chance: random numbers in [0, 1), to spread the pauses.
        now: time of day, for the events.

    Raises:
        ConfigError: a topic, a credential or a certificate cannot be used.
    """

    name = "mqtt"

    def __init__(
        self,
        settings: MqttSettings,
        device: Device,
        sources: tuple[str, ...],
        spool: Spool,
        environment: Mapping[str, str],
        on_event: EventHandler,
        chance: Callable[[], float] = random.random,
        now: Clock = local_now,
    ) -> None:
        self._settings = settings
        self._device = device
        self._topics = Topics.build(settings.topic, device.id, sources)
        self._password = optional_credential(settings.password_file, environment)
        self._tls = client_tls(settings)
        self._spool = spool
        self._on_event = on_event
        self._chance = chance
        self._now = now
        self._states = dict.fromkeys(sources, OFF)
        self._status: dict[str, Any] = {}
        self._backlog = Backlog(BACKLOG_RECORDS)
        self._outage = Outage()
        self._attempts = 0
        self._connected = False
        self._closing = threading.Event()
        self._deadline_s = 0.0
        self._refusals_told: set[str] = set()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="alerts-mqtt", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Take one record; an alert only wakes the thread, which reads it from the spool."""
        if record["type"] == "alert":
            self._states[record["source"]] = ON if record["state"] == "raised" else OFF
        elif self._wants(record["type"]):
            self._backlog.put(record)
        if record["type"] == "window" and "alert" in record:
            self._states[record["source"]] = ON if record["alert"] else OFF
        self._wake()

    def set_status(self, status: Mapping[str, Any]) -> None:
        """Publish the state of the device's models, retained, now and after every reconnection."""
        self._status = dict(status)
        self._wake()

    @property
    def connected(self) -> bool:
        """The broker has accepted the connection, as far as is known."""
        return self._connected

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered in time, say "offline" and leave."""
        self._deadline_s = time.monotonic() + 0.8 * timeout_s
        self._closing.set()
        self._wake()
        self._thread.join(timeout_s)
        self._wake_write.close()

    def _wants(self, kind: str) -> bool:
        return self._settings.windows if kind == "window" else self._settings.events

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except OSError:
            # Full of wake-ups already, or closed.
            return

    def _run(self) -> None:
        with self._wake_read:
            while not self._closing.is_set():
                try:
                    self._session()
                except MqttFaultError as fault:
                    self._pause(str(fault))
                except Exception as error:
                    # A bug in here may cost a connection, never the alerts that are yet to come.
                    self._pause(f"internal error {error!r}")

    def _pause(self, reason: str) -> None:
        """Tell why there is no connection, and wait before the next attempt."""
        self._connected = False
        self._attempts += 1
        self._tell_failure(reason)
        retry = self._settings.retry
        pause_s = backoff_s(self._attempts, retry.first_s, retry.longest_s, self._chance())
        self._closing.wait(pause_s)

    def _session(self) -> None:
        """One connection, from its opening to its end.

        Raises:
            MqttFaultError: it could not be opened, or broke.
        """
        connection = Connection(
            self._settings, self._device, self._topics, self._password, self._tls, self._wake_read
        )
        try:
            if not connection.open(self._closing):
                return
            self._announce(connection)
            while not self._closing.is_set():
                self._publish(connection)
                connection.step(IDLE_S)
            self._farewell(connection)
        finally:
            connection.close()

    def _announce(self, connection: Connection) -> None:
        self._connected = True
        self._attempts = 0
        connection.announce()
        self._tell_recovery()

    def _publish(self, connection: Connection) -> None:
        """Publish whatever waits, as far as the connection takes it."""
        self._spool.acknowledge(self.name, connection.acknowledged)
        room = IN_FLIGHT - connection.under_way
        for entry in self._spool.pending(self.name, room, connection.last_sent) if room else ():
            connection.send_alert(entry.seq, entry.payload)
        connection.send_states(dict(self._states), self._status)
        self._tell_refusals(connection.refused)
        while not connection.congested:
            record = self._backlog.take(timeout_s=0)
            if record is None:
                return
            connection.send_record(record)

    def _farewell(self, connection: Connection) -> None:
        """Leave in good order, or as far as the time allows."""
        while time.monotonic() < self._deadline_s:
            self._publish(connection)
            if connection.settled and not self._spool.depth(self.name):
                break
            connection.step(max(0.0, self._deadline_s - time.monotonic()))
        connection.send_offline()
        while not connection.settled and time.monotonic() < self._deadline_s:
            connection.step(max(0.0, self._deadline_s - time.monotonic()))
        self._connected = False

    def _tell_failure(self, reason: str) -> None:
        if self._outage.failed(reason, time.monotonic()):
            self._tell(
                "mqtt-failed",
                f"The MQTT broker {self._settings.host}:{self._settings.port} cannot be used: "
                f"{reason}; {self._spool.depth(self.name)} alerts wait and will be tried again.",
            )

    def _tell_recovery(self) -> None:
        lasted_s = self._outage.recovered(time.monotonic())
        if lasted_s is not None:
            self._tell(
                "mqtt-recovered",
                f"The MQTT broker {self._settings.host}:{self._settings.port} is back after "
                f"{lasted_s:.0f} s.",
            )

    def _tell_refusals(self, refused: dict[str, str]) -> None:
        for topic in refused.keys() - self._refusals_told:
            self._refusals_told.add(topic)
            self._tell("mqtt-refused", f"The MQTT broker refuses {topic}: {refused[topic]}.")

    def _tell(self, kind: str, message: str) -> None:
        self._on_event(event_record("alerts.mqtt", kind, message, self._now()))


class Connection:
    """One client, from CONNECT to the end, driven from one thread.

    Raises from every method that touches the network:
        MqttFaultError: the connection is of no use any more.
    """

    def __init__(
        self,
        settings: MqttSettings,
        device: Device,
        topics: Topics,
        password: str,
        tls: ssl.SSLContext | None,
        wake: socket.socket,
    ) -> None:
        self._settings = settings
        self._device = device
        self._topics = topics
        self._wake = wake
        self._accepted = False
        self._fault = ""
        self._alerts: dict[int, int] = {}
        self._others: dict[int, str] = {}
        self._returned = False
        self._told: dict[str, str] = {}
        self._waiting_since_s = time.monotonic()
        self.last_sent = 0
        self.acknowledged = 0
        self.refused: dict[str, str] = {}
        self._client = self._build(password, tls)

    def _build(self, password: str, tls: ssl.SSLContext | None) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"earwitness-{self._device.id}",
            protocol=PROTOCOLS[self._settings.protocol],
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._settings.timeout_s
        client.max_inflight_messages_set(0)
        client.will_set(self._topics.availability, OFFLINE, qos=1, retain=True)
        if self._settings.username:
            client.username_pw_set(self._settings.username, password or None)
        if tls is not None:
            client.tls_set_context(tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def open(self, closing: threading.Event) -> bool:
        """Connect and wait until the broker has accepted; false if closing came first."""
        try:
            self._client.connect(
                self._settings.host, self._settings.port, self._settings.keepalive_s
            )
        except (OSError, ValueError) as error:
            raise MqttFaultError(getattr(error, "strerror", None) or str(error)) from error
        deadline_s = time.monotonic() + self._settings.timeout_s
        while not self._accepted and not closing.is_set():
            if time.monotonic() > deadline_s:
                raise MqttFaultError("the broker does not answer in time")
            self.step(0.1)
        return self._accepted

    def announce(self) -> None:
        """Describe the device to Home Assistant, listen for its return, and come online."""
        if self._settings.discovery:
            topic = f"{self._settings.discovery_prefix}/device/earwitness_{self._device.id}/config"
            self._send(topic, json.dumps(discovery_message(self._device, self._topics)))
            self._client.subscribe(f"{self._settings.discovery_prefix}/status", qos=0)
        self._send(self._topics.availability, ONLINE)
        self._told.clear()

    def send_alert(self, seq: int, payload: str) -> None:
        """Publish one alert; `acknowledged` reaches its `seq` once the broker has it."""
        topic = self._topics.of(json.loads(payload)["source"], "alert")
        if not self._alerts:
            self._waiting_since_s = time.monotonic()
        self._alerts[self._client.publish(topic, payload, qos=1).mid] = seq
        self.last_sent = seq

    def send_states(self, states: Mapping[str, str], status: Mapping[str, Any]) -> None:
        """Publish, retained, what has changed since it was last told on this connection."""
        current = {self._topics.of(source, "state"): state for source, state in states.items()}
        if status:
            current[self._topics.status] = json.dumps(status)
        for topic, payload in current.items():
            if self._told.get(topic) != payload:
                self._told[topic] = payload
                self._send(topic, payload)

    def send_record(self, record: Record) -> None:
        """Publish a window or an event once, with no acknowledgement."""
        topic = self._topics.event
        if record["type"] == "window":
            topic = self._topics.of(record["source"], "window")
        self._client.publish(topic, json.dumps(record, separators=(",", ":")), qos=0)

    def send_offline(self) -> None:
        """Say that this device leaves on purpose."""
        self._send(self._topics.availability, OFFLINE)

    @property
    def under_way(self) -> int:
        """Alerts that the broker has not acknowledged."""
        return len(self._alerts)

    @property
    def settled(self) -> bool:
        """Nothing waits to be sent or acknowledged."""
        return not (self._alerts or self._others or self.congested)

    @property
    def congested(self) -> bool:
        """The broker reads more slowly than we write."""
        return self._client.want_write()

    def step(self, timeout_s: float) -> None:
        """Read and write what the network allows, waiting at most `timeout_s` for something."""
        link = self._client.socket()
        if link is None:
            raise MqttFaultError(self._fault or "the connection was lost")
        self._wait(link, timeout_s)
        try:
            self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as error:
            # Whatever bytes a broker sends may only ever cost the connection.
            raise MqttFaultError(f"the broker sent what is not MQTT ({error!r})") from error
        self._check()
        if self._returned:
            self._returned = False
            self.announce()

    def close(self) -> None:
        """Send DISCONNECT if there is still somebody to hear it, and drop the socket."""
        self._client.on_disconnect = None
        try:
            self._client.disconnect()
            self._client.loop_write()
        except (OSError, ValueError) as error:
            self._fault = str(error)

    def _wait(self, link: Any, timeout_s: float) -> None:
        """Sleep until the broker sends, can take more, or somebody wakes us."""
        if isinstance(link, ssl.SSLSocket) and link.pending():
            return
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        writing = select.POLLOUT if self._client.want_write() else 0
        poll.register(link, select.POLLIN | writing)
        poll.poll(timeout_s * 1000)
        try:
            self._wake.recv(4096)
        except BlockingIOError:
            return

    def _check(self) -> None:
        if self._fault:
            raise MqttFaultError(self._fault)
        late = time.monotonic() - self._waiting_since_s > self._settings.timeout_s
        if self._alerts and late:
            raise MqttFaultError("the broker does not acknowledge alerts")

    def _send(self, topic: str, payload: str) -> None:
        """Publish at QoS 1, retained."""
        self._others[self._client.publish(topic, payload, qos=1, retain=True).mid] = topic

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._fault = f"the broker refuses the connection ({reason})"
        self._accepted = not reason.is_failure

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._fault = self._fault or f"the connection was lost ({reason})"

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason: ReasonCode, properties: Any
    ) -> None:
        topic = self._others.pop(mid, None)
        seq = self._alerts.get(mid)
        if reason.is_failure and seq is not None:
            self._fault = f"the broker does not take alerts ({reason})"
        elif reason.is_failure and topic is not None:
            self.refused[topic] = str(reason)
        elif seq is not None:
            self._acknowledge(mid)

    def _acknowledge(self, mid: int) -> None:
        self._waiting_since_s = time.monotonic()
        del self._alerts[mid]
        oldest_left = min(self._alerts.values(), default=self.last_sent + 1)
        self.acknowledged = oldest_left - 1

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        if message.payload == ONLINE.encode():
            self._returned = True
