"""Passwords and secrets from files, never from the command line or the configuration itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from edge.errors import ConfigError

MAX_BYTES = 64 * 1024


def credential_path(name: str, environment: Mapping[str, str]) -> Path:
    """The file that a setting names.

    Args:
        name: an absolute path, or the bare name of a systemd credential
            (`LoadCredential=NAME:PATH`; systemd.exec(5), CREDENTIALS).
        environment: the process's, for $CREDENTIALS_DIRECTORY.

    Raises:
        ConfigError: the name is relative and systemd passed no credentials.
    """
    path = Path(name)
    if path.is_absolute():
        return path
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ConfigError(
            f"The credential {name!r} is not an absolute path and systemd passed no credentials; "
            f"write the whole path, or add LoadCredential={name}:/path/to/file to the unit."
        )
    return Path(directory) / name


def read_credential(name: str, environment: Mapping[str, str]) -> str:
    """The secret in a file, without the line break at its end.

    Raises:
        ConfigError: the file is missing, unreadable, empty, too large or not text.
    """
    path = credential_path(name, environment)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        secret = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError(
            f"The credential file {path} cannot be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The credential file {path} does not hold UTF-8 text.") from error
    if not secret or len(content) > MAX_BYTES:
        size = "is empty" if not secret else f"is larger than {MAX_BYTES} bytes"
        raise ConfigError(f"The credential file {path} {size}.")
    return secret


def optional_credential(name: str, environment: Mapping[str, str]) -> str:
    """The secret that a setting names, or nothing if the setting is empty."""
    return read_credential(name, environment) if name else ""


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Certificates to trust: the system's, or those of a file.

    Raises:
        ConfigError: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(
            f"The certificates in {ca_file} cannot be used: {error.strerror or error}."
        ) from error
