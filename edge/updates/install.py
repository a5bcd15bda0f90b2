"""From a source to the current model: fetch, verify, prove, activate. Nothing else gets in.

Every source is a repository of The Update Framework: on a web server, in a folder, or packed into
one file. So a model that comes by ssh or on a USB stick passes the very checks of one that was
pulled.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge.bundle import MANIFEST, Manifest, ModelBundle
from edge.errors import BundleError, ConfigError, UpdateError
from edge.identity import device_id
from edge.updates import archive, durable, trust
from edge.updates.client import RepositoryClient, describe_root
from edge.updates.proof import prove
from edge.updates.settings import UpdateSettings
from edge.updates.store import ReleaseStore, release_of
from edge.updates.transport import FolderFetcher, HttpFetcher

STDIN = "-"
ROOT_FILE = "root.json"


@dataclass(frozen=True)
class Outcome:
    """How an installation ended.

    Attributes:
        release: the release that is current afterwards; None = the model of the package.
        changed: is it another one than before?
        message: one sentence for people.
    """

    release: str | None
    changed: bool
    message: str


@dataclass(frozen=True)
class Request:
    """What is asked of an installation.

    Attributes:
        source: `https://...`, a folder, a file, or `-` for standard input.
        by_hand: a person asks: the percentage of a staged rollout and a hold do not stop it, and
            an older model is an error instead of nothing to do.
        forgive: take a model even if it failed on this device before.
        variant, hop_s: what the daemon runs; None = as the bundle says.
        handle: of the folder or file, if it is open already; closed afterwards.
        check_fit: raises ConfigError where the daemon's settings do not fit a model.
    """

    source: str
    by_hand: bool = False
    forgive: bool = False
    variant: str | None = None
    hop_s: float | None = None
    handle: int | None = None
    check_fit: Callable[[Manifest], object] = lambda manifest: None


def install(
    request: Request,
    settings: UpdateSettings,
    *,
    clock_s: Callable[[], float] = time.time,
    prove_bundle: Callable[..., Any] = prove,
    stdin: IO[bytes] | None = None,
) -> Outcome:
    """Install the newest model that a source offers this device.

    Whatever happens, the current model stays a complete one: the old until the very last step.

    Raises:
        UpdateError: the source cannot be read or must not be believed, or the model fails.
    """
    store = ReleaseStore(settings.store)
    with store.installing():
        try:
            outcome = _install(store, request, settings, clock_s, prove_bundle, stdin)
            store.forget_error()
            return outcome
        except OSError as error:
            reason = _disk_reason(error, store.root)
            _note(store, reason, clock_s())
            raise UpdateError(reason) from error
        except (UpdateError, BundleError, ConfigError) as error:
            _note(store, str(error), clock_s())
            raise UpdateError(str(error)) from error
        finally:
            store.sweep()


def _install(
    store: ReleaseStore,
    request: Request,
    settings: UpdateSettings,
    clock_s: Callable[[], float],
    prove_bundle: Callable[..., Any],
    stdin: IO[bytes] | None,
) -> Outcome:
    store.recover()
    with _repository(store, request, settings, clock_s, stdin) as client:
        offers = client.refresh()
        state = store.state()
        refused = () if request.forgive else tuple(state.quarantine)
        offer = trust.choose(offers, device_id(settings.device_id), refused, request.by_hand)
        waits = _reason_to_wait(store, request, offer, offers)
        if waits is not None or offer is None:
            return Outcome(store.current(), False, waits or "Nothing is on offer.")
        staged = store.staging()
        client.download(offer, staged)
    manifest = _checked_manifest(staged, offer)
    request.check_fit(manifest)
    try:
        prove_bundle(staged, settings.proof, variant=request.variant, hop_s=request.hop_s)
    except UpdateError as error:
        # The staging folder is gone when somebody reads this.
        reason = str(error).replace(f"The bundle {staged}", f"the bundle {offer.version}")
        store.note_error(reason, clock_s(), bad=offer.release)
        raise UpdateError(reason) from error
    if request.forgive:
        store.forgive(offer.release)
    release = store.add(staged)
    store.activate(release, clock_s())
    store.prune(settings.keep_releases)
    return Outcome(release, True, f"Model {release} is proven and now current, on trial.")


def _reason_to_wait(
    store: ReleaseStore,
    request: Request,
    offer: trust.Offer | None,
    offers: tuple[trust.Offer, ...],
) -> str | None:
    """Why nothing is to be installed, or None.

    Raises:
        UpdateError: a person asked for what cannot be done.
    """
    current = store.current()
    failed = store.state().quarantine.get(offers[-1].release) if offers else None
    if request.by_hand and failed is not None and not request.forgive:
        raise UpdateError(
            f"{request.source} offers {offers[-1].version}, which failed on this device before: "
            f"{failed.reason.rstrip('.')}; publish a new version, or try it again with --forgive."
        )
    if offer is None:
        return f"Nothing is on offer for this device; {current or 'the built-in model'} stays."
    if current == offer.release:
        return f"Model {current} is current already."
    if store.state().held and not request.by_hand:
        return f"Model {current} is held; `earwitness model use latest` lets updates go on."
    if current is not None and offer.order <= trust.version_order(current.split("-")[0]):
        if request.by_hand:
            raise UpdateError(
                f"{request.source} offers {offer.version}, this device runs {current}: versions "
                "only go up; publish the old model under a new version (--as-version), or "
                "choose an installed one with earwitness model use."
            )
        return f"Model {current} is newer than what is on offer ({offer.version})."
    return None


def _checked_manifest(staged: Path, offer: trust.Offer) -> Manifest:
    """The files agree among themselves and are the ones that were signed for.

    Raises:
        UpdateError: they are not.
        BundleError: the bundle's parts disagree.
    """
    if release_of(staged) != offer.release:
        raise UpdateError(
            f"The bundle offered as {offer.version} says that it is {release_of(staged)}; refused."
        )
    return ModelBundle.load(staged).manifest


@contextmanager
def _repository(
    store: ReleaseStore,
    request: Request,
    settings: UpdateSettings,
    clock_s: Callable[[], float],
    stdin: IO[bytes] | None,
) -> Iterator[RepositoryClient]:
    """The source as a repository, whatever it is."""
    root = pinned_root(store)
    source = request.source
    if is_url(source):
        fetcher = HttpFetcher(
            store.root / "tuf" / "timestamp.json",
            store.root / "poll.json",
            settings.download_timeout_s,
        )
        yield RepositoryClient(store.root, root, source, fetcher, clock_s)
        return
    with _folder_of(request, store, stdin) as folder:
        name = "The archive" if source == STDIN else source
        yield RepositoryClient(
            store.root, root, "file:///", FolderFetcher(folder), clock_s, name=name
        )


def is_url(source: str) -> bool:
    """Is it to be asked over the network?"""
    return source.startswith(("http://", "https://"))


def open_source(source: str) -> int:
    """A handle of a folder or file.

    Raises:
        UpdateError: it cannot be opened.
    """
    if "://" in source:
        raise UpdateError(f"{source} is no source; give https://..., a folder or a file.")
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UpdateError(f"{source or repr('')} cannot be opened ({error.strerror}).") from None


@contextmanager
def _folder_of(request: Request, store: ReleaseStore, stdin: IO[bytes] | None) -> Iterator[int]:
    """A handle of the folder of a repository that is a folder, a file or standard input.

    Raises:
        UpdateError: it is none of these.
    """
    with ExitStack() as cleanup:
        if request.source == STDIN:
            content = stdin or sys.stdin.buffer
        else:
            handle = open_source(request.source) if request.handle is None else request.handle
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                cleanup.callback(os.close, handle)
                _check_is_repository(request.source, os.listdir(handle))
                yield handle
                return
            content = cleanup.enter_context(os.fdopen(handle, "rb"))
        unpacked = store.staging()
        archive.unpack(content, unpacked)
        folder = os.open(unpacked, os.O_RDONLY)
        cleanup.callback(os.close, folder)
        yield folder


def _check_is_repository(source: str, names: list[str]) -> None:
    if "metadata" in names:
        return
    if MANIFEST in names:
        raise UpdateError(
            f"{source} is a bundle that nobody has signed; sign it with earwitness-convert repo "
            "publish and install the repository, or try it without installing: earwitness "
            f"run --model {source}."
        )
    raise UpdateError(f"{source} holds neither a repository of models nor a bundle.")


def pinned_root(store: ReleaseStore) -> bytes:
    """The root metadata that everything else is measured by.

    Raises:
        UpdateError: none is pinned yet.
    """
    try:
        return (store.root / ROOT_FILE).read_bytes()
    except FileNotFoundError:
        raise UpdateError(
            f"This device trusts no repository yet ({store.root / ROOT_FILE} is missing); run: "
            "earwitness model trust root.json, with the file that earwitness-convert repo made."
        ) from None


def pin_root(store: ReleaseStore, content: bytes, *, replace: bool = False) -> str:
    """Trust a repository from now on.

    Args:
        store: the releases.
        content: root metadata.
        replace: give up another root that is pinned already, and what was seen under it.

    Returns:
        version, end and key ids of the root.

    Raises:
        UpdateError: it is not root metadata, or another root is pinned.
    """
    description = describe_root(content)
    path = store.root / ROOT_FILE
    with store.installing():
        if path.exists() and path.read_bytes() != content:
            if not replace:
                raise UpdateError(
                    f"{path} already pins another root ({describe_root(path.read_bytes())}); give "
                    "--replace to trust the new one instead."
                )
            shutil.rmtree(store.root / "tuf", ignore_errors=True)
            durable.remove_file(store.root / "floor.json")
            durable.remove_file(store.root / "poll.json")
        durable.write_file(path, content)
    return description


def _note(store: ReleaseStore, reason: str, now_s: float) -> None:
    """Record a failure for `model status`, if the disk lets it, and once."""
    try:
        last = store.state().last_error
        if last is None or last.reason != reason:
            store.note_error(reason, now_s)
    except (OSError, UpdateError) as error:
        print(f"The failure could not be recorded: {error}", file=sys.stderr)


def _disk_reason(error: OSError, root: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {root} is full; free some space. The current model is unchanged."
    return f"{root} cannot be written ({error}); the current model is unchanged."
