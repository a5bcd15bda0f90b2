"""Clocks that jump: stamps follow the time of day, and nothing else does."""

from __future__ import annotations

import os
import time as system_time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from edge.audio.block import AudioBlock
from edge.ear import Clocks, Ear
from edge.report import Record
from tests.bundles import RATE_HZ, voice, whisper
from tests.clocks import NOON, Time
from tests.edge.test_ear import make_ear

HOUR = timedelta(hours=1)
BACK_TO_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc) - NOON
# Alerts come, are held back by the cooldown, and go.
SOUND = np.concatenate([whisper(12.0), voice(12.0), whisper(12.0, seed=1), voice(12.0, seed=1)])


def hear_while(jump: timedelta, rng: np.random.Generator | None) -> list[Record]:
    """The sound in blocks of a quarter of a second, the clock set between any two of them."""
    time = Time()
    ear = make_ear(time)
    records = []
    for first in range(0, len(SOUND), RATE_HZ // 4):
        if rng is not None:
            time.ahead = jump * int(rng.integers(-1, 2))
        piece = SOUND[first : first + RATE_HZ // 4]
        captured_s = time.steady_s
        time.steady_s += len(piece) / RATE_HZ
        records += ear.hear(AudioBlock(piece, first, captured_s))
    return records


def without_time(records: list[Record]) -> list[Record]:
    return [{k: v for k, v in record.items() if k != "time"} for record in records]


@pytest.mark.parametrize("jump", [HOUR, BACK_TO_1970, timedelta(microseconds=1)])
def test_a_clock_set_between_any_two_blocks_changes_stamps_and_nothing_else(
    jump: timedelta,
) -> None:
    steady = hear_while(jump, None)
    jumping = hear_while(jump, np.random.default_rng(5))
    assert without_time(jumping) == without_time(steady)
    assert {r["state"] for r in steady if r["type"] == "alert"} == {"raised", "cleared"}
    assert [r["time"] for r in jumping] != [r["time"] for r in steady]


def test_a_machine_that_boots_in_1970_stamps_rightly_once_the_network_gave_the_time() -> None:
    time = Time()
    time.ahead = BACK_TO_1970
    ear = make_ear(time)
    stamps = []
    for first in range(0, 12 * RATE_HZ, RATE_HZ):
        if first == 8 * RATE_HZ:
            time.ahead = timedelta(0)
        captured_s = time.steady_s
        time.steady_s += 1
        block = AudioBlock(SOUND[first : first + RATE_HZ], first, captured_s)
        stamps += [datetime.fromisoformat(r["time"]) for r in windows_of(ear, block)]
    seconds = [timedelta(seconds=n) for n in range(5, 13)]
    assert stamps[:4] == [NOON + BACK_TO_1970 + s for s in seconds[:4]]
    assert stamps[4:] == [NOON + s for s in seconds[4:]]


@pytest.fixture
def berlin() -> Iterator[None]:
    """This process lives in a zone with daylight saving."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    system_time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    system_time.tzset()


@pytest.mark.parametrize(
    ("change", "offsets"),
    [
        (datetime(2024, 3, 31, 1, tzinfo=timezone.utc), (1, 2)),
        (datetime(2024, 10, 27, 1, tzinfo=timezone.utc), (2, 1)),
    ],
)
def test_stamps_go_on_second_by_second_when_daylight_saving_begins_and_ends(
    change: datetime, offsets: tuple[int, int], berlin: None
) -> None:
    time = Time()
    begin_s = change.timestamp() - 1008  # the change comes 8 s into the sound
    clocks = Clocks(
        lambda: datetime.fromtimestamp(begin_s + time.steady_s).astimezone(),
        lambda: time.steady_s,
    )
    ear = make_ear(time, clocks=clocks)
    stamps = []
    for first in range(0, 14 * RATE_HZ, RATE_HZ):
        captured_s = time.steady_s
        time.steady_s += 1
        block = AudioBlock(SOUND[first : first + RATE_HZ], first, captured_s)
        stamps += [datetime.fromisoformat(r["time"]) for r in windows_of(ear, block)]
    assert [s.astimezone(timezone.utc) - change for s in stamps] == [
        timedelta(seconds=n) for n in range(-3, 7)
    ]
    told = tuple(stamp.utcoffset() for stamp in (stamps[0], stamps[-1]))
    assert told == tuple(timedelta(hours=hours) for hours in offsets)


def windows_of(ear: Ear, block: AudioBlock) -> list[Record]:
    return [record for record in ear.hear(block) if record["type"] == "window"]
