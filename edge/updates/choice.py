"""Which installed model runs, by a person's choice, and what to say of it. Needs no python-tuf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.bundle import DEFAULT_BUNDLE, Manifest, read_manifest
from edge.errors import UpdateError
from edge.identity import device_id
from edge.updates.settings import UpdateSettings
from edge.updates.store import ReleaseStore


def use(
    settings: UpdateSettings,
    version: str,
    now_s: float,
    check_fit: Callable[[Manifest], object] = lambda manifest: None,
) -> str:
    """Make an installed release current and hold it, or let updates go on (`latest`).

    Raises:
        UpdateError: it is not installed.
        BundleError: it is damaged.
        ConfigError: `check_fit` says that the daemon's settings do not fit it.
    """
    store = ReleaseStore(settings.store)
    if version == "latest":
        store.hold(False)
        return "Updates go on with the next pull."
    release = store.find(version)
    check_fit(store.verify(release).manifest)
    store.forgive(release)
    store.activate(release, now_s, trial=False)
    store.hold(True)
    return f"Model {release} is current and held; `earwitness model use latest` ends the hold."


def roll_back(settings: UpdateSettings, reason: str, now_s: float) -> str:
    """Go back to the last good model; the one left is not installed again.

    Raises:
        UpdateError: nothing is installed.
    """
    store = ReleaseStore(settings.store)
    left = store.current()
    if left is None:
        raise UpdateError("Nothing is installed; the built-in model is in use already.")
    now = store.roll_back(reason, now_s)
    return f"Model {left} is quarantined; {now or 'the built-in model'} is current."


def status(settings: UpdateSettings) -> dict[str, Any]:
    """State of the models on this device, for people, MQTT and metrics.

    Keys: `device`, `version`, `release` (None = the model of the package), `health` ("proven",
    "on trial", "built-in"), `starts` in a row that may be a crash loop, `previous`, `held`,
    `quarantine` (release: reason), `error` and `error_at_s` (the last failure, or None).
    """
    store = ReleaseStore(settings.store)
    current, state = store.current(), store.state()
    pending = state.pending if state.pending and state.pending.release == current else None
    health = "built-in" if current is None else "on trial" if pending else "proven"
    return {
        "device": device_id(settings.device_id),
        "release": current,
        "version": current.split("-")[0] if current else read_manifest(DEFAULT_BUNDLE).version,
        "health": health,
        "starts": state.starts,
        "previous": store.previous(),
        "held": state.held,
        "quarantine": {name: failure.reason for name, failure in state.quarantine.items()},
        "error": state.last_error.reason if state.last_error else None,
        "error_at_s": state.last_error.at_s if state.last_error else None,
    }
