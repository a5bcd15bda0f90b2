"""`earwitness-convert repo ...`: parse, build, call."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.bundle import ModelBundle
from edge.errors import UpdateError
from training.program import run_program

PASSWORD_VARIABLE = "EARWITNESS_KEY_PASSWORD"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (see `run_program`)."""
    arguments = _parser().parse_args(argv)
    return run_program("earwitness-convert", lambda: int(arguments.run_repo(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="earwitness-convert repo", description="Keep a signed repository of models."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = subparsers.add_parser(name, help=text, description=text)
        sub.set_defaults(run_repo=run)
        sub.add_argument("repository", type=Path)
        sub.add_argument(
            "--keys",
            type=Path,
            action="append",
            help="folder of private keys, may be repeated (default: REPOSITORY-keys)",
        )
        return sub

    command("keygen", _keygen, "one key per role, valid for years: all that one board needs")
    sub = command("init", _init, "keys with thresholds, offline and online, for a fleet")
    for group, keys, threshold in (("root", 3, 2), ("targets", 2, 1), ("online", 1, 1)):
        sub.add_argument(f"--{group}-keys", type=int, default=keys, metavar="N")
        sub.add_argument(f"--{group}-threshold", type=int, default=threshold, metavar="N")
    for role, days in (("root", 730), ("targets", 365), ("online", 14)):
        sub.add_argument(f"--{role}-days", type=int, default=days, metavar="DAYS")
    sub = command("publish", _publish, "offer a bundle, or change the rollout of a version")
    sub.add_argument("bundle", help="folder of a bundle, or a version that is on offer already")
    sub.add_argument(
        "--rollout", type=int, metavar="PERCENT", help="of the devices (a bundle: 100); 0 = pause"
    )
    sub.add_argument("--as-version", metavar="VERSION", help="publish it under this version")
    sub.add_argument("--keep", type=int, default=5, help="versions that stay on offer")
    sub.add_argument("--no-proof", action="store_true", help="do not try it on this machine first")
    command("refresh", _refresh, "sign anew what expires soon; needs the online key only")
    sub = command("rotate-key", _rotate, "replace a key")
    sub.add_argument("group", choices=("root", "targets", "online"))
    sub.add_argument("--key", help="which one, by the beginning of its id")
    sub = command("status", _status, "roles, expiry, keys and models on offer")
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    sub = command("export", _export, "pack the newest model into one file, to push or carry")
    sub.add_argument("file", type=Path, nargs="?", help="default: NAME-VERSION.earwitness")
    return parser


def _open(args: argparse.Namespace) -> Any:
    try:
        from convert.repo import KeyRing, ModelRepository
    except ImportError as error:
        raise UpdateError(
            f"Signing needs python-tuf and cryptography ({error}); run: "
            "pip install 'earwitness[convert]'."
        ) from error
    password = os.environ.get(PASSWORD_VARIABLE)
    folders = args.keys or [args.repository.with_name(f"{args.repository.name}-keys")]
    ring = KeyRing(folders, password.encode() if password else None)
    return ModelRepository(args.repository, ring)


def _keygen(args: argparse.Namespace) -> int:
    repository = _open(args)
    from convert.repo import SINGLE

    repository.init(SINGLE)
    return _welcome(args)


def _init(args: argparse.Namespace) -> int:
    repository = _open(args)
    from convert.repo import KeyPlan, Plan

    groups = ("root", "targets", "online")
    keys = {
        group: KeyPlan(getattr(args, f"{group}_keys"), getattr(args, f"{group}_threshold"))
        for group in groups
    }
    days = {
        "root": args.root_days,
        "targets": args.targets_days,
        "snapshot": args.online_days,
        "timestamp": args.online_days,
    }
    repository.init(Plan(keys, days))
    return _welcome(args)


def _welcome(args: argparse.Namespace) -> int:
    print(
        f"{args.repository} is ready. Its private keys lie in {_key_folder(args)}: keep them off "
        "every server and device.\n"
        f"On each device, once: earwitness model trust root.json   (from {args.repository})\n"
        f"To publish: earwitness-convert repo publish {args.repository} BUNDLE"
    )
    return 0


def _key_folder(args: argparse.Namespace) -> Path:
    folder: Path = (args.keys or [args.repository.with_name(f"{args.repository.name}-keys")])[0]
    return folder


def _publish(args: argparse.Namespace) -> int:
    repository = _open(args)
    bundle = Path(args.bundle)
    rollout = 100 if args.rollout is None else args.rollout
    if not bundle.is_dir():
        if args.rollout is None:
            raise UpdateError(
                f"{bundle} is not the folder of a bundle; to change how many devices may take a "
                "version that is on offer, give --rollout PERCENT."
            )
        repository.set_rollout(args.bundle, rollout)
        print(f"{args.bundle} is on offer to {rollout} % of the devices.")
        return 0
    ModelBundle.load(bundle)
    if not args.no_proof:
        from edge.updates.proof import ProofSettings, prove

        prove(bundle, ProofSettings())
    version = repository.publish(
        bundle, rollout_percent=rollout, as_version=args.as_version, keep=args.keep
    )
    print(f"{version} is on offer to {rollout} % of the devices.")
    return 0


def _refresh(args: argparse.Namespace) -> int:
    repository = _open(args)
    repository.refresh()
    expires = repository.status()["roles"]["timestamp"]["expires"]
    print(f"{args.repository} is valid until {expires}.")
    return 0


def _rotate(args: argparse.Namespace) -> int:
    old, new = _open(args).rotate_key(args.group, args.key)
    print(f"{args.group}: key {old[:12]} is replaced by {new[:12]}.")
    return 0


def _status(args: argparse.Namespace) -> int:
    status = _open(args).status()
    if args.json:
        print(json.dumps(status, indent=2))
        return 0
    for role, entry in status["roles"].items():
        print(
            f"{role:10} version {entry['version']:<4} until {entry['expires'][:10]} "
            f"({entry['days_left']} days)  {entry['threshold']} of {len(entry['keys'])} keys: "
            f"{', '.join(entry['keys'])}"
        )
    for offer in status["offers"]:
        paused = " (paused)" if offer["rollout_percent"] == 0 else ""
        print(f"{offer['release']}  {offer['rollout_percent']} %{paused}")
    return 0


def _export(args: argparse.Namespace) -> int:
    repository = _open(args)
    offers = repository.offers()
    if not offers:
        raise UpdateError(f"{args.repository} offers no model; publish one first.")
    name = offers[-1].manifest_path.split("/")[0]
    path = args.file or Path(f"{name}-{offers[-1].version}.earwitness")
    version = repository.export(path)
    print(f"{path} holds {version}; earwitness model push {path} USER@HOST")
    return 0


if __name__ == "__main__":
    sys.exit(main())
