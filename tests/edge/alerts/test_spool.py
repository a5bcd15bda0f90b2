"""The spool against real files, real faults and real kills."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from edge.alerts.spool import SpoolSettings, default_spool_path
from tests.patience import HANG_S


def alert(number):
    return {"type": "alert", "id": f"id-{number}", "number": number}


def numbers(entries):
    return [json.loads(entry.payload)["number"] for entry in entries]


def test_alerts_come_back_in_order_after_a_restart(open_spool):
    spool = open_spool()
    assert all(spool.append(alert(n)) for n in range(5))
    spool.close(HANG_S)
    assert numbers(open_spool().pending("mqtt", 10)) == [0, 1, 2, 3, 4]


def test_delivered_alerts_do_not_come_back(open_spool):
    spool = open_spool()
    for n in range(5):
        spool.append(alert(n))
    spool.acknowledge("mqtt", spool.pending("mqtt", 3)[-1].seq)
    spool.close(HANG_S)
    again = open_spool()
    assert numbers(again.pending("mqtt", 10)) == [3, 4]
    again.acknowledge("mqtt", again.pending("mqtt", 9)[-1].seq)
    again.close(HANG_S)
    third = open_spool()
    assert third.depth("mqtt") == 0
    third.append(alert(7))
    assert numbers(third.pending("mqtt", 10)) == [7]


def test_each_sink_reads_at_its_own_pace(open_spool):
    spool = open_spool("mqtt", "webhook")
    for n in range(3):
        spool.append(alert(n))
    spool.acknowledge("mqtt", spool.pending("mqtt", 3)[-1].seq)
    assert (spool.depth("mqtt"), spool.depth("webhook")) == (0, 3)
    spool.close(HANG_S)
    again = open_spool("mqtt", "webhook")
    assert numbers(again.pending("webhook", 10)) == [0, 1, 2]
    assert again.pending("mqtt", 10) == []


def test_a_new_sink_starts_after_the_old_alerts_and_a_removed_one_holds_nothing_back(open_spool):
    spool = open_spool("mqtt")
    spool.append(alert(1))
    spool.close(HANG_S)
    again = open_spool("webhook")
    assert again.pending("webhook", 10) == []
    again.append(alert(2))
    assert numbers(again.pending("webhook", 10)) == [2]


def test_a_full_spool_drops_the_oldest_counts_it_and_says_so_once(open_spool, events):
    spool = open_spool("mqtt", settings=SpoolSettings(max_alerts=3, commit_wait_s=60.0))
    for n in range(10):
        spool.append(alert(n))
    assert numbers(spool.pending("mqtt", 10)) == [7, 8, 9]
    assert spool.dropped("mqtt") == 7
    assert events.kinds == ["spool-full"]
    spool.close(HANG_S)
    assert numbers(open_spool().pending("mqtt", 10)) == [7, 8, 9]


@pytest.mark.parametrize("damage", ["noise", "truncated", "foreign", "empty-header"])
def test_a_damaged_file_is_set_aside_with_an_event(open_spool, events, tmp_path, damage):
    path = tmp_path / "alerts.db"
    spool = open_spool(path=path)
    for n in range(50):
        spool.append({**alert(n), "filling": "x" * 1000})
    spool.close(HANG_S)
    content = path.read_bytes()
    if damage == "noise":
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty-header":
        path.write_bytes(b"\0" * 4096)
    else:
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE recipes (name TEXT)")
        other.close()
    again = open_spool(path=path)
    assert events.kinds == ["spool-damaged"]
    assert (tmp_path / "alerts.db.damaged").exists()
    assert again.append(alert(1))
    assert numbers(again.pending("mqtt", 10)) == [1]


def test_a_second_daemon_on_the_same_file_goes_on_in_memory(open_spool, events, tmp_path):
    first = open_spool(path=tmp_path / "alerts.db")
    first.append(alert(1))
    second = open_spool(path=tmp_path / "alerts.db")
    assert second.append(alert(2)) is False
    assert events.kinds == ["spool-degraded"]
    assert numbers(second.pending("mqtt", 10)) == [2]


def test_alerts_of_an_earlier_run_are_delivered_when_their_disk_comes_late(
    open_spool, events, tmp_path
):
    holder = open_spool(path=tmp_path / "alerts.db")
    for n in range(3):
        holder.append(alert(n))
    late = open_spool(path=tmp_path / "alerts.db")
    late.append(alert(10))
    late.append(alert(11))
    holder.close(HANG_S)
    events.wait_for("spool-recovered")
    assert numbers(late.pending("mqtt", 10)) == [10, 11, 0, 1, 2]
    late.close(HANG_S)
    assert numbers(open_spool().pending("mqtt", 10)) == [10, 11, 0, 1, 2]


def test_state_directory_of_systemd_comes_first():
    environment = {"STATE_DIRECTORY": "/var/lib/earwitness", "HOME": "/root"}
    assert default_spool_path(environment) == Path("/var/lib/earwitness/alerts.db")
    assert default_spool_path({"HOME": "/home/pi"}) == Path(
        "/home/pi/.local/state/earwitness/alerts.db"
    )


def test_an_alert_delivered_before_the_disk_took_it_does_not_hold_up_its_sender(open_spool):
    spool = open_spool()
    done = threading.Event()

    def deliver():
        while not done.is_set():
            for entry in spool.pending("mqtt", 10):
                spool.acknowledge("mqtt", entry.seq)

    thread = threading.Thread(target=deliver)
    thread.start()
    took_s = []
    for number in range(100):
        began_s = time.monotonic()
        assert spool.append(alert(number))
        took_s.append(time.monotonic() - began_s)
    done.set()
    thread.join()
    # A sender that misses its commit waits the whole time out; a slow disk does not come near it.
    assert max(took_s) < 60.0  # commit_wait_s of the fixture
