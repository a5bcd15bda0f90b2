"""A publisher, a repository and a device in one temporary folder."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from convert.repo import SINGLE, KeyRing, ModelRepository, Plan
from edge.updates.install import Outcome, Request, install, pin_root
from edge.updates.proof import Proof
from edge.updates.settings import UpdateSettings
from edge.updates.store import ReleaseStore
from tests.edge.updates.bundles import write_bundle


def believe(folder: Path, settings: Any, **options: Any) -> Proof:
    """Stands where the proof stands when a test is about something else and runs hundreds."""
    return Proof("none", 0.0, 0.0, 0.0, 1.0)


class World:
    """What the tests of installation act on."""

    def __init__(self, folder: Path, plan: Plan = SINGLE) -> None:
        self.folder = folder
        self.repo_folder = folder / "repo"
        self.keys = folder / "keys"
        self.settings = UpdateSettings(store=folder / "store", device_id="device-1")
        self.store = ReleaseStore(self.settings.store)
        self.repo().init(plan)
        pin_root(self.store, (self.repo_folder / "root.json").read_bytes())

    def repo(self, later_days: float = 0.0) -> ModelRepository:
        """The publisher, some days later."""
        now = datetime.now(timezone.utc) + timedelta(days=later_days)
        return ModelRepository(self.repo_folder, KeyRing([self.keys]), now)

    def publish(self, version: str, network: str = "good", **options: Any) -> Path:
        """Publish a bundle; returns its folder."""
        bundle = self.folder / f"bundle-{version}"
        shutil.rmtree(bundle, ignore_errors=True)
        rollout = options.pop("rollout_percent", 100)
        write_bundle(bundle, version, network, **options)
        self.repo().publish(bundle, rollout_percent=rollout)
        return bundle

    def install(self, source: Path | str | None = None, **options: Any) -> Outcome:
        """Install without the proof, unless asked otherwise."""
        options.setdefault("prove_bundle", believe)
        request = Request(
            str(source or self.repo_folder),
            by_hand=options.pop("by_hand", True),
            forgive=options.pop("forgive", False),
        )
        return install(request, self.settings, **options)

    def export(self) -> Path:
        """The repository as one file."""
        path = self.folder / "newest.earwitness"
        self.repo().export(path)
        return path

    def copy_repo(self, name: str = "copy") -> Path:
        """The repository as it stands now."""
        return Path(shutil.copytree(self.repo_folder, self.folder / name))
