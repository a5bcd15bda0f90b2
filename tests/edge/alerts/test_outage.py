"""What is told of faults, and how long is waited between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.alerts.outage import OUTAGES_TOLD, Outage, backoff_s


def test_a_long_outage_is_told_once_then_once_an_hour_then_its_end():
    outage = Outage()
    told = [second for second in range(0, 8000, 10) if outage.failed("away", second)]
    assert told == [0, 3600, 7200]
    assert outage.recovered(8000) == 8000
    assert outage.recovered(8001) is None


def test_a_new_reason_is_told_and_an_old_one_is_not_told_again():
    outage = Outage()
    reasons = ["refused", "refused", "timeout", "refused", "timeout"]
    assert [outage.failed(reason, second) for second, reason in enumerate(reasons)] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_a_flapping_broker_is_told_a_few_times_and_then_passes_in_silence():
    outage = Outage()
    told = 0
    for cycle in range(200):
        told += outage.failed("away", cycle * 10)
        outage.recovered(cycle * 10 + 5)
    assert told == OUTAGES_TOLD
    assert outage.untold == 200 - OUTAGES_TOLD
    assert outage.failed("away", 3700)


def test_an_untold_outage_that_lasts_is_told_after_all():
    outage = Outage()
    for cycle in range(OUTAGES_TOLD):
        outage.failed("away", cycle)
        outage.recovered(cycle + 0.5)
    assert not outage.failed("away", 10)
    assert outage.failed("away", 3700)
    assert outage.recovered(3701) is not None


@given(
    st.integers(1, 10_000),
    st.floats(0.01, 10),
    st.floats(10, 600),
    st.floats(0, 1, exclude_max=True),
)
def test_pauses_grow_within_their_limits(attempt, first_s, longest_s, chance):
    pause_s = backoff_s(attempt, first_s, longest_s, chance)
    assert first_s / 2 <= pause_s <= longest_s
    assert backoff_s(attempt + 1, first_s, longest_s, chance) >= pause_s
