"""`earwitness model ...` and `earwitness fleet ...`: parse, build, call."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.bundle import Manifest
from edge.errors import BundleError, UpdateError
from edge.updates.owner import act_as_owner, denied
from edge.updates.settings import DEFAULT_STORE, UpdateSettings
from edge.updates.store import ReleaseStore

PASSWORD_VARIABLE = "EARWITNESS_MQTT_PASSWORD"
HOUR_S = 3600


def add_arguments(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `model` and `fleet` to the commands of `earwitness`, for `main` to run."""
    _add_model(commands.add_parser("model", help="install, choose and push models"))
    _add_fleet(commands.add_parser("fleet", help="what the devices say of their models"))


def main(args: argparse.Namespace, device: Device | UpdateSettings | None = None) -> int:
    """Run a parsed command; the exit status.

    Args:
        args: what the parser of `add_arguments` gave; its options go before the configuration.
        device: what the configuration says; None = the defaults.

    Raises:
        EdgeError: with a sentence for people.
    """
    if not isinstance(device, Device):
        device = Device(device or UpdateSettings())
    chosen = {
        name: value
        for name in ("store", "url", "device_id")
        if (value := getattr(args, name, None)) is not None
    }
    device = replace(device, updates=replace(device.updates, **chosen))
    run: Callable[[argparse.Namespace, Device], int] = args.run_updates
    if not args.on_device:
        return run(args, device)
    store = device.updates.store
    _open_what_is_given(args)
    act_as_owner(store)
    try:
        return run(args, device)
    except BrokenPipeError:
        raise  # whoever read the output has seen enough
    except PermissionError:
        raise UpdateError(denied(store)) from None
    except OSError as error:
        raise UpdateError(f"{store} cannot be used ({error}).") from error


def _open_what_is_given(args: argparse.Namespace) -> None:
    """Open files as the caller: the models' owner may not read a stick or somebody's home."""
    args.handle = args.content = None
    if args.run_updates is _install:
        from edge.updates.install import STDIN, is_url, open_source

        if args.source != STDIN and not is_url(args.source):
            args.handle = open_source(args.source)
    elif args.run_updates is _trust and args.root is not None:
        args.content = _read(args.root)


@dataclass(frozen=True)
class Device:
    """What these commands need of the daemon's configuration.

    Attributes:
        updates: where models come from and are kept.
        variant: form of the network that the daemon runs; None = the bundle's default.
        hop_s: time between its windows; None = the bundle's.
        check_fit: raises ConfigError where the daemon's settings do not fit a model.
    """

    updates: UpdateSettings
    variant: str | None = None
    hop_s: float | None = None
    check_fit: Callable[[Manifest], object] = lambda manifest: None


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, help=f"folder of the models (else as configured: {DEFAULT_STORE})"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[..., int], text: str, *, on_device: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run_updates=run, on_device=on_device)
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        return sub

    sub = command("install", _install, "verify, prove and activate a model")
    sub.add_argument("source", help="https://..., a folder (USB stick), a file, or - for stdin")
    sub.add_argument("--forgive", action="store_true", help="even if it failed here before")
    sub = command("pull", _pull, "ask the configured repository for a new model")
    sub.add_argument("--url", help="the repository (default: as configured)")
    sub.add_argument("--device-id", help="name of this device in staged rollouts")
    sub = command("push", _push, "install a model on other devices by ssh", on_device=False)
    sub.add_argument("bundle", type=Path, help="a .earwitness file, or the folder of a repository")
    sub.add_argument("hosts", nargs="+", metavar="USER@HOST")
    sub.add_argument("--ssh", default="ssh", help="ssh command with options (default: ssh)")
    sub.add_argument(
        "--remote", default="earwitness", help="command there, for instance 'sudo earwitness'"
    )
    sub.add_argument("--timeout-s", type=float, default=300.0, help="per device (default: 300)")
    command("list", _list, "the installed models")
    sub = command("use", _use, "make an installed model current and hold it")
    sub.add_argument("version", help="version or release; latest = let updates go on")
    sub = command("rollback", _rollback, "go back to the last good model")
    sub.add_argument("--reason", default="rolled back by hand")
    sub = command("verify", _verify, "hold every byte of the installed models against its digest")
    sub.add_argument("version", nargs="?", help="only this one")
    command("status", _status, "which model runs, and what happened last")
    sub = command("trust", _trust, "pin the root metadata of a repository, or show it")
    sub.add_argument("root", nargs="?", help="root.json, or - for stdin")
    sub.add_argument("--replace", action="store_true", help="give up the root pinned so far")


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    text = "a table of all devices, read from the MQTT broker"
    sub = commands.add_parser("status", help=text, description=text)
    sub.set_defaults(run_updates=_fleet_status, on_device=False)
    sub.add_argument("--broker", required=True, metavar="HOST[:PORT]")
    sub.add_argument("--prefix", default="earwitness", help="of the topics (default: earwitness)")
    sub.add_argument("--username", help=f"its password is read from {PASSWORD_VARIABLE}")
    sub.add_argument("--tls", action="store_true", help="encrypt (port 8883)")
    sub.add_argument("--wait-s", type=float, default=2.0, help="collect this long (default: 2)")
    sub.add_argument("--json", action="store_true", help="print a JSON array")


def _print(args: argparse.Namespace, document: Any, text: str) -> None:
    print(json.dumps(document) if args.json else text)


def _install(args: argparse.Namespace, device: Device) -> int:
    return _do_install(args, device, args.source, by_hand=True, forgive=args.forgive)


def _pull(args: argparse.Namespace, device: Device) -> int:
    url = device.updates.url
    if url is None:
        raise UpdateError("No repository is configured to pull from; set updates.url or --url.")
    return _do_install(args, device, url, by_hand=False, forgive=False)


def _do_install(
    args: argparse.Namespace, device: Device, source: str, *, by_hand: bool, forgive: bool
) -> int:
    from edge.updates.install import Request, install

    request = Request(
        source,
        by_hand=by_hand,
        forgive=forgive,
        variant=device.variant,
        hop_s=device.hop_s,
        handle=args.handle,
        check_fit=device.check_fit,
    )
    try:
        outcome = install(request, device.updates)
    except UpdateError as error:
        if not args.json:
            raise
        current = ReleaseStore(device.updates.store).current()
        print(json.dumps({"ok": False, "release": current, "message": str(error)}))
        return 1
    answer = {"ok": True, "release": outcome.release, "message": outcome.message}
    _print(args, answer, outcome.message)
    return 0


def _push(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.archive import newest_files, pack
    from edge.updates.fleet import table
    from edge.updates.push import PushSettings, push

    if not args.timeout_s > 0:
        raise UpdateError(f"--timeout-s {args.timeout_s:g} leaves the devices no time.")
    how = PushSettings(
        ssh=_words("--ssh", args.ssh),
        remote=_words("--remote", args.remote),
        timeout_s=args.timeout_s,
    )
    with tempfile.TemporaryDirectory() as folder:
        archive = args.bundle
        if archive.is_dir():
            _, names = newest_files(archive)
            archive = Path(folder) / "bundle"
            with open(archive, "wb") as file:
                pack(args.bundle, names, file)
        outcomes = push(archive, args.hosts, how)
    rows = [asdict(outcome) for outcome in outcomes]
    _print(args, rows, table(rows, ("host", "ok", "release", "message")))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _list(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.fleet import table

    store = ReleaseStore(device.updates.store)
    current, previous, state = store.current(), store.previous(), store.state()
    pending = store.pending()
    rows = []
    for name in store.releases():
        marks = [
            "current" if name == current else "",
            "on trial" if pending and pending.release == name else "",
            "previous" if name == previous else "",
            "quarantined" if name in state.quarantine else "",
        ]
        version = name.split("-")[0]
        rows.append({"version": version, "release": name, "state": ", ".join(filter(None, marks))})
    empty = "No model is installed; the built-in one is in use."
    _print(args, rows, table(rows, ("version", "release", "state")) if rows else empty)
    return 0


def _use(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.choice import use

    message = use(device.updates, args.version, time.time(), device.check_fit)
    _print(args, {"ok": True, "message": message}, message)
    return 0


def _rollback(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.choice import roll_back

    message = roll_back(device.updates, args.reason, time.time())
    _print(args, {"ok": True, "message": message}, message)
    return 0


def _verify(args: argparse.Namespace, device: Device) -> int:
    store = ReleaseStore(device.updates.store)
    names = [store.find(args.version)] if args.version else store.releases()
    damaged = {}
    for name in names:
        try:
            store.verify(name)
        except BundleError as error:
            damaged[name] = str(error)
    lines = [f"{name}: {damaged.get(name, 'whole')}" for name in names]
    answer = {"ok": not damaged, "whole": [n for n in names if n not in damaged]}
    _print(args, {**answer, "damaged": damaged}, "\n".join(lines) or "No model is installed.")
    return 1 if damaged else 0


def _status(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.choice import status

    document = status(device.updates)
    lines = []
    for key, value in document.items():
        if key == "quarantine":
            lines += [f"quarantined  {name}: {reason}" for name, reason in value.items()]
        elif key == "error_at_s":
            if value is not None:
                age_h = (time.time() - value) / HOUR_S
                lines.append(f"{'':12} {age_h:.1f} h ago")
        else:
            lines.append(f"{key:12} {'-' if value is None else value}")
    _print(args, document, "\n".join(lines))
    return 0


def _trust(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.client import describe_root
    from edge.updates.install import pin_root, pinned_root

    store = ReleaseStore(device.updates.store)
    if args.content is None:
        text = describe_root(pinned_root(store))
    else:
        text = pin_root(store, args.content, replace=args.replace)
    _print(args, {"ok": True, "root": text}, f"Trusted: {text}.")
    return 0


def _read(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UpdateError(f"{source} cannot be read ({error.strerror}).") from None


def _fleet_status(args: argparse.Namespace, device: Device) -> int:
    from edge.updates.fleet import Broker, read_fleet, table

    host, port = _address(args.broker, 8883 if args.tls else 1883)
    statuses = read_fleet(
        Broker(
            host,
            port,
            args.prefix,
            args.username,
            os.environ.get(PASSWORD_VARIABLE),
            args.tls,
            args.wait_s,
        )
    )
    empty = f"No device has reported under {args.prefix}/+/model."
    _print(args, statuses, table(statuses) if statuses else empty)
    return 0


def _words(option: str, text: str) -> list[str]:
    """A command as a shell would cut it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UpdateError(f"{option} {text!r} is no command ({error}).") from None
    if not words:
        raise UpdateError(f"{option} is empty; give a command.")
    return words


def _address(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.netloc == text:
            return parts.hostname, parts.port or default_port
    except ValueError:
        pass  # told below: a port that is no number
    raise UpdateError(f"{text!r} is no broker; give HOST or HOST:PORT.")
