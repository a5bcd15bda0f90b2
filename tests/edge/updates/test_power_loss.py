"""Power cut at every step of an install, on a loop-mounted ext4 (EXT4_IOC_SHUTDOWN)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.updates.store import ReleaseStore
from tests.patience import wait_until

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
# Flush nothing: neither data nor the journal reach the disk any more, as when the plug is pulled.
NO_LOG_FLUSH = (2).to_bytes(4, "little")
# The calls by which Python changes a file system.
STEPS = ("open", "write", "fsync", "rename", "replace", "symlink", "mkdir", "unlink", "rmdir")


class Disk:
    """A small ext4 in a file."""

    def __init__(self, folder: Path) -> None:
        self.image, self.mount = folder / "disk.img", folder / "disk"
        self.mount.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(24 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    def attach(self) -> bool:
        command = ["mount", "-o", "loop,commit=300", str(self.image), str(self.mount)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def detach(self) -> None:
        """Unmount, and wait until nobody holds it: another mount namespace may, for a while."""
        subprocess.run(["umount", str(self.mount)], check=True)
        wait_until(lambda: not self._loops(), "the end of the disk's use")

    def _loops(self) -> bytes:
        command = ["losetup", "-j", str(self.image)]
        return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() != 0 or shutil.which("mkfs.ext4", path="/sbin:/usr/sbin:/bin") is None:
        pytest.skip("mounting an ext4 needs root and e2fsprogs")
    disk = Disk(tmp_path)
    if not disk.attach():
        pytest.skip("this machine does not let us mount a loop device")
    yield disk
    subprocess.run(["umount", "-l", str(disk.mount)], capture_output=True, check=False)


def counted(count: list[int], cut_at: int, pull_plug: Callable[[], None]) -> None:
    """From now on, in this process, pull the plug just before the given step."""

    def wrap(original):
        def step(*args, **options):
            if count[0] == cut_at:
                pull_plug()
            count[0] += 1
            return original(*args, **options)

        return step

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))


def steps_of_an_install(world) -> int:
    """How many steps an install has, counted in a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        say = os.write
        count = [0]
        counted(count, -1, lambda: None)
        try:
            world.install()
        finally:
            say(writing, str(count[0]).encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return int(pipe.read())


def install_until(world, disk: Disk, cut_at: int) -> None:
    """Install in a child whose disk loses power before the given step."""
    child = os.fork()
    if child == 0:
        handle = os.open(disk.mount, os.O_RDONLY)

        def pull_plug() -> None:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
            os._exit(0)

        counted([0], cut_at, pull_plug)
        try:
            world.install()
            pull_plug()  # the instant after it has reported success
        finally:
            os._exit(1)
    os.waitpid(child, 0)


def cut_power_during_installs(world, disk: Disk, every: int) -> None:
    world.settings = replace(world.settings, store=disk.mount / "store")
    shutil.copytree(world.store.root, disk.mount / "store", symlinks=True)
    world.store = ReleaseStore(disk.mount / "store")
    world.publish("1.0.0")
    old = world.install().release
    world.store.commit(old)
    stale = world.copy_repo("stale")
    world.publish("1.1.0", "better")
    new = world.repo().offers()[-1].release
    disk.detach()
    pristine = Path(shutil.copy(disk.image, world.folder / "pristine.img"))
    disk.attach()
    steps = steps_of_an_install(world)
    found = {old: 0, new: 0}
    cuts = [*range(0, steps, every), steps]
    for cut_at in cuts:
        disk.detach()
        shutil.copy(pristine, disk.image)
        disk.attach()
        install_until(world, disk, cut_at)
        disk.detach()
        assert disk.attach(), "the journal is replayed"
        current = world.store.current()
        assert current in (old, new), f"no model is current after a cut at step {cut_at}"
        world.store.verify(current)
        found[current] += 1
        if current == new:
            assert world.store.pending() is not None, f"the trial is forgotten at step {cut_at}"
            assert world.store.previous() == old
        floor = world.store.root / "floor.json"
        assert floor.stat().st_size > 0
        assert world.install().release == new, f"cannot go on after a cut at step {cut_at}"
        if current == new:
            with pytest.raises(Exception, match="timestamp"):
                world.install(stale)
    print(
        f"power cut at {len(cuts)} instants of an install of {steps} steps: {found[old]} kept the "
        f"old model, {found[new]} had the new one, all complete"
    )
    assert found[old] > 0 and current == new  # what was reported as done stays done


def test_a_power_cut_at_some_steps_leaves_the_old_model_or_the_new_one(world, disk):
    cut_power_during_installs(world, disk, every=29)


@pytest.mark.slow
def test_a_power_cut_at_every_step_leaves_the_old_model_or_the_new_one(world, disk):
    cut_power_during_installs(world, disk, every=1)


def test_this_disk_does_lose_what_was_not_flushed(disk):
    """The experiment itself: without fsync the file is gone."""
    (disk.mount / "flushed").write_text("x")
    os.sync()
    (disk.mount / "not-flushed").write_text("x")
    handle = os.open(disk.mount, os.O_RDONLY)
    fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
    os.close(handle)
    disk.detach()
    disk.attach()
    assert (disk.mount / "flushed").exists() and not (disk.mount / "not-flushed").exists()
