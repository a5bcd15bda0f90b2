"""A microphone that is lost a hundred times; the figures are those of docs/reliability.md."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest

from .conftest import lost_samples

LOSSES = 100
# Promised times; on a machine that has others to serve, this test may fail.
DETECTED_S = 10.0
BACK_S = 15.0
MIC = "pulse:mic.monitor"
# How a microphone is lost, and the event that must tell.
WAYS = {
    "source moved": ("moved",),
    "server killed": ("ended", "crashed"),
    "capture killed": ("crashed",),
    "capture hung": ("stalled",),
}


def lose(way: str, server, listener) -> None:
    if way == "source moved":
        server.unplug("mic")
    elif way == "server killed":
        server.kill()
    elif way == "capture killed":
        os.kill(listener.source.child_pid, signal.SIGKILL)
    else:
        os.kill(listener.source.child_pid, signal.SIGSTOP)


def bring_back(way: str, server) -> None:
    if way == "server killed":
        server.start()
        server.plug("other", default=False)
    if way in ("source moved", "server killed"):
        server.plug("mic")


@pytest.mark.slow
def test_a_hundred_losses_are_each_noticed_told_and_survived(pulse, listen, capsys):
    pulse.plug("other", default=False)
    rng = random.Random(100)
    ways = [list(WAYS)[index % len(WAYS)] for index in range(LOSSES)]
    rng.shuffle(ways)
    listener = listen(device=MIC, stall_s=2.0)
    listener.wait_for_audio()
    noticed_s = {way: [] for way in WAYS}
    back_s = {way: [] for way in WAYS}
    files = len(os.listdir("/proc/self/fd"))
    for number, way in enumerate(ways, 1):
        time.sleep(rng.uniform(0, 2))
        listener.wait_for_audio()
        kinds = WAYS[way]
        before = sum(map(listener.heard, kinds))
        lose(way, pulse, listener)
        noticed_s[way].append(
            listener.wait_for(lambda k=kinds, b=before: sum(map(listener.heard, k)) > b, way)
        )
        time.sleep(rng.uniform(0, 4))
        blocks = len(listener.blocks)
        bring_back(way, pulse)
        back_s[way].append(
            listener.wait_for(lambda b=blocks: len(listener.blocks) > b, f"audio after {number}")
        )
    listener.close()
    with capsys.disabled():
        print(f"\n{LOSSES} losses of a microphone in a real PulseAudio, seconds:")
        for way in WAYS:
            for what, times_s in (("noticed after", noticed_s[way]), ("back after", back_s[way])):
                print(
                    f"  {way:15} {len(times_s):3} x  {what:13} median {np.median(times_s):5.2f}  "
                    f"longest {max(times_s):5.2f}"
                )
        lost_s = lost_samples(listener.blocks) / 16000
        print(
            f"  {lost_s:.0f} s of audio are missing from the timeline; gaps inside a running "
            f"capture: {listener.heard('gap')}"
        )
    assert max(max(times_s) for times_s in noticed_s.values()) < DETECTED_S
    assert max(max(times_s) for times_s in back_s.values()) < BACK_S
    assert listener.heard("recovered") == LOSSES
    assert len(os.listdir("/proc/self/fd")) <= files
    spread_s = [block.captured_s - block.start / 16000 for block in listener.blocks]
    # The length of each outage is known to a fifth of a second.
    assert np.abs(np.diff(spread_s)).max() < 0.2
