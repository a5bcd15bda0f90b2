"""Network streams through a real ffmpeg, which another ffmpeg feeds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from edge.audio.producers import explain_ffmpeg, without_password
from tests.processes import free_port

from .conftest import lost_samples

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture
def tone(tmp_path):
    path = tmp_path / "tone.wav"
    times_s = np.arange(60 * 16000) / 16000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * times_s), 16000)
    return path


@pytest.fixture
def send(tone) -> Iterator:
    senders = []

    def start(url: str) -> subprocess.Popen:
        command = ["ffmpeg", "-loglevel", "error", "-re", "-i", str(tone), "-c:a", "pcm_s16be"]
        command += ["-f", "rtsp", "-rtsp_transport", "tcp", url]
        senders.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return senders[-1]

    yield start
    for sender in senders:
        sender.kill()
        sender.wait()


def send_until_heard(send, listener, url, event, count=1):
    """The receiver opens its port some time after it has been started."""
    for _ in range(20):
        sender = send(url)
        try:
            listener.wait_for(
                lambda s=sender: listener.heard(event) >= count or s.poll() is not None, "audio"
            )
        finally:
            if listener.heard(event) < count:
                sender.kill()
        if listener.heard(event) >= count:
            return sender
    raise AssertionError(f"never heard: {listener.events}")


def test_an_rtsp_stream_is_heard_and_comes_back(send, listen):
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    listener = listen(
        kind="url",
        url=url,
        ffmpeg_options=("-rtsp_flags", "listen"),
        backoff_max_s=1.0,
    )
    sender = send_until_heard(send, listener, url, "opened")
    listener.wait_for_audio(30)
    samples = np.concatenate([block.samples for block in listener.blocks])
    spectrum = np.abs(np.fft.rfft(samples[-16000:] * np.hanning(16000)))
    assert np.argmax(spectrum) == 440
    sender.kill()
    listener.wait_for_event("ended")
    send_until_heard(send, listener, url, "recovered")
    listener.wait_for_audio()
    assert lost_samples(listener.blocks) > 0


def test_a_network_stream_that_hangs_is_given_up(send, listen):
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    listener = listen(
        kind="url",
        url=url,
        ffmpeg_options=("-rtsp_flags", "listen"),
        stall_s=2.0,
    )
    sender = send_until_heard(send, listener, url, "opened")
    listener.wait_for_audio()
    os.kill(sender.pid, signal.SIGSTOP)
    listener.wait_for_event("stalled")


def test_a_recording_behind_a_url_is_read_at_its_own_pace(listen, tone):
    begin = time.monotonic()
    listener = listen(kind="url", url=str(tone), ffmpeg_options=("-re",))
    listener.wait_for_audio(20)
    heard_s = listener.blocks[-1].end / 16000
    assert 0 < heard_s < time.monotonic() - begin + 1  # a minute could be read at once


def test_an_address_that_nobody_answers_fails_without_its_password(listen):
    url = f"http://user:secret@127.0.0.1:{free_port()}/x"
    listener = listen(kind="url", url=url)
    listener.wait_for_event("failed")
    message = listener.events[0].message
    assert "Connection refused" in message
    assert "***@127.0.0.1" in message
    assert "secret" not in message


def test_passwords_stay_out_of_messages():
    assert without_password("rtsp://u:p@cam/a@b") == "rtsp://***@cam/a@b"
    assert without_password("rtsp://cam/a@b") == "rtsp://cam/a@b"
    assert without_password("/some/file") == "/some/file"
    kind, message = explain_ffmpeg("stream x", "rtsp://u:p@c", "rtsp://u:p@c: Invalid data\n")
    assert kind == "failed"
    assert message == "the stream x cannot be read (rtsp://***@c: Invalid data)"
