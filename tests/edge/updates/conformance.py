"""Our client behind the command line of tuf-conformance (github.com/theupdateframework).

In a checkout of tuf-conformance:

    pip install .            # and Debian: faketime
    pytest tuf_conformance --entrypoint "python .../tests/edge/updates/conformance.py"
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edge.errors import EdgeError
from edge.updates.client import RepositoryClient
from edge.updates.transport import HttpFetcher


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-url")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser.parse_args()


def main() -> int:
    args = parse()
    device = args.metadata_dir.parent / "device"
    if args.command == "init":
        device.mkdir()
        (device / "tuf").symlink_to(args.metadata_dir)
        shutil.copy(args.root, device / "root.json")
        shutil.copy(args.root, args.metadata_dir / "root.json")
        return 0
    fetcher = HttpFetcher(args.metadata_dir / "timestamp.json", device / "poll.json", 60)
    base_url = args.metadata_url.rsplit("/metadata", 1)[0]
    try:
        client = RepositoryClient(device, (device / "root.json").read_bytes(), base_url, fetcher)
        client.refresh()
        for name in args.target_name:
            client.download_target(name, args.target_dir / name.replace("/", "%2F"))
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
