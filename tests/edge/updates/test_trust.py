"""Floor, rollout and choice, without files or sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.updates.trust import (
    Floor,
    Offer,
    RoleState,
    Sighting,
    choose,
    in_rollout,
    offers_of,
    raised,
    version_order,
)


def sighting(root=1, timestamp=1, snapshot=1, targets=1, keys="k", **values) -> Sighting:
    versions = {"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
    roles = {name: RoleState(version, keys) for name, version in versions.items()}
    defaults = {"root_expires_s": 1e9, "expires_s": 1000.0, "signed_at_s": 100.0}
    return Sighting(root, roles=roles, **{**defaults, **values})


def offer(version="1.0.0", percent=100, salt="s", digest="a") -> Offer:
    return Offer(f"m/{version}/manifest.json", version, digest * 64, percent, salt)


versions = st.integers(1, 5)
sightings = st.builds(
    sighting, versions, versions, versions, versions, signed_at_s=st.integers(0, 900).map(float)
)


@given(st.lists(sightings, max_size=12))
def test_the_floor_never_sinks(seen):
    floor = Floor()
    for state in seen:
        try:
            higher = raised(floor, state, 0.0)
        except ValueError:
            continue
        assert higher.root >= floor.root and higher.signed_at_s >= floor.signed_at_s
        assert all(higher.roles[n].version >= s.version for n, s in floor.roles.items())
        floor = higher


@given(sightings)
def test_the_floor_survives_its_file(state):
    floor = raised(Floor(), state, 0.0)
    assert Floor.from_json(floor.to_json()) == floor


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_lower_version_of_any_role_is_refused(role):
    floor = raised(Floor(), sighting(5, 5, 5, 5), 0.0)
    with pytest.raises(ValueError, match=role):
        raised(floor, sighting(**{**dict.fromkeys(floor.roles, 5), "root": 5, role: 4}), 0.0)


def test_new_keys_under_a_newer_root_start_a_role_anew():
    floor = raised(Floor(), sighting(1, 900, 900, 3), 0.0)
    assert raised(floor, sighting(2, 4, 4, 4, keys="new"), 0.0).roles["timestamp"].version == 4


def test_new_keys_under_the_same_root_do_not():
    floor = raised(Floor(), sighting(1, 900, 900, 3), 0.0)
    with pytest.raises(ValueError, match="timestamp"):
        raised(floor, sighting(1, 4, 4, 4, keys="new"), 0.0)


@pytest.mark.parametrize(("clock_s", "fresh"), [(0.0, True), (999.0, True), (1000.0, False)])
def test_expiry_by_the_clock(clock_s, fresh):
    if fresh:
        raised(Floor(), sighting(), clock_s)
    else:
        with pytest.raises(ValueError, match="expired"):
            raised(Floor(), sighting(), clock_s)


def test_expiry_by_the_floor_when_the_clock_starts_in_1970():
    floor = raised(Floor(), sighting(signed_at_s=2000.0, expires_s=3000.0), 0.0)
    with pytest.raises(ValueError, match="expired"):
        raised(floor, sighting(timestamp=2, signed_at_s=100.0, expires_s=1500.0), 0.0)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"root": 1}', '{"root": "9", "roles": {}, "signed_at_s": 0}', "null"]
)
def test_what_is_no_floor_is_refused(text):
    with pytest.raises(ValueError):
        Floor.from_json(text)


@given(st.text(min_size=1, max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_a_larger_share_only_adds_devices(device, a, b):
    few, many = sorted((a, b))
    assert not in_rollout(offer(percent=few), device) or in_rollout(offer(percent=many), device)


def test_a_quarter_of_the_devices_is_a_quarter():
    devices = [f"pi-{i}" for i in range(4000)]
    chosen = [d for d in devices if in_rollout(offer(percent=25), d)]
    assert 900 < len(chosen) < 1100
    other = [d for d in devices if in_rollout(offer(percent=25, salt="t"), d)]
    assert 180 < len(set(chosen) & set(other)) < 320  # another quarter for the next release


def test_none_and_all_are_exact():
    assert not any(in_rollout(offer(percent=0), str(i)) for i in range(1000))
    assert all(in_rollout(offer(percent=100), str(i)) for i in range(1000))


def test_the_newest_that_is_allowed_is_chosen():
    offers = [offer("1.9.0"), offer("1.10.0"), offer("1.2.0")]
    assert choose(offers, "pi", (), by_hand=False).version == "1.10.0"
    assert choose(offers, "pi", [offers[1].release], by_hand=False).version == "1.9.0"
    paused = [*offers, offer("2.0.0", percent=0)]
    assert choose(paused, "pi", (), by_hand=True).version == "1.10.0"
    assert choose([], "pi", (), by_hand=True) is None


def test_a_person_is_not_held_back_by_the_share():
    small = offer("2.0.0", percent=1)
    outside = next(d for d in map(str, range(1000)) if not in_rollout(small, d))
    assert choose([small], outside, (), by_hand=False) is None
    assert choose([small], outside, (), by_hand=True) == small


def test_versions_are_numbers():
    assert version_order("1.10.0") > version_order("1.9.9")


@pytest.mark.parametrize(
    "custom",
    [None, {}, {"earwitness": {}}, {"earwitness": {"rollout_percent": 101, "salt": ""}}, 7],
)
def test_a_malformed_entry_is_refused(custom):
    target = {"hashes": {"sha256": "a" * 64}, "length": 1, "custom": custom}
    with pytest.raises(ValueError):
        offers_of({"m/1.0.0/manifest.json": target})


def test_targets_that_are_no_models_are_left_alone():
    assert offers_of({"m/manifest.json": {}, "m/1.0/manifest.json": {}, "readme": {}}) == ()
