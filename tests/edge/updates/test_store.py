"""Releases side by side, links swapped by rename: killed, full or cut off, one model is whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edge.errors import BundleError, UpdateError
from edge.updates.store import ReleaseStore
from tests.edge.updates.bundles import write_bundle
from tests.patience import repeated


@pytest.fixture
def store(tmp_path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


@pytest.fixture
def bundles(tmp_path) -> list[Path]:
    return [write_bundle(tmp_path / f"b{i}", f"1.{i}.0") for i in range(5)]


def add(store: ReleaseStore, bundle: Path) -> str:
    with store.installing():
        staged = store.staging()
        shutil.copytree(bundle, staged, dirs_exist_ok=True)
        return store.add(staged)


def test_an_empty_store_has_nothing(store):
    assert (store.current(), store.previous(), store.releases()) == (None, None, [])
    assert store.pending() is None and not store.root.exists()


def test_activation_keeps_the_last_good_one_as_previous(store, bundles):
    first, second = (add(store, b) for b in bundles[:2])
    store.activate(first, 0.0)
    assert (store.current(), store.previous()) == (first, None)
    store.commit(first)
    store.activate(second, 0.0)
    assert (store.current(), store.previous()) == (second, first)
    assert store.pending().release == second


def test_a_model_that_was_never_proven_does_not_become_the_last_good_one(store, bundles):
    first, second, third = (add(store, b) for b in bundles[:3])
    store.activate(first, 0.0)
    store.commit(first)
    store.activate(second, 0.0)
    store.activate(third, 0.0)
    assert store.previous() == first
    assert store.roll_back("bad", 1.0) == first


def test_a_rollback_quarantines(store, bundles):
    first, second = (add(store, b) for b in bundles[:2])
    store.activate(first, 0.0)
    store.commit(first)
    store.activate(second, 0.0)
    assert store.roll_back("NaN", 5.0) == first
    assert store.state().quarantine[second].reason == "NaN"
    assert store.pending() is None and store.state().last_error.at_s == 5.0


def test_a_rollback_of_what_is_no_longer_current_does_nothing(store, bundles):
    first, second = (add(store, b) for b in bundles[:2])
    store.activate(first, 0.0)
    store.activate(second, 0.0)
    assert store.roll_back("late news", 1.0, bad=first) == second
    assert store.state().quarantine == {}


def test_without_a_last_good_one_the_model_of_the_package_serves(store, bundles):
    only = add(store, bundles[0])
    store.activate(only, 0.0)
    assert store.roll_back("bad", 1.0) is None and store.current() is None


def test_a_damaged_previous_release_is_not_gone_back_to(store, bundles):
    first, second = (add(store, b) for b in bundles[:2])
    store.activate(first, 0.0)
    store.commit(first)
    store.activate(second, 0.0)
    (store.path(first) / "golden.wav").write_bytes(b"")
    assert store.roll_back("bad", 1.0) is None


def test_an_interrupted_rollback_is_finished(store, bundles):
    first, second = (add(store, b) for b in bundles[:2])
    store.activate(first, 0.0)
    store.commit(first)
    store.activate(second, 0.0)
    store.note_error("power cut between the two writes", 1.0, bad=second)
    store.recover()
    assert store.current() == first


def test_only_so_many_releases_are_kept_and_never_the_needed_ones(store, bundles):
    names = [add(store, b) for b in bundles]
    store.activate(names[0], 0.0)
    store.commit(names[0])
    store.activate(names[4], 0.0)
    with store.installing():
        store.prune(3)
    assert store.releases() == [names[0], names[3], names[4]]


@pytest.mark.parametrize("name", ["manifest.json", "model.float32.tflite", "golden.wav", "CARD.md"])
def test_verification_sees_any_changed_byte(store, bundles, name):
    release = add(store, bundles[0])
    path = store.path(release) / name
    whole = path.read_bytes()
    for at in random.Random(name).sample(range(len(whole)), 20):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            store.verify(release)
    path.write_bytes(whole)
    store.verify(release)


def test_a_damaged_release_is_replaced_by_a_good_copy(store, bundles):
    release = add(store, bundles[0])
    (store.path(release) / "CARD.md").write_text("changed")
    assert add(store, bundles[0]) == release
    store.verify(release)


@pytest.mark.parametrize("target", ["/etc", "releases/../../x", "releases/none", "x/y", "releases"])
def test_a_link_to_anywhere_else_names_nothing(store, target):
    store.root.mkdir()
    (store.root / "current").symlink_to(target)
    assert store.current() is None


def test_two_installations_at_once_are_refused(store):
    with (
        store.installing(),
        pytest.raises(UpdateError, match="Another installation"),
        store.installing(),
    ):
        pass


def test_a_damaged_state_file_is_named(store):
    store.root.mkdir()
    (store.root / "state.json").write_bytes(b"\0\0")
    with pytest.raises(UpdateError, match=r"state\.json is damaged"):
        store.state()


def test_starts_are_counted_and_a_stop_in_good_order_is_forgotten(store, bundles):
    release = add(store, bundles[0])
    store.activate(release, 0.0)
    assert [store.count_start(), store.count_start()] == [1, 2]
    store.count_stop()
    assert store.state().starts == 1
    store.commit(release)
    assert store.state().starts == 0
    assert [store.count_start(), store.count_start()] == [1, 2]
    store.settle()
    assert store.state().starts == 0


def assert_whole(world, old: str, new: str) -> str:
    """One complete model is current, the old or the new; returns which."""
    current = world.store.current()
    assert current in (old, new)
    world.store.verify(current)
    world.store.state()
    return current


def kill_during_installs(world, count: int, seed: int) -> None:
    """SIGKILL at a random instant of an install, again and again, in one store.

    The child is forked from this process, so that the kill falls into the install and not into
    the start of an interpreter.
    """
    world.publish("1.0.0")
    old = world.install().release
    world.store.commit(old)
    world.publish("1.1.0", "better")
    new = world.repo().offers()[-1].release
    rng = random.Random(seed)
    pristine = shutil.copytree(world.store.root, world.folder / "pristine", symlinks=True)
    begin_s = time.perf_counter()
    world.install()
    took_s = time.perf_counter() - begin_s
    found = {old: 0, new: 0}
    for _ in range(count):
        shutil.rmtree(world.store.root)
        shutil.copytree(pristine, world.store.root, symlinks=True)
        child = os.fork()
        if child == 0:
            try:
                world.install()
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 1.5 * took_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        current = assert_whole(world, old, new)
        found[current] += 1
        begin_s = time.perf_counter()
        assert world.install().release == new  # what is left does not stand in the way
        if current == old:  # a busy machine takes longer, and the kill must reach the end
            took_s = time.perf_counter() - begin_s
        assert not list((world.store.root / "staging").glob("*"))
    print(f"{count} SIGKILLs: {found[old]} left the old model current, {found[new]} the new one")
    assert found[old] > 0 and (count < 100 or found[new] > 0)


@repeated(brief=15, full=1000)
def test_killed_installs_leave_the_old_model_or_the_new_one(world, count):
    kill_during_installs(world, count, seed=count)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m"]
    if subprocess.run(["mount", *options, "none", str(folder)], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk_during_installs(world, disk: Path, count: int, seed: int) -> None:
    """Install with a random amount of room left, from none to a little too much."""
    from dataclasses import replace

    world.settings = replace(world.settings, store=disk / "store")
    shutil.copytree(world.store.root, disk / "store", symlinks=True)
    world.store = ReleaseStore(disk / "store")
    world.publish("1.0.0")
    old = world.install().release
    world.store.commit(old)
    world.publish("1.1.0", "better")
    new = world.repo().offers()[-1].release
    pristine = shutil.copytree(world.store.root, world.folder / "pristine", symlinks=True)
    before = shutil.disk_usage(disk).free
    world.install()
    needed = before - shutil.disk_usage(disk).free
    rng = random.Random(seed)
    found = {old: 0, new: 0}
    for _ in range(count):
        shutil.rmtree(world.store.root)
        shutil.copytree(pristine, world.store.root, symlinks=True)
        room = rng.randrange(0, int(needed * 1.5))
        with open(disk / "filler", "wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(disk).free - room)
        try:
            world.install()
        except UpdateError as error:
            assert "\n" not in str(error)
        found[assert_whole(world, old, new)] += 1
        (disk / "filler").unlink()
        assert world.install().release == new
    print(
        f"{count} installs on a full disk: {found[old]} kept the old model, {found[new]} took the "
        "new one"
    )
    assert found[old] > 0 and found[new] > 0


@needs_root
@repeated(brief=12, full=200)
def test_installs_on_a_full_disk_leave_the_old_model_or_the_new_one(world, small_disk, count):
    fill_disk_during_installs(world, small_disk, count, seed=1)
