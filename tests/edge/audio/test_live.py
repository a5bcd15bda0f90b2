"""Captures of a real PulseAudio that are hung, killed, moved and unplugged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.clock import now_s
from tests.patience import HANG_S, wait_until

from .conftest import lost_samples

PR_SET_MDWE, PR_GET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 66, 1
MIC = "pulse:mic.monitor"


def child_of(listener):
    pid = listener.source.child_pid
    assert pid is not None
    return pid


def test_a_microphone_is_opened_and_heard_without_a_gap(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_event("opened")
    listener.wait_for_audio()
    assert listener.heard("gap") == 0


def test_the_default_input_is_opened_when_none_is_named(pulse, listen):
    listener = listen()
    listener.wait_for_audio()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_what_was_played_is_what_is_heard(pulse, listen, tmp_path, rate_hz):
    rng = np.random.default_rng(1)
    noise = np.convolve(rng.standard_normal(3 * 16000), np.hanning(16), "same")  # below 2 kHz
    noise = (0.1 * noise / noise.std()).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    listener = listen(device=MIC, rate_hz=rate_hz)
    listener.wait_for_audio()
    pulse.play(tmp_path / "noise.wav").wait()
    listener.wait_for_audio(10)
    heard = np.concatenate([block.samples for block in listener.blocks])
    assert lost_samples(listener.blocks) == 0
    # Piece by piece: on a busy machine the player may stutter between them.
    matches = [best_match(heard, piece) for piece in noise.reshape(-1, 1600)]
    assert np.median(matches) > 0.99


def best_match(heard, piece):
    """Correlation of a piece with the place in `heard` that resembles it most."""
    size = 1 << (len(heard) + len(piece)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(piece, size)))
    place = int(np.argmax(products[: len(heard) - len(piece)]))
    return np.corrcoef(heard[place : place + len(piece)], piece)[0, 1]


def test_a_hung_capture_is_replaced(pulse, listen):
    listener = listen(device=MIC, stall_s=2.0)
    listener.wait_for_audio()
    pid = child_of(listener)
    os.kill(pid, signal.SIGSTOP)
    listener.wait_for_event("stalled")
    listener.wait_for_event("recovered")
    listener.wait_for_audio()
    assert not Path(f"/proc/{pid}").exists()
    # Two seconds of patience, and the time to start again.
    assert lost_samples(listener.blocks) / 16000 > 1.5


def test_a_killed_capture_is_replaced(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_audio()
    os.kill(child_of(listener), signal.SIGKILL)
    listener.wait_for_event("crashed")
    listener.wait_for_event("recovered")
    assert "signal 9" in next(e.message for e in listener.events if e.kind == "crashed")


def test_a_microphone_that_is_pulled_out_is_not_replaced_by_another(pulse, listen):
    pulse.plug("other", default=False)
    listener = listen(device=MIC)
    listener.wait_for_audio()
    pulse.unplug("mic")
    listener.wait_for_event("moved")
    listener.wait_for_event("absent")
    blocks = len(listener.blocks)
    time.sleep(2)
    assert len(listener.blocks) == blocks
    pulse.plug("mic")
    listener.wait_for_event("recovered")
    listener.wait_for_audio()


def test_the_default_input_moves_with_an_event_and_a_gap(pulse, listen):
    listener = listen()
    listener.wait_for(lambda: listener.source._route is not None, "route")
    pulse.unplug("mic")
    listener.wait_for_event("moved")
    listener.wait_for_event("recovered")
    moved = next(event.message for event in listener.events if event.kind == "moved")
    assert "from 'mic.monitor' to" in moved
    listener.wait_for_audio()
    assert lost_samples(listener.blocks) > 0


def test_a_sound_server_that_dies_and_comes_back(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_audio()
    pulse.kill()
    listener.wait_for_event("ended")
    listener.wait_for_event("absent")
    pulse.start()
    pulse.plug("mic")
    listener.wait_for_event("recovered")
    listener.wait_for_audio()


def test_a_sound_server_that_hangs_is_waited_for(pulse, listen):
    listener = listen(device=MIC, open_timeout_s=2.0, stall_s=2.0)
    listener.wait_for_audio()
    pulse.freeze()
    listener.wait_for_event("stalled")
    listener.wait_for_event("silent-start")
    pulse.thaw()
    listener.wait_for_event("recovered")
    listener.wait_for_audio()


def test_a_microphone_that_is_absent_at_start_is_waited_for(pulse, listen):
    pulse.unplug("mic")
    listener = listen(device=MIC)
    listener.wait_for_event("absent")
    pulse.plug("mic")
    listener.wait_for_event("opened")


def test_a_microphone_that_must_be_there_ends_with_an_error(pulse, listen):
    listener = listen(name="door", device="no such thing", must_open=True)
    listener.wait_for(lambda: listener.error is not None, "error")
    assert str(listener.error) == (
        "door: there is no input 'no such thing'; there are: 'pulse', 'default'"
    )


def test_attempts_in_vain_are_told_once(pulse, listen):
    listener = listen(device="no such thing", backoff_max_s=0.25)
    listener.wait_for(lambda: listener.source.attempts >= 5, "attempts")
    assert [event.kind for event in listener.events] == ["absent"]


def test_time_stamps_follow_the_clock(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_audio(40)
    block = listener.blocks[-1]
    age_s = now_s() - block.captured_s - len(block.samples) / 16000
    assert -0.01 < age_s < 60
    spread = [block.captured_s - block.start / 16000 for block in listener.blocks[5:]]
    assert max(spread) - min(spread) < 0.1


def test_a_capture_that_loses_audio_inside_a_running_stream_tells_it(pulse, listen):
    # At this rate the sound server's own 4 MB hold five seconds.
    listener = listen(device=MIC, stall_s=20, rate_hz=96000, channels=2, sample_format="s32le")
    listener.wait_for_audio(20)
    child = child_of(listener)
    os.kill(child, signal.SIGSTOP)
    time.sleep(8)
    os.kill(child, signal.SIGCONT)
    listener.wait_for_event("gap")
    listener.wait_for_audio(20)
    lost = lost_samples(listener.blocks)
    assert lost == sum(event.lost_samples for event in listener.events if event.kind == "gap")
    # The timeline has kept up with the clock through it all.
    spread = [block.captured_s - block.start / 16000 for block in listener.blocks[5:]]
    assert max(spread) - min(spread) < 0.15
    assert child_of(listener) == child


def test_closing_ends_the_capture_process(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_audio()
    pid = child_of(listener)
    listener.close()
    assert not Path(f"/proc/{pid}").exists()


def test_arecord_captures_and_comes_back(pulse, listen):
    listener = listen(kind="arecord")
    listener.wait_for_audio()
    os.kill(child_of(listener), signal.SIGKILL)
    listener.wait_for_event("ended")
    listener.wait_for_event("recovered")
    pulse.kill()
    listener.wait_for_event("ended", count=2)
    pulse.start()
    pulse.plug("mic")
    listener.wait_for_event("recovered", count=2)


def test_arecord_without_its_device_is_absent(pulse, listen):
    listener = listen(kind="arecord", device="plughw:CARD=Nowhere")
    listener.wait_for_event("absent")


def test_a_source_of_the_sound_server_that_is_unknown_is_named_with_the_others(pulse, listen):
    listener = listen(device="pulse:nope", must_open=True)
    listener.wait_for(lambda: listener.error is not None, "error")
    assert "there is no input 'pulse:nope'; there are: " in str(listener.error)
    assert "'pulse:mic.monitor'" in str(listener.error)


def test_the_capture_process_ends_with_a_daemon_that_is_killed(pulse):
    script = (
        "from edge.audio.settings import SourceSettings\n"
        "from edge.audio.sources import open_source\n"
        f"source = open_source(SourceSettings(device={MIC!r}))\n"
        "for block in source.blocks():\n"
        "    print(source.child_pid, flush=True)\n"
    )
    daemon = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the capture process")


def test_capture_works_where_memory_may_not_be_made_executable(pulse):
    """The kernel's own form of systemd's MemoryDenyWriteExecute, inherited by the child."""
    script = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"if libc.prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0): sys.exit(77)\n"
        "from edge.audio.settings import SourceSettings\n"
        "from edge.audio.sources import open_source\n"
        f"source = open_source(SourceSettings(device={MIC!r}, must_open=True, rate_hz=48000))\n"
        "for block in source.blocks():\n"
        "    if block.end > 16000: source.close()\n"
        f"print(libc.prctl({PR_GET_MDWE}, 0, 0, 0, 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=HANG_S
    )
    if done.returncode == 77:
        pytest.skip("this kernel (before 6.3) has no PR_SET_MDWE")
    assert done.stdout.strip() == str(PR_MDWE_REFUSE_EXEC_GAIN), done.stderr


def test_the_capture_process_is_small(pulse, listen):
    listener = listen(device=MIC)
    listener.wait_for_audio(20)
    status = Path(f"/proc/{child_of(listener)}/status").read_text()
    private_kib = int(next(line for line in status.splitlines() if "RssAnon" in line).split()[1])
    assert private_kib < 20_000
