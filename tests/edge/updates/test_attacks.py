"""What a hostile or broken source may try: all of it is refused, and the current model stays."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets

from convert.repo import FLEET, SINGLE, KeyRing, ModelRepository
from edge.bundle import MANIFEST
from edge.errors import UpdateError
from edge.updates.archive import MAX_BYTES
from tests.edge.updates.bundles import write_bundle
from tests.edge.updates.world import World, believe
from tests.patience import repeated

DAY_S = 86400


@pytest.fixture
def settled(world) -> World:
    """A device that runs 1.0.0, and a repository that now offers 1.1.0."""
    world.publish("1.0.0")
    world.install()
    world.publish("1.1.0", "better")
    return world


def assert_refused(world: World, source: Path, says: str = ".", **options) -> str:
    """The source is refused with one sentence, and nothing has changed."""
    before = world.store.current(), world.store.previous(), world.store.releases()
    with pytest.raises(UpdateError, match=says) as refusal:
        world.install(source, **options)
    assert (world.store.current(), world.store.previous(), world.store.releases()) == before
    assert not list((world.store.root / "staging").glob("*"))
    if before[0] is not None:
        world.store.verify(before[0])
    return str(refusal.value)


def newest(folder: Path, role: str) -> Path:
    return max(
        (folder / "metadata").glob(f"*.{role}.json"), key=lambda p: int(p.name.split(".")[0])
    )


def signers(world: World, group: str) -> list[CryptoSigner]:
    keys = Metadata.from_file(str(newest(world.repo_folder, "root"))).signed.keys.values()
    ring = KeyRing([world.keys])
    names = {path.stem.split("-")[1] for path in world.keys.glob(f"{group}-*.pem")}
    return [s for s in ring.signers(keys) if s.public_key.keyid[:12] in names]


# Old, frozen or mixed states of the true repository


def test_a_replayed_old_repository_is_refused(settled):
    old = settled.copy_repo()
    settled.publish("1.2.0")
    settled.install()
    assert_refused(settled, old, "timestamp")


@pytest.mark.parametrize("damage", ["zeroed", "deleted", "truncated"])
def test_a_replay_is_refused_even_when_a_power_cut_took_the_trusted_metadata(settled, damage):
    old = settled.copy_repo()
    settled.publish("1.2.0")
    settled.install()
    for path in (settled.store.root / "tuf").rglob("*.json"):
        if damage == "deleted":
            path.unlink()
        elif not path.is_symlink():
            path.write_bytes(b"\0" * path.stat().st_size if damage == "zeroed" else b"")
    assert_refused(settled, old, "this device has seen")
    settled.publish("1.3.0")
    assert settled.install().release.startswith("1.3.0-")


def test_a_lost_floor_is_an_error_and_not_a_fresh_start(settled):
    (settled.store.root / "floor.json").write_bytes(b"\0" * 100)
    assert_refused(settled, settled.repo_folder, "floor.json is damaged")


def test_an_expired_repository_is_refused_by_a_good_clock(world):
    world.repo(later_days=-800).refresh()
    assert_refused(world, world.repo_folder, "expired")


def test_a_clock_that_starts_in_1970_does_not_revive_an_expired_repository(world):
    world.publish("1.0.0")
    world.install(clock_s=lambda: 0.0)
    stale = world.copy_repo()
    world.repo(later_days=800).refresh()
    # The device sees the newer state under another clock, for python-tuf asks the system's own.
    floor = json.loads((world.store.root / "floor.json").read_text())
    floor["signed_at_s"] += 800 * DAY_S
    (world.store.root / "floor.json").write_text(json.dumps(floor))
    assert_refused(world, stale, "expired when this device last knew", clock_s=lambda: 0.0)


def test_a_clock_that_starts_in_1970_does_not_stop_updates(world):
    world.publish("1.0.0")
    assert world.install(clock_s=lambda: 0.0).changed


def test_a_clock_in_the_future_refuses_now_and_does_no_lasting_harm(world):
    world.publish("1.0.0")
    in_2100 = datetime(2100, 1, 1, tzinfo=timezone.utc).timestamp()
    assert_refused(world, world.repo_folder, clock_s=lambda: in_2100)
    assert world.install().changed


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_mixing_states_is_refused(settled, role):
    settled.install()
    mixed = settled.copy_repo("mixed")
    settled.publish("1.2.0")
    names = {"timestamp": "timestamp.json"}
    for name in ("snapshot", "targets"):
        names[name] = newest(settled.repo_folder, name).name
    for name in names.values():
        shutil.copy(settled.repo_folder / "metadata" / name, mixed / "metadata" / name)
    stale = settled.folder / "copy-of-old"
    shutil.copytree(settled.repo_folder, stale)
    if role == "timestamp":
        old = next(p for p in (stale / "metadata").glob("*.snapshot.json"))
        shutil.copy(old, newest(stale, "snapshot"))
    else:
        old = sorted((stale / "metadata").glob(f"*.{role}.json"))[0]
        shutil.copy(old, newest(stale, role))
    assert_refused(settled, stale)
    assert_refused(settled, mixed, "cannot be read")


# Keys


def test_another_repository_with_keys_of_its_own_is_refused(settled):
    other = World(settled.folder / "other")
    other.publish("9.0.0")
    assert_refused(settled, other.repo_folder, "not signed|signed by")


def test_a_device_that_pins_another_root_refuses_the_true_repository(settled):
    other = World(settled.folder / "other")
    assert_refused(other, settled.repo_folder)


def forge(world: World, folder: Path, role: str, signing: list[CryptoSigner], change) -> None:
    """Change the newest metadata of a role and sign it with some keys."""
    path = folder / "metadata/timestamp.json" if role == "timestamp" else newest(folder, role)
    metadata = Metadata.from_file(str(path))
    change(metadata.signed)
    metadata.signatures.clear()
    for signer in signing:
        metadata.sign(signer, append=True)
    name = path.name if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
    metadata.to_file(str(folder / "metadata" / name))


def test_metadata_changed_without_a_key_is_refused(settled):
    forged = settled.copy_repo()
    path = newest(forged, "targets")
    path.write_text(path.read_text().replace('"rollout_percent":100', '"rollout_percent":101'))
    assert_refused(settled, forged, "not signed")


def bump(signed) -> None:
    signed.version += 1


def test_a_stolen_online_key_cannot_offer_another_model(settled):
    evil = settled.copy_repo()
    stolen = signers(settled, "online")

    def offer_other(targets) -> None:
        targets.version += 1
        for path, target in targets.targets.items():
            if path.endswith(MANIFEST):
                target.hashes["sha256"] = "0" * 64

    def point_at_it(snapshot) -> None:
        snapshot.version += 1
        snapshot.meta["targets.json"].version += 1

    def stamp(timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta.version += 1

    forge(settled, evil, "targets", stolen, offer_other)
    forge(settled, evil, "snapshot", stolen, point_at_it)
    forge(settled, evil, "timestamp", stolen, stamp)
    assert_refused(settled, evil, "not signed|signed by")


def test_a_stolen_online_key_cannot_bring_back_an_old_offer(settled):
    settled.install()
    evil = settled.copy_repo()
    stolen = signers(settled, "online")

    def point_back(snapshot) -> None:
        snapshot.version += 1
        snapshot.meta["targets.json"].version -= 1

    def stamp(timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta.version += 1

    forge(settled, evil, "snapshot", stolen, point_back)
    forge(settled, evil, "timestamp", stolen, stamp)
    assert_refused(settled, evil, "targets")


def test_rotating_a_stolen_online_key_heals_devices_that_saw_enormous_versions(settled):
    evil = settled.copy_repo()
    stolen = signers(settled, "online")

    def leap_snapshot(snapshot) -> None:
        snapshot.version += 10**6

    def leap(timestamp) -> None:
        timestamp.version += 10**6
        timestamp.snapshot_meta.version += 10**6

    forge(settled, evil, "snapshot", stolen, leap_snapshot)
    forge(settled, evil, "timestamp", stolen, leap)
    settled.install(evil)  # it offers what the targets key has signed: 1.1.0
    settled.publish("1.2.0")
    assert_refused(settled, settled.repo_folder, "version")
    settled.repo().rotate_key("online")
    assert settled.install().release.startswith("1.2.0-")


def test_a_stolen_online_key_cannot_lock_devices_out_with_a_far_signing_time(settled):
    evil = settled.copy_repo()

    def stamp(timestamp) -> None:
        timestamp.version += 1
        timestamp.unrecognized_fields["x-earwitness-signed-at"] = 2**40

    forge(settled, evil, "timestamp", signers(settled, "online"), stamp)
    assert_refused(settled, evil, "signed after its root ends")


def test_one_of_three_root_keys_cannot_change_who_is_trusted(tmp_path):
    world = World(tmp_path, FLEET)
    world.publish("1.0.0")
    world.install()
    evil = world.copy_repo()
    forge(world, evil, "root", signers(world, "root")[:1], bump)
    assert_refused(world, evil, "not signed|signed by")


def test_two_of_three_root_keys_can(tmp_path):
    world = World(tmp_path, FLEET)
    world.publish("1.0.0")
    for path in sorted(world.keys.glob("root-*.pem"))[:1]:
        path.rename(path.with_suffix(".lost"))
    left = sorted(world.keys.glob("root-*.pem"))[0].stem.split("-")[1]
    world.repo().rotate_key("root", left)
    assert world.install().changed


# Files


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def needed_files(world: World) -> list[str]:
    from edge.updates.archive import newest_files

    _, names = newest_files(world.repo_folder)
    root_history = [n for n in names if n.endswith(".root.json")]
    stale = [
        n
        for n in names
        if n.startswith("metadata/")
        and n not in root_history
        and n != "metadata/timestamp.json"
        and not any(newest(world.repo_folder, r).name in n for r in ("snapshot", "targets"))
    ]
    return [n for n in names if n not in stale and n not in root_history]


def test_one_flipped_bit_in_any_file_is_refused(settled):
    rng = random.Random(1)
    for name in needed_files(settled):
        evil = settled.copy_repo("evil")
        path = evil / name
        flip(path, rng.randrange(path.stat().st_size - 1))
        assert_refused(settled, evil)
        shutil.rmtree(evil)
    assert settled.install().changed


def test_any_truncated_or_prolonged_file_is_refused(settled):
    rng = random.Random(2)
    for name in needed_files(settled):
        for change in ("cut", "empty", "longer"):
            evil = settled.copy_repo("evil")
            path = evil / name
            content = path.read_bytes()
            if change == "longer":
                path.write_bytes(content + b"x")
            else:
                path.write_bytes(
                    content[: rng.randrange(1, len(content)) if change == "cut" else 0]
                )
            assert_refused(settled, evil)
            shutil.rmtree(evil)


def test_a_missing_file_is_refused(settled):
    for name in needed_files(settled):
        evil = settled.copy_repo("evil")
        (evil / name).unlink()
        assert_refused(settled, evil)
        shutil.rmtree(evil)


def test_a_swapped_golden_clip_is_refused(settled):
    evil = settled.copy_repo()
    clip = next((evil / "targets/tiny/1.1.0").glob("*.golden.wav"))
    other = next((evil / "targets/tiny/1.1.0").glob("*.CARD.md"))
    shutil.copy(other, clip)
    assert_refused(settled, evil, "damaged or")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "device"])
def test_a_stick_with_links_pipes_or_devices_in_the_place_of_files_is_refused(settled, kind):
    evil = settled.copy_repo()
    path = evil / "metadata/timestamp.json"
    secret = settled.folder / "elsewhere.json"
    shutil.copy(path, secret)
    path.unlink()
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert_refused(settled, evil, "cannot be read|no plain file")


def test_a_linked_folder_on_a_stick_is_refused(settled):
    evil = settled.copy_repo()
    (evil / "metadata").rename(settled.folder / "outside")
    (evil / "metadata").symlink_to(settled.folder / "outside")
    assert_refused(settled, evil, "no plain file")


def test_an_unsigned_bundle_is_refused_with_the_way_to_sign_it(settled):
    bundle = write_bundle(settled.folder / "unsigned", "2.0.0")
    assert "repo publish" in assert_refused(settled, bundle, "nobody has signed")


def test_a_bundle_that_calls_itself_another_version_is_refused(world):
    bundle = write_bundle(world.folder / "bundle", "1.0.0")
    repo = world.repo()
    repo.publish(bundle)
    targets = repo._load(Targets)
    moved = {
        path.replace("/1.0.0/", "/7.0.0/"): target
        for path, target in targets.signed.targets.items()
    }
    targets.signed.targets = moved
    repo._sign_again(targets)
    shutil.move(world.repo_folder / "targets/tiny/1.0.0", world.repo_folder / "targets/tiny/7.0.0")
    assert_refused(world, world.repo_folder, "says that it is 1.0.0")


# Archives


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


@pytest.mark.parametrize(
    "members",
    [
        [(member("../evil"), b"x")],
        [(member("/etc/cron.d/evil"), b"x")],
        [(member("metadata/../../evil.json"), b"x")],
        [(member("metadata/./timestamp.json"), b"x")],
        [(member("targets/tiny/1.0.0/.bashrc"), b"x")],
        [(member("metadata/timestamp.json", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("metadata/timestamp.json", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [
            (member("metadata", tarfile.SYMTYPE, "/tmp"), b""),
            (member("metadata/1.root.json"), b"x"),
        ],
        [(member("metadata/timestamp.json", tarfile.CHRTYPE), b"")],
        [(member("metadata/timestamp.json", tarfile.FIFOTYPE), b"")],
        [(member("metadata/timestamp.json"), b"x"), (member("metadata/timestamp.json"), b"y")],
    ],
    ids=lambda members: f"{members[0][0].name}-{members[0][0].type.decode()}",
)
def test_an_archive_with_a_dangerous_member_is_refused(settled, members):
    path = settled.folder / "evil.earwitness"
    path.write_bytes(tar_of(members))
    assert_refused(settled, path, "refused")
    assert not (settled.folder / "evil").exists() and not Path("/etc/cron.d/evil").exists()


def test_too_many_files_are_refused(settled):
    path = settled.folder / "evil.earwitness"
    path.write_bytes(tar_of([(member(f"metadata/{i}.root.json"), b"") for i in range(1, 1100)]))
    assert_refused(settled, path, "more than 1024")


def test_bombs_are_refused(settled):
    path = settled.folder / "evil.earwitness"
    zeros = bytes(50 * 2**20)
    bomb = tar_of([(member(f"metadata/{i}.root.json"), zeros) for i in range(1, 4)])
    path.write_bytes(bomb)
    assert_refused(settled, path, f"more than {MAX_BYTES}")
    path.write_bytes(gzip.compress(bomb, 1))
    assert_refused(settled, path, "not a signed bundle")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata/timestamp.json", zeros)
    assert_refused(settled, path, "not a signed bundle")


def test_a_sparse_file_that_claims_to_be_enormous_is_refused(settled):
    info = tarfile.TarInfo("metadata/timestamp.json")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"  # GNU sparse
    header[483:495] = b"77777777777\0"  # its real size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = settled.folder / "evil.earwitness"
    path.write_bytes(bytes(header) + bytes(1024))
    assert_refused(settled, path, "no plain file|not a signed")


def test_a_truncated_archive_is_refused_wherever_it_is_cut(settled):
    whole = settled.export().read_bytes()
    path = settled.folder / "cut.earwitness"
    for length in random.Random(3).sample(range(len(whole) - 10240), 25):
        path.write_bytes(whole[:length])
        assert_refused(settled, path)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One change of the kinds that disks, networks and attackers make."""
    changed = bytearray(content)
    at = rng.randrange(len(changed))
    kind = rng.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        changed[at : at + rng.randrange(1, 600)] = rng.randbytes(rng.randrange(1, 600))
    elif kind == 2:
        del changed[at:]
    elif kind == 3:
        del changed[at : at + rng.randrange(1, 2000)]
    else:
        other = rng.randrange(len(changed))
        size = rng.randrange(1, 2000)
        changed[at : at + size] = changed[other : other + size]
    return bytes(changed)


def try_mutations(world: World, count: int, seed: int) -> None:
    """Install mutated archives; each is refused with a sentence, or was changed where nobody reads.

    A mutation may hit tar padding, header fields that do not matter, or files of older versions;
    then what gets in is, byte for byte, the model that was signed.
    """
    whole = world.export().read_bytes()
    rng = random.Random(seed)
    path = world.folder / "mutated.earwitness"
    before = world.store.current()
    signed = world.repo().offers()[-1].release
    pristine = shutil.copytree(world.store.root, world.folder / "pristine", symlinks=True)
    harmless = 0
    for _ in range(count):
        shutil.rmtree(world.store.root)
        shutil.copytree(pristine, world.store.root, symlinks=True)
        path.write_bytes(mutated(whole, rng))
        try:
            world.install(path)
        except UpdateError as refusal:
            assert "\n" not in str(refusal) and len(str(refusal)) < 1000
            assert world.store.current() == before
        else:
            assert world.store.current() == signed
            world.store.verify(signed)
            harmless += 1
    print(f"{count} mutated bundles: {harmless} changed in no byte that counts, 0 accepted changed")


@repeated(brief=25, full=10_000)
def test_mutated_bundles_are_refused_without_a_traceback(settled, count):
    try_mutations(settled, count, seed=4)


# Going up only


def test_an_older_model_is_refused_and_the_sentence_says_how_to_go_back(settled):
    settled.install()
    settled.repo().set_rollout("1.1.0", 0)
    message = assert_refused(settled, settled.repo_folder, "only go up")
    assert "--as-version" in message


def test_an_old_model_under_a_new_version_is_the_way_back(settled):
    settled.install()
    settled.repo().publish(settled.folder / "bundle-1.0.0", as_version="1.2.0")
    outcome = settled.install()
    assert outcome.release.startswith("1.2.0-")
    provenance = settled.store.verify(outcome.release).manifest.provenance
    assert provenance["network"] == "good"


def test_the_whole_suite_of_attacks_leaves_a_device_that_still_updates(settled):
    assert settled.install(prove_bundle=believe).release.startswith("1.1.0-")


def test_keys_are_readable_by_their_owner_only(world):
    for path in world.keys.iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_single_plan_lasts(world):
    assert (
        ModelRepository(world.repo_folder, KeyRing([])).status()["roles"]["timestamp"]["days_left"]
        >= min(SINGLE.days.values()) - 1
    )
    assert timedelta(days=SINGLE.days["root"]) > timedelta(days=3000)
