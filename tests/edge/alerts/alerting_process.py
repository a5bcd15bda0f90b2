"""A process that makes alerts without end, to be killed: the daemon's alert side and nothing else.

    python alerting_process.py SPOOL FIRST [PORT]

Every alert is numbered; the number of each one whose `append` returned true is printed, and so is
every event. With a port, alerts are delivered to the MQTT broker there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from edge.alerts.spool import Spool, SpoolSettings


def tell(word, value):
    os.write(1, f"{word} {value}\n".encode())


def alert(number):
    return {
        "type": "alert",
        "id": f"id-{number}",
        "number": number,
        "state": "raised",
        "time": "2025-06-01T12:00:00.000+02:00",
        "source": "desk",
    }


def mqtt(spool, port, on_event):
    from edge.alerts.delivery import RetrySettings
    from edge.alerts.homeassistant import Device
    from edge.alerts.mqtt import MqttSettings, MqttSink

    settings = MqttSettings(
        host="127.0.0.1", port=port, timeout_s=2.0, retry=RetrySettings(first_s=0.05, longest_s=0.2)
    )
    device = Device("pi1", "Desk Pi", "board", "1.0")
    return MqttSink(settings, device, ("desk",), spool, {}, on_event)


def main(path, first, port=None, pause_s="0.01", count="1000000000"):
    def on_event(record):
        tell("event", json.dumps(record))

    settings = SpoolSettings(max_alerts=100_000, commit_wait_s=60.0, retry_disk_s=0.1)
    spool = Spool(Path(path), ("mqtt",), settings, on_event)
    sink = mqtt(spool, int(port), on_event) if port else None
    for number in range(int(first), int(first) + int(count)):
        record = alert(number)
        tell("durable" if spool.append(record) else "memory", number)
        if sink is not None:
            sink.emit(record)
        time.sleep(float(pause_s))
    spool.close(60.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
