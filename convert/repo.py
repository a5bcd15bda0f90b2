"""The repository that devices pull models from: plain static files, signed (TUF, by python-tuf).

    REPO/metadata/N.root.json N.targets.json N.snapshot.json timestamp.json
    REPO/targets/NAME/VERSION/SHA256.FILE
    REPO/root.json                        what a device pins

Keys live elsewhere, one PEM file each. Root and targets keys belong offline and have thresholds;
the online key signs snapshot and timestamp, so whoever steals it can neither offer a model of their
own nor bring back an old one. Any server of files, or a USB stick, can carry REPO.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edge.bundle import MANIFEST, Manifest, ModelBundle
from edge.errors import BundleError, UpdateError
from edge.updates import archive, durable, trust

ONLINE = "online"
KEY_GROUPS = ("root", "targets", ONLINE)
ROLES_OF = {"root": ("root",), "targets": ("targets",), ONLINE: ("snapshot", "timestamp")}
DAYS_FIELD = "x-earwitness-days"
SALT_BYTES = 8


@dataclass(frozen=True)
class KeyPlan:
    """How many keys a group has and how many of them must sign."""

    keys: int
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= self.keys:
            raise UpdateError(
                f"A threshold of {self.threshold} does not fit {self.keys} keys; it must be 1 to "
                f"{self.keys}."
            )


@dataclass(frozen=True)
class Plan:
    """Keys by group, and how long metadata is valid, in days.

    Attributes:
        keys: for "root", "targets" and "online".
        days: for "root", "targets", "snapshot" and "timestamp".
    """

    keys: dict[str, KeyPlan]
    days: dict[str, int]

    def __post_init__(self) -> None:
        if min(self.days.values()) < 1:
            raise UpdateError("Metadata must be valid for at least 1 day.")


FLEET = Plan(
    {"root": KeyPlan(3, 2), "targets": KeyPlan(2, 1), ONLINE: KeyPlan(1, 1)},
    {"root": 730, "targets": 365, "snapshot": 14, "timestamp": 14},
)
# One owner, one board: nobody wants a calendar of signing ceremonies.
SINGLE = Plan(
    {group: KeyPlan(1, 1) for group in KEY_GROUPS},
    {"root": 3650, "targets": 3650, "snapshot": 730, "timestamp": 730},
)


class KeyRing:
    """Private keys in folders, for instance on two USB sticks.

    Args:
        folders: where to look; new keys go into the first.
        password: of the key files; None = they are not encrypted.
    """

    def __init__(self, folders: Iterable[Path], password: bytes | None = None) -> None:
        self.folders = list(folders)
        self._password = password

    def create(self, group: str) -> Key:
        """A new Ed25519 key in a file that only its owner can read; returns its public half."""
        private = Ed25519PrivateKey.generate()
        public = SSlibKey.from_crypto(private.public_key())
        protection = BestAvailableEncryption(self._password) if self._password else NoEncryption()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        folder = self.folders[0]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{group}-{public.keyid[:12]}.pem"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        durable.sync(folder)
        return public

    def signers(self, keys: Iterable[Key]) -> list[CryptoSigner]:
        """Signers for those of the keys whose private half is here.

        Raises:
            UpdateError: a key file cannot be read, or the password is wrong.
        """
        wanted = {key.keyid: key for key in keys}
        found = {}
        for folder in self.folders:
            for path in sorted(folder.glob("*.pem")):
                if any(keyid.startswith(path.stem.split("-")[-1]) for keyid in wanted):
                    signer = self._open(path)
                    found[signer.public_key.keyid] = signer
        return [found[keyid] for keyid in wanted if keyid in found]

    def retire(self, keyid: str) -> None:
        """Rename the file of a key that no longer signs, if it is here."""
        for folder in self.folders:
            for path in folder.glob(f"*-{keyid[:12]}.pem"):
                os.rename(path, path.with_suffix(".retired"))

    def _open(self, path: Path) -> CryptoSigner:
        try:
            private = load_pem_private_key(path.read_bytes(), self._password)
        except (OSError, ValueError, TypeError) as error:
            raise UpdateError(
                f"The key {path} cannot be opened ({error}); check the password "
                "(EARWITNESS_KEY_PASSWORD)."
            ) from None
        return CryptoSigner(private)


class ModelRepository:
    """A repository of models on the disk, and the means to change it.

    Args:
        folder: the repository.
        keys: private keys; those that a change needs must be among them.
        now: the time that signatures are dated from, UTC.
    """

    def __init__(self, folder: Path, keys: KeyRing, now: datetime | None = None) -> None:
        self.folder = folder
        self._keys = keys
        self._now = (now or datetime.now(timezone.utc)).replace(microsecond=0)

    # Commands

    def init(self, plan: Plan) -> None:
        """Create keys and an empty repository.

        Raises:
            UpdateError: there is one already.
        """
        if self._metadata_folder.exists():
            raise UpdateError(f"{self.folder} holds a repository already; nothing was changed.")
        root = Root(version=1, expires=self._expiry(plan.days["root"]), consistent_snapshot=True)
        root.unrecognized_fields[DAYS_FIELD] = dict(plan.days)
        for group, wanted in plan.keys.items():
            public = [self._keys.create(group) for _ in range(wanted.keys)]
            for role in ROLES_OF[group]:
                root.roles[role] = Role([], wanted.threshold)
                for key in public:
                    root.add_key(key, role)
        self._metadata_folder.mkdir(parents=True)
        self._write_root(Metadata(root), root)
        days = plan.days
        self._release(
            Metadata(Targets(version=1, expires=self._expiry(days["targets"]))),
            snapshot_version=1,
            timestamp_version=1,
        )

    def publish(
        self,
        bundle: Path,
        *,
        rollout_percent: int = 100,
        as_version: str | None = None,
        keep: int = 5,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> str:
        """Offer a bundle to the devices.

        Args:
            bundle: its folder.
            rollout_percent: share of devices that may take it.
            as_version: publish it under this version instead of its own: the way back to an older
                model, because versions only go up.
            keep: how many versions stay on offer.

        Returns:
            the version.

        Raises:
            BundleError: the bundle cannot be used.
            UpdateError: its version is not above all published ones, or keys are missing.
        """
        _check_percent(rollout_percent)
        if keep < 1:
            raise UpdateError(f"Keeping {keep} versions withdraws the new one; give 1 or more.")
        manifest = ModelBundle.load(bundle).manifest
        manifest_bytes = (bundle / MANIFEST).read_bytes()
        if as_version is not None:
            manifest = replace(manifest, version=as_version)
            manifest_bytes = manifest.to_json().encode()
            _check_manifest(manifest_bytes)
        targets = self._load(Targets)
        self._check_newest(manifest.version, targets)
        for role in (Targets, Snapshot, Timestamp):
            self._need(self._load(Root).signed, role.type)
        contents = {name: (bundle / name).read_bytes() for name in manifest.files}
        contents[MANIFEST] = manifest_bytes
        prefix = f"{manifest.name}/{manifest.version}/"
        for name, content in contents.items():
            targets.signed.targets[prefix + name] = self._add_file(prefix + name, content)
        salt = random_bytes(SALT_BYTES).hex()
        _set_rollout(targets.signed.targets[f"{prefix}{MANIFEST}"], rollout_percent, salt)
        dropped = self._retire(targets.signed, keep)
        self._sign_again(targets)
        for path in dropped:
            (self.folder / "targets" / path).unlink(missing_ok=True)
        return manifest.version

    def set_rollout(self, version: str, rollout_percent: int) -> None:
        """Offer a published version to more devices, or to none: that is a pause.

        Raises:
            UpdateError: it is not on offer.
        """
        _check_percent(rollout_percent)
        targets = self._load(Targets)
        offer = next((o for o in self.offers() if o.version == version), None)
        if offer is None:
            known = ", ".join(o.version for o in self.offers()) or "none"
            raise UpdateError(
                f"{version} is neither the folder of a bundle nor a version on offer in "
                f"{self.folder} (on offer: {known})."
            )
        _set_rollout(targets.signed.targets[offer.manifest_path], rollout_percent, offer.salt)
        self._sign_again(targets)

    def refresh(self) -> None:
        """Sign snapshot and timestamp anew, so that they stay valid. Needs the online key only."""
        targets = self._load(Targets)
        self._release(
            targets,
            snapshot_version=self._load(Snapshot).signed.version + 1,
            timestamp_version=self._load(Timestamp).signed.version + 1,
            targets_changed=False,
        )

    def rotate_key(self, group: str, old_keyid: str | None = None) -> tuple[str, str]:
        """Replace one key of a group by a new one, and sign anew what it signs.

        Args:
            group: "root", "targets" or "online".
            old_keyid: the key to replace, or its beginning; None = the only one.

        Returns:
            ids of the old and of the new key.

        Raises:
            UpdateError: it is not clear which key, or too few keys are here to sign.
        """
        loaded = self._load(Root)
        before = copy.deepcopy(loaded.signed)
        root = loaded.signed
        old = _pick_key(root, group, old_keyid)
        self._need(before, "root")
        new = self._keys.create(group)
        for role in ROLES_OF[group]:
            root.revoke_key(old, role)
            root.add_key(new, role)
        root.version += 1
        root.expires = self._expiry(root.unrecognized_fields[DAYS_FIELD]["root"])
        self._write_root(loaded, before)
        if group == "targets":
            self._sign_again(self._load(Targets))
        else:
            self.refresh()
        self._keys.retire(old)
        return old, new.keyid

    def status(self) -> dict[str, Any]:
        """Roles with version, expiry and keys, and what is on offer."""
        root = self._load(Root).signed
        roles = {}
        for kind in (Root, Targets, Snapshot, Timestamp):
            signed = self._load(kind).signed
            role = root.roles[kind.type]
            roles[kind.type] = {
                "version": signed.version,
                "expires": _aware(signed.expires).isoformat(),
                "days_left": (_aware(signed.expires) - self._now).days,
                "threshold": role.threshold,
                "keys": [keyid[:12] for keyid in role.keyids],
            }
        offers = [
            {"version": o.version, "release": o.release, "rollout_percent": o.rollout_percent}
            for o in self.offers()
        ]
        return {"repository": str(self.folder), "roles": roles, "offers": offers}

    def export(self, destination: Path) -> str:
        """Pack what a device needs for the newest model into one file; returns its version."""
        version, names = archive.newest_files(self.folder)
        temporary = destination.with_name(f".{destination.name}.new")
        with open(temporary, "wb") as file:
            archive.pack(self.folder, names, file)
        os.replace(temporary, destination)
        return version

    def offers(self) -> tuple[trust.Offer, ...]:
        """The models on offer, oldest first."""
        targets = self._load(Targets).signed.targets
        return trust.offers_of({path: target.to_dict() for path, target in targets.items()})

    # Within

    @property
    def _metadata_folder(self) -> Path:
        return self.folder / "metadata"

    def _load(self, kind: Any) -> Metadata[Any]:
        """The newest metadata of a role."""
        if not self._metadata_folder.is_dir():
            raise UpdateError(
                f"{self.folder} holds no repository; create one with: earwitness-convert repo "
                f"keygen {self.folder}"
            )
        name = f"{kind.type}.json"
        versions = [path.name.split(".")[0] for path in self._metadata_folder.glob(f"*.{name}")]
        newest = max((int(version) for version in versions if version.isdecimal()), default=0)
        path = self._metadata_folder / (name if kind is Timestamp else f"{newest}.{name}")
        try:
            return Metadata[kind].from_file(str(path))
        except (OSError, ValueError, RepositoryError) as error:
            raise UpdateError(
                f"{path} cannot be read ({error}); restore the repository from a copy."
            ) from None

    def _check_newest(self, version: str, targets: Metadata[Targets]) -> None:
        newest = max((offer.order for offer in self.offers()), default=(0,))
        newest = max(newest, trust.version_order(_highest(targets.signed)))
        if trust.version_order(version) <= newest:
            raise UpdateError(
                f"Version {version} is not above {'.'.join(map(str, newest))}, which was published "
                "already; devices only go up. Give the model a new version (--as-version)."
            )

    def _add_file(self, path: str, content: bytes) -> TargetFile:
        digest = hashlib.sha256(content).hexdigest()
        folder, _, name = path.rpartition("/")
        destination = self.folder / "targets" / folder / f"{digest}.{name}"
        destination.parent.mkdir(parents=True, exist_ok=True)
        durable.write_file(destination, content)
        return TargetFile.from_data(path, content, ["sha256"])

    def _retire(self, targets: Targets, keep: int) -> list[str]:
        """Take the oldest versions off the offer; returns the files that nobody needs any more."""
        offers = trust.offers_of({path: t.to_dict() for path, t in targets.targets.items()})
        targets.unrecognized_fields[HIGHEST_FIELD] = offers[-1].version
        dropped = []
        for offer in offers[: max(0, len(offers) - keep)]:
            beside = offer.manifest_path.rsplit("/", 1)[0] + "/"
            for path in [path for path in targets.targets if path.startswith(beside)]:
                digest = targets.targets.pop(path).hashes["sha256"]
                dropped.append(f"{beside}{digest}.{path[len(beside) :]}")
        return dropped

    def _sign_again(self, targets: Metadata[Targets]) -> None:
        """Sign changed targets as a new version, then snapshot and timestamp."""
        targets.signed.version += 1
        targets.signed.expires = self._expiry(self._days()["targets"])
        self._release(
            targets,
            snapshot_version=self._load(Snapshot).signed.version + 1,
            timestamp_version=self._load(Timestamp).signed.version + 1,
        )

    def _release(
        self,
        targets: Metadata[Targets],
        *,
        snapshot_version: int,
        timestamp_version: int,
        targets_changed: bool = True,
    ) -> None:
        """Write targets, snapshot and timestamp, the timestamp last: it makes the rest visible."""
        root, days = self._load(Root).signed, self._days()
        snapshot = Metadata(
            Snapshot(
                version=snapshot_version,
                expires=self._expiry(days["snapshot"]),
                meta={"targets.json": MetaFile(targets.signed.version)},
            )
        )
        timestamp = Metadata(
            Timestamp(
                version=timestamp_version,
                expires=self._expiry(days["timestamp"]),
                snapshot_meta=MetaFile(snapshot_version),
                unrecognized_fields={trust.SIGNED_AT_FIELD: int(self._now.timestamp())},
            )
        )
        changed: list[Metadata[Any]] = [targets] if targets_changed else []
        changed += [snapshot, timestamp]
        for metadata in changed:
            self._need(root, metadata.signed.type)
        for metadata in changed:
            role = metadata.signed.type
            self._sign(metadata, self._need(root, role))
            prefix = "" if role == Timestamp.type else f"{metadata.signed.version}."
            self._write(metadata, f"{prefix}{role}.json")

    def _write_root(self, metadata: Metadata[Root], before: Root) -> None:
        """Sign a root with its own keys and with those of the root before it (TUF 5.3.4)."""
        signers = {s.public_key.keyid: s for s in self._need(before, "root")}
        signers.update({s.public_key.keyid: s for s in self._need(metadata.signed, "root")})
        self._sign(metadata, list(signers.values()))
        content = self._write(metadata, f"{metadata.signed.version}.root.json")
        durable.write_file(self.folder / "root.json", content)

    def _need(self, root: Root, role: str) -> list[CryptoSigner]:
        """Signers for a role.

        Raises:
            UpdateError: fewer than its threshold are here.
        """
        entry = root.roles[role]
        signers = self._keys.signers(root.keys[keyid] for keyid in entry.keyids)
        if len(signers) < entry.threshold:
            where = ", ".join(map(str, self._keys.folders))
            raise UpdateError(
                f"Signing {role} needs {entry.threshold} of its {len(entry.keyids)} keys; "
                f"{len(signers)} found in {where}. Give the folders of the others with --keys."
            )
        return signers

    def _sign(self, metadata: Metadata[Any], signers: list[CryptoSigner]) -> None:
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)

    def _write(self, metadata: Metadata[Any], name: str) -> bytes:
        content = metadata.to_bytes(JSONSerializer(compact=True))
        path = self._metadata_folder / name
        before_s = int(path.stat().st_mtime) if path.exists() else 0
        durable.write_file(path, content)
        # nginx makes its ETag of size and whole seconds: two timestamps of one second look alike.
        modified_s = max(int(path.stat().st_mtime), before_s + 1)
        os.utime(path, (modified_s, modified_s))
        return content

    def _days(self) -> dict[str, int]:
        days: dict[str, int] = self._load(Root).signed.unrecognized_fields[DAYS_FIELD]
        return days

    def _expiry(self, days: int) -> datetime:
        return self._now + timedelta(days=days)


HIGHEST_FIELD = "x-earwitness-highest"


def _highest(targets: Targets) -> str:
    """The highest version ever published, also when it is no longer on offer."""
    return str(targets.unrecognized_fields.get(HIGHEST_FIELD, "0.0.0"))


def _check_percent(percent: int) -> None:
    if not 0 <= percent <= 100:
        raise UpdateError(f"A rollout of {percent} % is impossible; give 0 (a pause) to 100.")


def _set_rollout(target: TargetFile, percent: int, salt: str) -> None:
    target.unrecognized_fields["custom"] = {
        trust.CUSTOM_FIELD: {"rollout_percent": percent, "salt": salt}
    }


def _pick_key(root: Root, group: str, old_keyid: str | None) -> str:
    keyids = root.roles[ROLES_OF[group][0]].keyids
    matches = [keyid for keyid in keyids if keyid.startswith(old_keyid or "")]
    if len(matches) != 1:
        known = ", ".join(keyid[:12] for keyid in keyids)
        raise UpdateError(f"Say which {group} key to replace with --key: {known}.")
    return matches[0]


def _check_manifest(content: bytes) -> None:
    try:
        Manifest.from_json(content.decode())
    except ValueError as error:
        raise BundleError(f"The manifest would not be valid: {error}.") from None


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
