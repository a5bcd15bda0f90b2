"""Where pip and npm put the packages whose weights an engine reads."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from training.engines import EngineMissing


def package_file(package: str, ending: str) -> Path:
    """A file that a PyPI package installed.

    Raises:
        EngineMissing: the package, or the file in it, is not there.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise EngineMissing(
            f"{package} is not installed; pip install --no-deps {package}"
        ) from error
    for file in files:
        if str(file).endswith(ending):
            return Path(str(file.locate())).resolve()
    raise EngineMissing(f"{package} holds no file that ends in {ending}")


def npm_folder(package: str, install: str) -> Path:
    """Folder of an npm package, sought as Node does: here, then in the folders of NODE_PATH.

    Args:
        package: its name.
        install: command that brings the version that is known to work.

    Raises:
        EngineMissing: the package is not there.
    """
    elsewhere = os.environ.get("NODE_PATH", "").split(os.pathsep)
    for folder in [Path("node_modules"), *map(Path, filter(None, elsewhere))]:
        if (folder / package / "package.json").is_file():
            return (folder / package).resolve()
    raise EngineMissing(
        f"{package} is neither in ./node_modules nor in a folder of $NODE_PATH; {install}"
    )
