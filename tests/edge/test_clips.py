"""Sound around alerts: what is kept, what is never kept, and what makes room."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import wave
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.audio.block import AudioBlock
from edge.clips import (
    ClipRecorder,
    ClipSettings,
    PreRoll,
    StoredClip,
    clip_name,
    consent_line,
    to_delete,
    to_int16,
)
from tests.patience import HANG_S

RATE_HZ = 100
NOON = datetime(2025, 6, 1, 12, 0, tzinfo=timezone.utc)


def alert(number=1, source="desk", state="raised"):
    return {
        "type": "alert",
        "id": f"id-{number}",
        "state": state,
        "time": "2025-06-01T12:00:00.000+02:00",
        "source": source,
    }


def ramp_blocks(total, size, start=0):
    """Blocks of a ramp: the sample at n is n / 32767."""
    for first in range(start, start + total, size):
        last = min(first + size, start + total)
        yield AudioBlock(np.arange(first, last, dtype=np.float32) / 32767, first)


def read(path):
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


@given(st.integers(1, 50), st.integers(0, 300), st.integers(0, 200), st.integers(0, 400))
def test_a_clip_holds_exactly_the_sound_around_its_alert(size, before, after, alert_at):
    roll = PreRoll(before, after)
    clips, started_at = [], None
    for block in ramp_blocks(1000, size):
        clips += roll.accept(block)
        if started_at is None and block.end >= alert_at:
            started_at = block.end
            clips += roll.start(alert())
    assert len(clips) == 1
    first = max(0, started_at - before)
    assert clips[0].samples.tolist() == list(range(first, started_at + after))


def test_a_gap_ends_the_clip_and_what_lay_before_it_is_not_joined_on():
    roll = PreRoll(100, 100)
    for block in ramp_blocks(200, 10):
        assert roll.accept(block) == []
    roll.start(alert(1))
    cut = roll.accept(AudioBlock(np.zeros(10, np.float32), 500))
    assert [len(clip.samples) for clip in cut] == [100]
    roll.start(alert(2))
    assert [len(clip.samples) for clip in roll.flush()] == [10]


def test_alerts_close_together_each_have_their_clip():
    roll = PreRoll(50, 50)
    clips = []
    for number, block in enumerate(ramp_blocks(300, 10)):
        clips += roll.accept(block)
        if number in (9, 11):
            roll.start(alert(number))
    assert [clip.alert["id"] for clip in clips] == ["id-9", "id-11"]
    assert [len(clip.samples) for clip in clips] == [100, 100]


def stored(folder, hours_old, size):
    return [
        StoredClip(folder / f"{n}.wav", size, NOON - timedelta(hours=hours))
        for n, hours in enumerate(hours_old)
    ]


def test_the_oldest_make_room_before_a_new_clip_is_written(tmp_path):
    clips = stored(tmp_path, [5, 1, 3], 400)
    gone = to_delete(clips, 400, 1000, NOON - timedelta(days=7))
    assert [clip.path.name for clip in gone] == ["0.wav", "2.wav"]


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), max_size=20))
def test_the_limits_hold_once_the_new_clip_is_written(files):
    clips = [
        StoredClip(f"{n}", size, NOON - timedelta(hours=h)) for n, (h, size) in enumerate(files)
    ]
    oldest = NOON - timedelta(hours=100)
    gone = to_delete(clips, 300, 1000, oldest)
    kept = [clip for clip in clips if clip not in gone]
    assert sum(clip.size_bytes for clip in kept) + 300 <= 1000
    assert all(clip.modified >= oldest for clip in kept)


def test_samples_beyond_full_scale_and_no_numbers_become_valid_ones():
    odd = np.array([0, 1, -1, 2, -2, np.nan, np.inf, -np.inf], np.float32)
    assert to_int16(odd).tolist() == [0, 32767, -32767, 32767, -32768, 0, 32767, -32767]


def test_names_of_files_cannot_leave_the_folder():
    name = clip_name({"time": "2025-06-01T12:00:00.1+02:00", "source": "../../etc", "id": "a/b"})
    assert name == "2025-06-01T12-00-00_-etc_a-b.wav"


def test_nothing_is_said_of_consent_when_nothing_is_kept():
    assert consent_line(ClipSettings()) is None
    assert "agreed" in consent_line(ClipSettings(directory="/srv/clips"))


class Events(list):
    def __call__(self, record):
        self.append(record["kind"])


@pytest.fixture
def record(tmp_path):
    made = []

    def make(folder=None, now=lambda: datetime.now().astimezone(), **changes):
        settings = ClipSettings(
            directory=str(folder or tmp_path / "clips"), before_s=2.0, after_s=1.0, **changes
        )
        events = Events()
        recorder = ClipRecorder(settings, ("desk",), RATE_HZ, events, now)
        made.append(recorder)
        return recorder, events

    yield make
    for recorder in made:
        recorder.close(2.0)


def play(recorder, total=1000, alert_at=500, number=1, start=0):
    for block in ramp_blocks(total, 10, start):
        recorder.accept("desk", block)
        if block.end == start + alert_at:
            recorder.emit(alert(number))


def test_a_recorder_writes_a_wav_around_the_alert_and_nothing_else(record, tmp_path):
    recorder, events = record()
    recorder.emit({"type": "window", "source": "desk"})
    recorder.emit(alert(9, state="cleared"))
    play(recorder)
    recorder.close(HANG_S)
    (path,) = (tmp_path / "clips").iterdir()
    assert read(path).tolist() == list(range(300, 600))
    assert path.stat().st_mode & 0o777 == 0o640
    assert events == ["clip-kept"]


def test_closing_keeps_an_unfinished_clip_as_far_as_it_goes(record, tmp_path):
    recorder, _ = record()
    play(recorder, total=550)
    recorder.close(HANG_S)
    (path,) = (tmp_path / "clips").iterdir()
    assert read(path).tolist() == list(range(300, 550))


def test_recordings_that_are_too_old_go_and_foreign_files_stay(record, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "old.wav").write_bytes(b"x")
    (folder / "notes.txt").write_text("mine")
    week_ago = time.time() - 8 * 86400
    os.utime(folder / "old.wav", (week_ago, week_ago))
    os.utime(folder / "notes.txt", (week_ago, week_ago))
    recorder, _ = record(folder)
    play(recorder)
    recorder.close(HANG_S)
    assert sorted(path.suffix for path in folder.iterdir()) == [".txt", ".wav"]
    assert not (folder / "old.wav").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_said_and_leaves_nothing_half_written(record, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], check=True)
    try:
        (disk / "filling").write_bytes(b"x" * 4096)
        recorder, events = record(disk)
        play(recorder)
        recorder.close(HANG_S)
        assert events == ["clip-failed"]
        assert [path.name for path in disk.iterdir()] == ["filling"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_two_sources_do_not_wait_for_each_other(tmp_path):
    settings = ClipSettings(directory=str(tmp_path / "clips"), before_s=1.0, after_s=1.0)
    recorder = ClipRecorder(settings, ("a", "b"), RATE_HZ, Events())

    def feed(source):
        for block in ramp_blocks(500, 10):
            recorder.accept(source, block)
            if block.end == 250:
                recorder.emit(alert(1, source))

    threads = [threading.Thread(target=feed, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close(HANG_S)
    assert len(list((tmp_path / "clips").iterdir())) == 2
