"""Devices, each in a network namespace of its own, pull one release from one nginx."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.updates.install import pin_root
from edge.updates.store import ReleaseStore
from tests.edge.updates.services import Nginx
from tests.patience import repeated

DEVICE = Path(__file__).with_name("earwitness.py")
BRIDGE = f"ew{os.getpid()}"  # of at most 15 letters
AT_A_TIME = 4


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


class Network:
    """A bridge with one namespace per device behind it."""

    def __init__(self, devices: int) -> None:
        self.names = [f"{BRIDGE}-{i}" for i in range(devices)]

    def __enter__(self) -> Network:
        if not ip("link", "add", BRIDGE, "type", "bridge"):
            pytest.skip("this machine does not let us make a bridge")
        ip("addr", "add", "10.77.0.1/16", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for i, name in enumerate(self.names):
            assert ip("netns", "add", name)
            ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}h", "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"10.77.{1 + i // 250}.{1 + i % 250}/16", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.names:
            ip("netns", "del", name)
        ip("link", "del", BRIDGE)


def pull(name: str, store: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEVICE), str(store), "model", "pull", "--url", url]
    return subprocess.run(
        ["ip", "netns", "exec", name, *command, "--device-id", name],
        capture_output=True,
        text=True,
        check=False,
    )


@repeated(brief=2, full=200)
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_devices_pull_one_release_from_one_nginx(world, tmp_path, count):
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    world.publish("1.0.0")
    root = (world.repo_folder / "root.json").read_bytes()
    stores = []
    for i in range(count):
        stores.append(ReleaseStore(tmp_path / f"device-{i}"))
        pin_root(stores[-1], root)
    (tmp_path / "nginx").mkdir()
    with Network(count) as network:
        nginx = Nginx(tmp_path / "nginx", world.repo_folder, "10.77.0.1")
        with nginx.serving(), ThreadPoolExecutor(AT_A_TIME) as pool:

            def all_pull() -> list[subprocess.CompletedProcess[str]]:
                folders = [store.root for store in stores]
                return list(pool.map(pull, network.names, folders, [nginx.url] * count))

            begin = time.monotonic()
            first = all_pull()
            took_s = time.monotonic() - begin
            assert [p.stderr for p in first if p.returncode] == []
            assert {store.current() for store in stores} == {world.repo().offers()[-1].release}
            nginx.forget()
            again = all_pull()
            assert all("current already" in p.stdout for p in again)
            exchanges = nginx.exchanges()
            cost = sum(size for size, _, _ in exchanges) / count
            world.publish("1.1.0", "better", rollout_percent=25)
            all_pull()
            staged = sum((s.current() or "").startswith("1.1.0-") for s in stores)
    print(
        f"{count} devices pulled and proved one release in {took_s:.0f} s ({AT_A_TIME} at a "
        f"time); a poll with nothing new cost {cost:.0f} bytes each; of a rollout to 25 % "
        f"{staged} took part"
    )
    assert cost < 1000
    assert count < 200 or 30 <= staged <= 70
