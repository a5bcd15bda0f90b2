"""What the daemon sees: which model, a change, a trial that ends well or badly."""

from __future__ import annotations

import shutil

import pytest

from edge.audio.block import AudioBlock
from edge.detector import Detector, DetectorSettings
from edge.inference import open_scorer
from edge.updates.health import Step, TrialSettings, WindowOutcome
from edge.updates.store import ReleaseStore
from edge.updates.watch import (
    FAULTS_IN_A_ROW,
    SETTLED_WINDOWS,
    STARTS_IN_A_ROW,
    ModelWatch,
    guarded,
)
from tests.bundles import voice
from tests.edge.updates.bundles import tone, write_bundle

SETTINGS = TrialSettings(healthy_windows=20, max_starts=3, compared_windows=10)
GOOD = WindowOutcome(0.01, True, False, False)


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path)


class Device:
    """A store, and a daemon's watch on it."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.store = ReleaseStore(folder / "store")
        self.package = write_bundle(folder / "package", "0.9.0")
        self.said = []

    def add(self, version: str, network: str = "good", commit: bool = False) -> str:
        bundle = write_bundle(self.folder / f"b-{version}", version, network)
        with self.store.installing():
            staged = self.store.staging()
            shutil.copytree(bundle, staged, dirs_exist_ok=True)
            release = self.store.add(staged)
        self.store.activate(release, 0.0)
        if commit:
            self.store.commit(release)
        return release

    def watch(self) -> ModelWatch:
        return ModelWatch(self.store, SETTINGS, fallback=self.package, report=self.said.append)


def test_without_releases_the_model_of_the_package_runs(device):
    choice = device.watch().take()
    assert choice.release is None and choice.bundle.manifest.version == "0.9.0"
    assert not choice.on_trial


def test_a_new_release_is_noticed_and_compared_with_the_last_good_one(device):
    first = device.add("1.0.0", commit=True)
    watch = device.watch()
    assert watch.take().release == first and not watch.changed()
    second = device.add("1.1.0")
    assert watch.changed()
    choice = watch.take()
    assert choice.release == second and choice.on_trial
    assert choice.reference.manifest.version == "1.0.0" and not watch.changed()


def test_the_first_release_is_compared_with_the_model_of_the_package(device):
    device.add("1.0.0")
    assert device.watch().take().reference.manifest.version == "0.9.0"


def test_healthy_windows_commit(device):
    release = device.add("1.0.0")
    watch = device.watch()
    watch.take()
    steps = [watch.window(GOOD).step for _ in range(25)]
    assert steps.count(Step.COMMIT) == 1 and device.store.pending() is None
    assert watch.trial is None and device.store.current() == release


def test_a_bad_window_rolls_back_and_the_watch_sees_a_change(device):
    first = device.add("1.0.0", commit=True)
    second = device.add("1.1.0")
    watch = device.watch()
    watch.take()
    assert watch.window(WindowOutcome(0.01, finite=False)).step is Step.ROLL_BACK
    assert watch.changed() and watch.take().release == first
    assert second in device.store.state().quarantine
    assert any("rolled back" in sentence for sentence in device.said)


def test_a_proven_model_is_left_only_after_many_faults_in_a_row(device):
    first = device.add("1.0.0", commit=True)
    device.add("1.1.0", commit=True)
    watch = device.watch()
    watch.take()
    fault = WindowOutcome(99.0, finite=False)
    steps = [watch.window(fault).step for _ in range(FAULTS_IN_A_ROW - 1)]
    steps.append(watch.window(GOOD).step)
    steps += [watch.window(fault).step for _ in range(FAULTS_IN_A_ROW)]
    assert steps.index(Step.ROLL_BACK) == len(steps) - 1
    assert watch.take().release == first


def test_a_crash_loop_rolls_back_by_itself(device):
    first = device.add("1.0.0", commit=True)
    second = device.add("1.1.0")
    runs = [device.watch().take().release for _ in range(5)]  # each ends without stop()
    assert runs == [second, second, second, first, first]
    assert "not survived 3 starts" in device.store.state().quarantine[second].reason


def test_stopping_in_good_order_is_no_crash(device):
    release = device.add("1.0.0")
    for _ in range(10):
        watch = device.watch()
        assert watch.take().release == release
        watch.stop()


def test_an_exception_while_scoring_goes_back(device):
    first = device.add("1.0.0", commit=True)
    device.add("1.1.0")
    watch = device.watch()
    watch.take()
    assert watch.failed("RuntimeError: gather") and watch.take().release == first


def test_the_model_of_the_package_has_nothing_to_go_back_to(device):
    watch = device.watch()
    watch.take()
    assert not watch.failed("boom")


def test_a_release_damaged_on_the_disk_is_left_but_not_quarantined(device):
    first = device.add("1.0.0", commit=True)
    second = device.add("1.1.0", commit=True)
    (device.store.path(second) / "CARD.md").write_text("rot")
    assert device.watch().take().release == first
    assert device.store.state().quarantine == {}


def test_when_both_releases_are_damaged_the_model_of_the_package_runs(device):
    for version in ("1.0.0", "1.1.0"):
        release = device.add(version, commit=True)
    for release in device.store.releases():
        (device.store.path(release) / "manifest.json").write_text("{")
    assert device.watch().take().release is None


def test_a_damaged_state_file_does_not_stop_the_daemon(device):
    release = device.add("1.0.0", commit=True)
    (device.store.root / "state.json").write_text("\0")
    assert device.watch().take().release == release
    assert any("state.json is damaged" in sentence for sentence in device.said)


def test_on_a_disk_that_takes_no_writes_the_daemon_still_goes_back(device, monkeypatch):
    first = device.add("1.0.0", commit=True)
    device.add("1.1.0")
    watch = device.watch()
    watch.take()

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.updates.durable.write_file", full)
    assert watch.window(WindowOutcome(0.01, finite=False)).step is Step.ROLL_BACK
    assert watch.changed() and watch.take().release == first and not watch.changed()


def test_a_proven_model_that_the_daemon_keeps_dying_with_is_left_too(device):
    first = device.add("1.0.0", commit=True)
    second = device.add("1.1.0", commit=True)
    runs = [device.watch().take().release for _ in range(STARTS_IN_A_ROW + 2)]
    assert runs == [second] * STARTS_IN_A_ROW + [first] * 2
    reason = device.store.state().quarantine[second].reason
    assert f"not survived {STARTS_IN_A_ROW} starts" in reason


def test_power_cuts_far_apart_are_no_crash_loop(device):
    release = device.add("1.0.0", commit=True)
    for _ in range(3 * STARTS_IN_A_ROW):
        watch = device.watch()
        assert watch.take().release == release
        for _ in range(SETTLED_WINDOWS):
            watch.window(WindowOutcome(0.01))  # an empty room will do


def test_watching_a_settled_model_writes_nothing(device):
    device.add("1.0.0", commit=True)
    watch = device.watch()
    watch.take()
    for _ in range(SETTLED_WINDOWS):
        watch.window(GOOD)
    before = {p: p.stat().st_mtime_ns for p in device.store.root.rglob("*")}
    for _ in range(1000):
        watch.window(GOOD)
        watch.changed()
    assert {p: p.stat().st_mtime_ns for p in device.store.root.rglob("*")} == before


def live(device, network: str, samples, windows: int = 60):
    """A daemon's loop in small: audio in hops, swap in the middle, a second detector on trial."""
    device.add("1.0.0", commit=True)
    watch = device.watch()

    def build(bundle):
        return Detector(
            DetectorSettings.of(bundle.manifest),
            guarded(open_scorer(bundle).score, device.said.append),
        )

    choice = watch.take()
    detector, reference, indices, hop = build(choice.bundle), None, [], 4000
    for i in range(windows + 3):
        if i == 10:
            device.add("1.1.0", network)
        if watch.changed():
            choice = watch.take()
            fresh = build(choice.bundle)
            fresh.take_over(detector)
            detector = fresh
            reference = build(choice.reference) if choice.reference else None
            if reference:
                reference.take_over(detector)
        block = AudioBlock(samples[i * hop : (i + 1) * hop], i * hop)
        other = reference.accept(block) if reference else []
        for n, result in enumerate(detector.accept(block)):
            indices.append(result.index)
            seen = other[n] if n < len(other) else None
            watch.window(
                WindowOutcome(
                    0.01,
                    result.health != "model-fault",
                    None if result.logit is None else result.verdict == "spoof",
                    None if seen is None or seen.logit is None else seen.verdict == "spoof",
                )
            )
    assert indices == list(range(windows))  # not one window lost by any swap
    return device.store.current()


def test_swapping_to_a_better_model_loses_no_window_and_commits(device):
    assert live(device, "better", voice(20.0)).startswith("1.1.0-")
    assert device.store.pending() is None


@pytest.mark.parametrize(
    "network", ["always_spoof", "not_a_number_on_a_tone", "crash_on_a_tone", "never_a_number"]
)
def test_a_bad_model_is_rolled_back_and_loses_no_window(device, network):
    samples = voice(20.0)
    speech_over_tone = tone(20.0)
    samples[4000 * 20 :] += speech_over_tone[4000 * 20 :] * (1 + samples[4000 * 20 :])
    assert live(device, network, samples).startswith("1.0.0-")
    assert len(device.store.state().quarantine) == 1
