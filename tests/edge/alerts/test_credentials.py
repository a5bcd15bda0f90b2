"""Secrets from files and from systemd."""

from __future__ import annotations

import pytest

from edge.alerts.credentials import read_credential
from edge.errors import ConfigError


def test_a_bare_name_is_a_systemd_credential_and_a_path_is_a_file(tmp_path):
    (tmp_path / "mqtt").write_text("s3cret \n")
    assert read_credential("mqtt", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "s3cret "
    assert read_credential(str(tmp_path / "mqtt"), {}) == "s3cret "


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "UTF-8"), (b"x" * 100_000, "larger")],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path, content, sentence):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        read_credential(str(tmp_path / "secret"), {})


def test_a_name_without_systemd_and_a_missing_file_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="LoadCredential=mqtt:"):
        read_credential("mqtt", {})
    with pytest.raises(ConfigError, match="No such file"):
        read_credential(str(tmp_path / "none"), {})
