"""Settings of the sinks that need a network, apart from them.

A configuration is read where paho-mqtt and prometheus_client are missing, and without the cost of
importing ssl and http.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.alerts.delivery import RetrySettings


@dataclass(frozen=True)
class MqttSettings:
    """A broker that alerts and windows are published to."""

    host: str = field(
        default="", metadata={"unit": "host name", "doc": "the broker; empty: no MQTT"}
    )
    port: int = field(
        default=1883,
        metadata={
            "unit": "port",
            "doc": "1883 is usual, 8883 with tls",
            "minimum": 1,
            "maximum": 65535,
        },
    )
    protocol: str = field(
        default="5",
        metadata={
            "doc": "MQTT version; with 3.1.1 a broker may discard what it does not permit unsaid",
            "choices": ("5", "3.1.1"),
        },
    )
    username: str = field(default="", metadata={"doc": "user name at the broker; empty: none"})
    password_file: str = field(
        default="",
        metadata={"unit": "path or credential", "doc": "file with the password at the broker"},
    )
    tls: bool = field(
        default=False, metadata={"doc": "encrypt, and check the broker's certificate"}
    )
    ca_file: str = field(
        default="",
        metadata={
            "unit": "path",
            "doc": "certificates to trust in place of the system's",
        },
    )
    client_certificate_file: str = field(
        default="", metadata={"unit": "path", "doc": "certificate to show to the broker"}
    )
    client_key_file: str = field(
        default="", metadata={"unit": "path", "doc": "private key of that certificate"}
    )
    topic: str = field(
        default="earwitness",
        metadata={"unit": "topic", "doc": "first level of every topic; the device id follows"},
    )
    device_id: str = field(
        default="",
        metadata={
            "doc": "unique name of this device in topics; empty: updates.device_id, or derived "
            "from /etc/machine-id"
        },
    )
    device_name: str = field(
        default="", metadata={"doc": "what Home Assistant calls this device; empty: the host name"}
    )
    discovery: bool = field(
        default=True, metadata={"doc": "announce this device to Home Assistant"}
    )
    discovery_prefix: str = field(
        default="homeassistant",
        metadata={"unit": "topic", "doc": "Home Assistant's discovery prefix"},
    )
    windows: bool = field(default=True, metadata={"doc": "publish every window too"})
    events: bool = field(default=True, metadata={"doc": "publish events too"})
    keepalive_s: int = field(
        default=30,
        metadata={
            "unit": "s",
            "doc": "silence after which broker and device check on each other",
            "minimum": 5,
            "maximum": 3600,
        },
    )
    timeout_s: float = field(
        default=10.0,
        metadata={
            "unit": "s",
            "doc": "longest wait for a connection or an acknowledgement before starting over",
            "minimum": 0.1,
            "maximum": 300.0,
        },
    )
    retry: RetrySettings = field(default_factory=RetrySettings)


@dataclass(frozen=True)
class WebhookSettings:
    """An address that alerts are posted to as JSON."""

    url: str = field(
        default="", metadata={"unit": "URL", "doc": "address to post to; empty: no webhook"}
    )
    secret_file: str = field(
        default="",
        metadata={
            "unit": "path or credential",
            "doc": "file with a secret; requests are signed with it (HMAC-SHA256 of the body)",
        },
    )
    token_file: str = field(
        default="",
        metadata={
            "unit": "path or credential",
            "doc": "file with a token to send as 'Authorization: Bearer'",
        },
    )
    ca_file: str = field(
        default="",
        metadata={
            "unit": "path",
            "doc": "certificates to trust in place of the system's, for https",
        },
    )
    timeout_s: float = field(
        default=10.0,
        metadata={
            "unit": "s",
            "doc": "longest silence of the server before an attempt counts as failed",
            "minimum": 0.1,
            "maximum": 300.0,
        },
    )
    windows: bool = field(default=False, metadata={"doc": "post every window too"})
    events: bool = field(default=False, metadata={"doc": "post events too"})
    retry: RetrySettings = field(default_factory=RetrySettings)


@dataclass(frozen=True)
class MetricsSettings:
    """Numbers for Prometheus and a health check over HTTP."""

    enabled: bool = field(default=True, metadata={"doc": "serve /metrics and /healthz over HTTP"})
    address: str = field(
        default="127.0.0.1",
        metadata={
            "unit": "IP address",
            "doc": "where to listen; anything but loopback shows the figures to the network",
        },
    )
    port: int = field(
        default=9731,
        metadata={"unit": "port", "doc": "TCP port; 0: any", "minimum": 0, "maximum": 65535},
    )
