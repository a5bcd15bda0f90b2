"""JSON lines into real pipes, real files and a disk that is really full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from edge.alerts.jsonl import (
    DescriptorWriter,
    FileSettings,
    JsonLinesSink,
    RotatedFile,
    file_sink,
    is_journal,
)
from tests.patience import HANG_S


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_arrive_on_a_pipe_one_per_line_in_order(pipe, events, make_alert, make_window):
    reader, writer = pipe
    sink = JsonLinesSink("stdout", DescriptorWriter(writer), True, events)
    sink.emit(make_window(1))
    sink.emit(make_alert(2))
    sink.close(HANG_S)
    os.close(writer)
    with os.fdopen(os.dup(reader)) as lines:
        assert [json.loads(line) for line in lines] == [make_window(1), make_alert(2)]


def test_a_reader_that_hangs_holds_nobody_up_and_costs_the_oldest_windows(
    pipe, events, make_alert, make_window
):
    reader, writer = pipe
    sink = JsonLinesSink("stdout", DescriptorWriter(writer), True, events)
    sink.emit(make_alert(0))
    began_s = time.monotonic()
    for number in range(3000):
        sink.emit(make_window(number))
    sink.emit(make_alert(1))
    assert time.monotonic() - began_s < HANG_S
    received = []

    def read():
        with os.fdopen(os.dup(reader)) as lines:
            received.extend(json.loads(line) for line in lines)

    thread = threading.Thread(target=read)
    thread.start()
    sink.close(HANG_S)
    os.close(writer)
    thread.join(HANG_S)
    assert [r["id"] for r in received if r["type"] == "alert"] == ["id-0", "id-1"]
    assert received[-2]["window"] == 2999
    assert len(received) + sink.lost == 3002


def test_a_reader_that_has_gone_ends_the_output_with_one_event(pipe, events, make_window):
    reader, writer = pipe
    broken = threading.Event()
    sink = JsonLinesSink(
        "stdout", DescriptorWriter(writer), True, events, on_broken_pipe=broken.set
    )
    os.close(reader)
    for number in range(10):
        sink.emit(make_window(number))
    assert broken.wait(HANG_S)
    sink.emit(make_window(11))
    sink.close(HANG_S)
    assert events.kinds == ["output-broken"]


def test_a_terminal_that_is_not_blocking_still_gets_every_line(pipe, events, make_window):
    reader, writer = pipe
    os.set_blocking(writer, False)
    sink = JsonLinesSink("stdout", DescriptorWriter(writer), True, events)
    for number in range(500):
        sink.emit({**make_window(number), "filling": "x" * 1000})
    count = 0
    with os.fdopen(os.dup(reader)) as lines:
        for count, _ in enumerate(lines, 1):
            if count == 500:
                break
    assert count == 500
    sink.close(HANG_S)


def test_a_process_with_a_stuck_reader_still_ends_at_once():
    script = (
        "import sys, time\n"
        "from edge.alerts.jsonl import StdoutSettings, stdout_sink\n"
        "sink = stdout_sink(StdoutSettings(), lambda record: None)\n"
        "for n in range(500): sink.emit({'type': 'alert', 'filling': 'x' * 2000})\n"
        "sink.close(0.2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.wait(HANG_S) == 0
    process.stdout.close()


def test_a_value_that_json_cannot_hold_costs_its_record_only(pipe, events, make_window):
    reader, writer = pipe
    sink = JsonLinesSink("stdout", DescriptorWriter(writer), True, events)
    sink.emit(make_window(1, probability=float("nan")))
    sink.emit(make_window(2))
    sink.close(HANG_S)
    os.close(writer)
    with os.fdopen(os.dup(reader)) as lines:
        assert [json.loads(line)["window"] for line in lines] == [2]
    assert events.kinds == ["output-failed", "output-recovered"]


def test_files_are_rotated_before_they_grow_past_the_limit(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RotatedFile(path, max_bytes=1000, files=3, sync=False)
    for number in range(100):
        writer.write(f"{number:099d}\n".encode(), urgent=False)
    writer.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["records.jsonl", "records.jsonl.1", "records.jsonl.2"]
    assert all(p.stat().st_size <= 1000 for p in tmp_path.iterdir())
    lines = [int(n) for name in reversed(names) for n in (tmp_path / name).read_text().split()]
    assert lines == list(range(70, 100))


def test_a_single_file_begins_anew_when_full(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RotatedFile(path, max_bytes=20, files=1, sync=True)
    for number in range(5):
        writer.write(f"{number:09d}\n".encode(), urgent=True)
    assert [p.name for p in tmp_path.iterdir()] == ["records.jsonl"]
    assert path.read_text().split() == ["000000004"]
    writer.close()


def test_a_file_that_somebody_moved_is_begun_again(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RotatedFile(path, max_bytes=1000, files=2, sync=False)
    writer.write(b"one\n", urgent=False)
    path.rename(tmp_path / "moved")
    writer.write(b"two\n", urgent=False)
    writer.close()
    assert (path.read_text(), (tmp_path / "moved").read_text()) == ("two\n", "one\n")


def test_windows_stay_out_of_the_file_unless_asked_for(tmp_path, events, make_alert, make_window):
    path = tmp_path / "records.jsonl"
    sink = file_sink(FileSettings(path=str(path)), events)
    sink.emit(make_window(1))
    sink.emit(make_alert(2))
    sink.close(HANG_S)
    assert read_lines(path) == [make_alert(2)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_loses_whole_lines_only_and_says_so_once(tmp_path, events, make_alert):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        path = disk / "records.jsonl"
        sink = file_sink(FileSettings(path=str(path), files=1), events)
        for number in range(400):
            sink.emit(make_alert(number))
        events.wait_for("output-failed")
        time.sleep(0.5)
        assert path.stat().st_size > 50_000
        path.unlink()
        sink.emit(make_alert(999))
        events.wait_for("output-recovered")
        sink.close(HANG_S)
        assert read_lines(path)[-1] == make_alert(999)
        assert events.kinds == ["output-failed", "output-recovered"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_journal_is_told_from_a_pipe_and_a_terminal(pipe):
    _, writer = pipe
    status = os.fstat(writer)
    journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    assert is_journal(writer, journal)
    assert not is_journal(writer, {})
    assert not is_journal(writer, {"JOURNAL_STREAM": "9:999"})


def test_windows_go_to_a_pipe_but_not_into_the_journal_unless_asked_for():
    script = (
        "import os, sys\n"
        "from edge.alerts.jsonl import StdoutSettings, stdout_sink\n"
        "status = os.fstat(1)\n"
        "journal = {'JOURNAL_STREAM': f'{status.st_dev}:{status.st_ino}'}\n"
        "for settings, environment in ((StdoutSettings(), {}), (StdoutSettings(), journal),\n"
        "                              (StdoutSettings(windows=True), journal)):\n"
        "    sink = stdout_sink(settings, print, environment=environment)\n"
        "    sink.emit({'type': 'window', 'n': 1})\n"
        "    sink.close(60.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.count("window") == 2, done.stderr
