"""A device has one name, and it does not show the machine's own."""

from __future__ import annotations

from edge.identity import device_id

MACHINE_ID = "0123456789abcdef0123456789abcdef\n"


def test_the_name_is_derived_from_the_machine_and_does_not_show_its_id(tmp_path):
    path = tmp_path / "machine-id"
    path.write_text(MACHINE_ID)
    name = device_id(None, path)
    assert len(name) == 12 and name not in MACHINE_ID
    assert device_id("", path) == name
    path.write_text(MACHINE_ID[::-1])
    assert device_id(None, path) != name


def test_the_owner_may_name_it(tmp_path):
    assert device_id("hall", tmp_path / "absent") == "hall"


def test_a_container_without_a_machine_id_is_named_after_its_host(tmp_path):
    (tmp_path / "empty").write_text("")
    names = {device_id(None, tmp_path / name) for name in ("absent", "empty")}
    assert len(names) == 1 and len(names.pop()) == 12
