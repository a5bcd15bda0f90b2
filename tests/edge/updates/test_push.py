"""Pushing by ssh through a real sshd on loopback."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from edge.errors import UpdateError
from edge.updates.push import PushSettings, push
from tests.edge.updates.services import Sshd
from tests.processes import free_port

DEVICE = Path(__file__).with_name("earwitness.py")


@pytest.fixture
def sshd(tmp_path):
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder).serving() as server:
        yield server


@pytest.fixture
def how(world, sshd) -> PushSettings:
    words = (sys.executable, str(DEVICE), str(world.settings.store))
    return PushSettings(sshd.ssh, tuple(map(shlex.quote, words)))


def test_a_pushed_model_is_proven_and_current(world, sshd, how):
    world.publish("1.0.0")
    (outcome,) = push(world.export(), [sshd.host], how)
    assert outcome.ok, outcome.message
    assert outcome.release == world.store.current() and "proven" in outcome.message
    (again,) = push(world.export(), [sshd.host], how)
    assert again.ok and "current already" in again.message


def test_ssh_is_transport_and_never_trust(world, sshd, how):
    world.publish("1.0.0")
    archive = world.export()
    content = bytearray(archive.read_bytes())
    at = content.find(b"A network for tests")
    content[at] ^= 1
    archive.write_bytes(content)
    (outcome,) = push(archive, [sshd.host], how)
    assert not outcome.ok and "refused" in outcome.message and world.store.current() is None


def test_a_signed_but_bad_model_is_not_activated(world, sshd, how):
    world.publish("1.0.0")
    world.install()
    before = world.store.current()
    world.publish("1.1.0", "slow")
    (outcome,) = push(world.export(), [sshd.host], how)
    assert not outcome.ok and "CPU time" in outcome.message
    assert outcome.release == world.store.current() == before
    assert len(world.store.state().quarantine) == 1


def test_many_hosts_have_an_outcome_each_in_their_order(world, sshd, how):
    world.publish("1.0.0")
    hosts = ["nobody@no-such-host.invalid", sshd.host, "root@127.0.0.2"]
    outcomes = push(world.export(), hosts, how)
    assert [outcome.host for outcome in outcomes] == hosts
    assert [outcome.ok for outcome in outcomes] == [False, True, False]
    assert "resolve" in outcomes[0].message and "refused" in outcomes[2].message


def test_a_device_that_never_answers_is_given_up(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    how = PushSettings(ssh=("sh", "-c", "sleep 60"), timeout_s=0.2)
    (outcome,) = push(tmp_path / "a", ["pi"], how)
    assert not outcome.ok and "no answer within 0.2 s" in outcome.message


def test_a_device_that_does_not_listen_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    ssh = ("ssh", "-F", "none", "-p", str(free_port()))
    (outcome,) = push(tmp_path / "a", ["root@127.0.0.1"], PushSettings(ssh=ssh))
    assert not outcome.ok and "refused" in outcome.message


def test_a_missing_ssh_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (outcome,) = push(tmp_path / "a", ["pi"], PushSettings(ssh=("no-such-ssh",)))
    assert not outcome.ok and "no-such-ssh cannot be run" in outcome.message


@pytest.mark.parametrize("host", ["-oProxyCommand=touch /tmp/x", "", " "])
def test_a_host_that_is_an_option_is_refused(tmp_path, host):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(UpdateError, match="no host"):
        push(tmp_path / "a", [host], PushSettings())


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(UpdateError, match="cannot be read"):
        push(tmp_path / "none", ["pi"], PushSettings())
