"""What a device may believe of a repository beyond its signatures. Pure.

The Update Framework (https://theupdateframework.github.io/specification/latest/) checks signatures,
thresholds, versions and expiry against the metadata that it keeps. It keeps them without fsync and
asks the system clock; a Raspberry Pi loses the first in a power cut and has no second at boot. A
`Floor`, kept durably by the caller, closes both: the highest versions and the latest signed time
that this device has ever accepted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VERSIONED_ROLES = ("timestamp", "snapshot", "targets")
# Whose new keys let a role's version start anew.
RESET_BY = {
    "timestamp": ("timestamp",),
    "snapshot": ("snapshot",),
    "targets": ("targets", "snapshot"),
}
CUSTOM_FIELD = "earwitness"
SIGNED_AT_FIELD = "x-earwitness-signed-at"

_MANIFEST_PATH = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/(\d{1,6}\.\d{1,6}\.\d{1,6})/manifest\.json"
)


@dataclass(frozen=True)
class RoleState:
    """Version of a role's metadata, and a digest of the keys and threshold that sign for it."""

    version: int
    keys: str


@dataclass(frozen=True)
class Sighting:
    """What one accepted state of a repository says.

    Attributes:
        root: version of the root metadata; root_expires_s: when it ends, Unix seconds.
        roles: the other roles.
        expires_s: the earliest end among all roles, Unix seconds.
        signed_at_s: when the timestamp was signed, Unix seconds; 0 = it does not say.
    """

    root: int
    root_expires_s: float
    roles: Mapping[str, RoleState]
    expires_s: float
    signed_at_s: float


@dataclass(frozen=True)
class Floor:
    """The highest that was ever accepted; nothing below it is accepted again.

    Attributes:
        root: version of the root metadata.
        roles: the other roles.
        signed_at_s: a time that has certainly passed, Unix seconds.
    """

    root: int = 0
    roles: Mapping[str, RoleState] = field(default_factory=dict)
    signed_at_s: float = 0.0

    def to_json(self) -> str:
        """As the floor file holds it."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Floor:
        """Read a floor file.

        Raises:
            ValueError: it is not one.
        """
        document = json.loads(text)
        try:
            roles = {name: RoleState(**state) for name, state in document["roles"].items()}
            floor = cls(document["root"], roles, document["signed_at_s"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a floor: {error}") from None
        numbers = [floor.root, floor.signed_at_s, *(state.version for state in roles.values())]
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
            raise ValueError("not a floor: a version or time is not a number")
        return floor


def present(floor: Floor, clock_s: float) -> float:
    """The best knowledge of the time, Unix seconds: a clock behind the floor is wrong."""
    return max(floor.signed_at_s, clock_s)


def raised(floor: Floor, seen: Sighting, clock_s: float) -> Floor:
    """The floor after accepting a state of the repository.

    A role whose keys were changed by a newer root starts anew, and so does targets with a newly
    keyed snapshot: that is how the specification (5.3.11) recovers from a stolen key that signed an
    enormous version number.

    Args:
        floor: what was accepted so far.
        seen: the state at hand; its signatures are already verified.
        clock_s: the system clock, Unix seconds; it may be far behind.

    Raises:
        ValueError: the state lies below the floor or has expired; the sentence says which.
    """
    if seen.root < floor.root:
        raise ValueError(f"its root is version {seen.root}, this device has seen {floor.root}")
    for name in VERSIONED_ROLES:
        old, new = floor.roles.get(name), seen.roles[name]
        rekeyed = seen.root > floor.root and any(
            floor.roles[keyed].keys != seen.roles[keyed].keys
            for keyed in RESET_BY[name]
            if keyed in floor.roles
        )
        if old is not None and new.version < old.version and not rekeyed:
            raise ValueError(
                f"its {name} is version {new.version}, this device has seen {old.version}"
            )
    if seen.signed_at_s > seen.root_expires_s:
        raise ValueError("its timestamp claims to be signed after its root ends")
    if seen.expires_s <= present(floor, clock_s):
        raise ValueError("its metadata had expired when this device last knew the time")
    return Floor(seen.root, dict(seen.roles), max(floor.signed_at_s, seen.signed_at_s))


@dataclass(frozen=True)
class Offer:
    """A model that a repository offers, as its signed targets metadata describes it.

    Attributes:
        manifest_path: the manifest's path in the repository; the other files lie beside it.
        version: MAJOR.MINOR.PATCH.
        manifest_sha256: digest of the manifest, which holds the digests of all other files.
        rollout_percent: share of devices that may take it, 0 to 100; 0 = paused, for everybody.
        salt: makes the share of one release another set of devices than that of the next.
    """

    manifest_path: str
    version: str
    manifest_sha256: str
    rollout_percent: int
    salt: str

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts offers from old to new."""
        return version_order(self.version)

    @property
    def release(self) -> str:
        """Name of the release's folder on the device."""
        return release_name(self.version, self.manifest_sha256)


def version_order(version: str) -> tuple[int, ...]:
    """`1.10.0` comes after `1.9.0`."""
    return tuple(int(part) for part in version.split("."))


def release_name(version: str, manifest_sha256: str) -> str:
    """`VERSION-SHA12`: the digest is the manifest's, and through it that of every file."""
    return f"{version}-{manifest_sha256[:12]}"


def offers_of(targets: Mapping[str, Any]) -> tuple[Offer, ...]:
    """The models among the targets of a repository, oldest first.

    Args:
        targets: the `targets` of signed targets metadata, by path, as JSON.

    Raises:
        ValueError: a signed entry does not have the form that `repo publish` gives it.
    """
    found = []
    for path, target in targets.items():
        match = _MANIFEST_PATH.fullmatch(path)
        if match is None:
            continue
        try:
            custom = target["custom"][CUSTOM_FIELD]
            offer = Offer(
                path,
                match.group(1),
                str(target["hashes"]["sha256"]),
                int(custom["rollout_percent"]),
                str(custom["salt"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the entry of {path} is malformed ({error!r})") from None
        if not 0 <= offer.rollout_percent <= 100:
            raise ValueError(f"the rollout of {path} is {offer.rollout_percent} %")
        found.append(offer)
    return tuple(sorted(found, key=lambda offer: offer.order))


def in_rollout(offer: Offer, device_id: str) -> bool:
    """Does this device belong to the share of devices that may take the offer?

    Raising the percentage only ever adds devices.
    """
    digest = hashlib.sha256(f"{offer.salt}:{device_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100 < offer.rollout_percent


def choose(
    offers: Iterable[Offer], device_id: str, refused: Collection[str], by_hand: bool
) -> Offer | None:
    """The newest model that this device may take.

    Args:
        offers: what the repository offers.
        device_id: decides the staged rollout.
        refused: names of releases that failed on this device (the quarantine).
        by_hand: a person asks; then the percentage does not hold it back, but a pause does.
    """
    allowed = [
        offer
        for offer in offers
        if offer.release not in refused
        and offer.rollout_percent > 0
        and (by_hand or in_rollout(offer, device_id))
    ]
    return max(allowed, key=lambda offer: offer.order, default=None)
