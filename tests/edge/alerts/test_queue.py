"""The queue of alerts against a plain model of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.alerts.queue import AlertQueue

STEPS = st.lists(
    st.one_of(
        st.just(("append", 0)),
        st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4)),
        st.just(("restart", 0)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8))
def test_every_reader_sees_every_alert_once_in_order_or_it_is_counted_as_dropped(steps, limit):
    queue = AlertQueue(["a", "b"], limit)
    seen = {"a": [], "b": []}
    dropped = {"a": 0, "b": 0}
    made = 0
    for step, count in steps:
        if step == "append":
            queue.append(str(made))
            made += 1
        elif step == "restart":
            dropped = {name: dropped[name] + queue.dropped[name] for name in dropped}
            entries, cursors = queue.after(0), dict(queue.cursors)
            queue = AlertQueue(["a", "b"], limit)
            queue.restore(entries, cursors)
        else:
            batch = queue.pending(step, count)
            seen[step] += [int(entry.payload) for entry in batch]
            if batch:
                queue.acknowledge(step, batch[-1].seq)
        assert len(queue.after(0)) <= limit
    for name in seen:
        rest = [int(entry.payload) for entry in queue.pending(name, 1000)]
        assert len(rest) == queue.depth(name)
        everything = seen[name] + rest
        assert everything == sorted(set(everything))
        assert len(everything) + dropped[name] + queue.dropped[name] == made


def test_an_entry_leaves_when_the_slowest_reader_has_it():
    queue = AlertQueue(["fast", "slow"], 10)
    first, second = queue.append("1"), queue.append("2")
    queue.acknowledge("fast", second.seq)
    assert queue.floor == first.seq
    queue.acknowledge("slow", first.seq)
    assert queue.floor == second.seq
    queue.acknowledge("slow", second.seq)
    assert queue.after(0) == []


def test_acknowledging_the_same_alert_twice_is_no_news():
    queue = AlertQueue(["a"], 10)
    entry = queue.append("1")
    assert queue.acknowledge("a", entry.seq)
    assert not queue.acknowledge("a", entry.seq)
