"""The publisher's side: keys, versions, rollout, rotation, and the commands."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from tuf.api.metadata import Metadata

from convert.repo import FLEET, SINGLE, KeyPlan, KeyRing, ModelRepository
from convert.repo_cli import main
from edge.errors import BundleError, UpdateError
from edge.updates.archive import unpack
from tests.edge.updates.bundles import write_bundle

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def repo(tmp_path):
    repo = ModelRepository(tmp_path / "repo", KeyRing([tmp_path / "keys"]), NOW)
    repo.init(SINGLE)
    return repo


def test_a_new_repository_is_signed_as_planned(tmp_path):
    repo = ModelRepository(tmp_path / "repo", KeyRing([tmp_path / "keys"]), NOW)
    repo.init(FLEET)
    roles = repo.status()["roles"]
    assert (len(roles["root"]["keys"]), roles["root"]["threshold"]) == (3, 2)
    assert roles["snapshot"]["keys"] == roles["timestamp"]["keys"]
    assert roles["timestamp"]["days_left"] == 14
    assert len(list((tmp_path / "keys").glob("*.pem"))) == 6


def test_a_second_init_changes_nothing(repo, tmp_path):
    before = (tmp_path / "repo/root.json").read_bytes()
    with pytest.raises(UpdateError, match="holds a repository already"):
        repo.init(SINGLE)
    assert (tmp_path / "repo/root.json").read_bytes() == before


def test_an_impossible_threshold_is_refused():
    with pytest.raises(UpdateError, match="threshold of 3"):
        KeyPlan(2, 3)


def test_published_files_are_the_bundle_s_under_their_digests(repo, tmp_path):
    bundle = write_bundle(tmp_path / "b", "1.2.3")
    assert repo.publish(bundle) == "1.2.3"
    published = {
        path.name.split(".", 1)[1]: path.read_bytes()
        for path in (tmp_path / "repo/targets/tiny/1.2.3").iterdir()
    }
    assert published == {path.name: path.read_bytes() for path in bundle.iterdir()}


@pytest.mark.parametrize("version", ["1.2.3", "1.2.2", "0.9.9"])
def test_versions_only_go_up(repo, tmp_path, version):
    repo.publish(write_bundle(tmp_path / "a", "1.2.3"))
    with pytest.raises(UpdateError, match="devices only go up"):
        repo.publish(write_bundle(tmp_path / "b", version))
    assert [offer.version for offer in repo.offers()] == ["1.2.3"]


def test_versions_go_up_even_after_the_newest_was_taken_off_the_offer(repo, tmp_path):
    repo.publish(write_bundle(tmp_path / "a", "1.0.0"))
    repo.publish(write_bundle(tmp_path / "b", "1.1.0"), keep=1)
    assert [offer.version for offer in repo.offers()] == ["1.1.0"]
    assert not list((tmp_path / "repo/targets/tiny/1.0.0").glob("*"))
    with pytest.raises(UpdateError, match="only go up"):
        repo.publish(write_bundle(tmp_path / "c", "1.0.5"))


def test_an_old_model_can_be_published_under_a_new_version(repo, tmp_path):
    bundle = write_bundle(tmp_path / "a", "1.0.0")
    repo.publish(bundle)
    assert repo.publish(bundle, as_version="1.1.0") == "1.1.0"
    with pytest.raises(BundleError, match="not of the form"):
        repo.publish(bundle, as_version="newer")


def test_a_damaged_bundle_is_not_published(repo, tmp_path):
    bundle = write_bundle(tmp_path / "a")
    (bundle / "CARD.md").write_text("x")
    with pytest.raises(BundleError):
        repo.publish(bundle)
    assert repo.offers() == ()


def test_rollout_grows_and_pauses_with_the_same_salt(repo, tmp_path):
    repo.publish(write_bundle(tmp_path / "a", "1.0.0"), rollout_percent=10)
    salt = repo.offers()[0].salt
    for percent in (50, 0, 100):
        repo.set_rollout("1.0.0", percent)
        assert (repo.offers()[0].rollout_percent, repo.offers()[0].salt) == (percent, salt)
    with pytest.raises(UpdateError, match="101 %"):
        repo.set_rollout("1.0.0", 101)
    with pytest.raises(UpdateError, match="nor a version on offer"):
        repo.set_rollout("7.0.0", 50)


def test_a_missing_key_is_named_and_nothing_is_half_written(repo, tmp_path):
    key = next((tmp_path / "keys").glob("online-*.pem"))
    key.rename(tmp_path / "elsewhere.pem")
    before = {p: p.read_bytes() for p in (tmp_path / "repo/metadata").iterdir()}
    with pytest.raises(UpdateError, match="Signing snapshot needs 1 of its 1 keys"):
        repo.publish(write_bundle(tmp_path / "a"))
    assert {p: p.read_bytes() for p in (tmp_path / "repo/metadata").iterdir()} == before


def test_refreshing_needs_the_online_key_only(repo, tmp_path):
    for path in (tmp_path / "keys").glob("*.pem"):
        if not path.name.startswith("online"):
            path.unlink()
    before = repo.status()["roles"]
    ModelRepository(repo.folder, KeyRing([tmp_path / "keys"])).refresh()
    after = repo.status()["roles"]
    assert after["timestamp"]["version"] == before["timestamp"]["version"] + 1
    assert after["timestamp"]["expires"] > before["timestamp"]["expires"]
    assert after["targets"] == before["targets"]


@pytest.mark.parametrize("group", ["root", "targets", "online"])
def test_a_rotated_key_signs_and_the_old_one_does_not(repo, tmp_path, group):
    repo.publish(write_bundle(tmp_path / "a", "1.0.0"))
    old, new = repo.rotate_key(group)
    role = "timestamp" if group == "online" else group
    assert repo.status()["roles"][role]["keys"] == [new[:12]]
    assert list((tmp_path / "keys").glob(f"*{old[:12]}.retired"))
    repo.publish(write_bundle(tmp_path / "b", "1.1.0"))


def test_which_of_several_keys_must_be_said(tmp_path):
    repo = ModelRepository(tmp_path / "repo", KeyRing([tmp_path / "keys"]), NOW)
    repo.init(FLEET)
    with pytest.raises(UpdateError, match="Say which root key"):
        repo.rotate_key("root")


def test_a_root_is_signed_by_the_keys_before_and_after(tmp_path):
    repo = ModelRepository(tmp_path / "repo", KeyRing([tmp_path / "keys"]), NOW)
    repo.init(FLEET)
    first = Metadata.from_file(str(tmp_path / "repo/metadata/1.root.json"))
    old, new = repo.rotate_key("root", first.signed.roles["root"].keyids[0])
    second = Metadata.from_file(str(tmp_path / "repo/metadata/2.root.json"))
    for root in (first, second):
        root.signed.verify_delegate("root", second.signed_bytes, second.signatures)
    assert {old, new} <= set(second.signatures)


def test_keys_may_lie_in_several_folders_and_under_a_password(tmp_path):
    ring = KeyRing([tmp_path / "keys"], b"secret")
    ModelRepository(tmp_path / "repo", ring, NOW).init(SINGLE)
    (tmp_path / "stick").mkdir()
    for path in (tmp_path / "keys").glob("targets-*"):
        assert b"ENCRYPTED" in path.read_bytes()
        path.rename(tmp_path / "stick" / path.name)
    both = KeyRing([tmp_path / "keys", tmp_path / "stick"], b"secret")
    ModelRepository(tmp_path / "repo", both, NOW).publish(write_bundle(tmp_path / "a"))
    wrong = KeyRing([tmp_path / "keys"], b"guess")
    with pytest.raises(UpdateError, match="cannot be opened"):
        ModelRepository(tmp_path / "repo", wrong, NOW).refresh()


def test_timestamps_of_one_second_have_different_modification_times(repo):
    path = repo.folder / "metadata/timestamp.json"
    times = []
    for _ in range(3):
        repo.refresh()
        times.append(int(path.stat().st_mtime))
    assert len(set(times)) == 3


def test_the_export_holds_one_model_and_all_roots(repo, tmp_path):
    repo.publish(write_bundle(tmp_path / "a", "1.0.0"))
    repo.publish(write_bundle(tmp_path / "b", "1.1.0"))
    repo.rotate_key("root")
    assert repo.export(tmp_path / "x.earwitness") == "1.1.0"
    (tmp_path / "out").mkdir()
    with open(tmp_path / "x.earwitness", "rb") as file:
        unpack(file, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out/targets/tiny").iterdir()} == {"1.1.0"}
    assert {"1.root.json", "2.root.json"} <= {p.name for p in (tmp_path / "out/metadata").iterdir()}


def test_the_commands_from_keygen_to_export(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "bundle", "1.0.0")

    def run(*arguments) -> str:
        assert main([str(a) for a in arguments]) == 0
        return capsys.readouterr().out

    assert "model trust root.json" in run("keygen", "models")
    assert "1.0.0 is on offer to 20 %" in run("publish", "models", "bundle", "--rollout", 20)
    assert "0 %" in run("publish", "models", "1.0.0", "--rollout", 0)
    run("publish", "models", "bundle", "--as-version", "1.0.1", "--no-proof")
    run("refresh", "models")
    run("rotate-key", "models", "online")
    offers = json.loads(run("status", "models", "--json"))["offers"]
    assert [(o["version"], o["rollout_percent"]) for o in offers] == [("1.0.0", 0), ("1.0.1", 100)]
    assert "(paused)" in run("status", "models")
    assert "tiny-1.0.1.earwitness holds 1.0.1" in run("export", "models")
    assert (tmp_path / "tiny-1.0.1.earwitness").stat().st_size > 5000


def test_publishing_proves_the_bundle_first(tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle", golden_offset=1.0)
    assert main(["keygen", str(tmp_path / "models")]) == 0
    assert main(["publish", str(tmp_path / "models"), str(bundle)]) == 1
    assert "golden clip scores" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["status"], ["publish", "1.0.0"], ["refresh"], ["export"], ["rotate-key", "root"]]
)
def test_without_a_repository_every_command_says_so(tmp_path, capsys, arguments):
    command, *rest = arguments
    assert main([command, str(tmp_path / "none"), *rest]) == 1
    error = capsys.readouterr().err
    assert error.startswith("earwitness-convert: ") and "Traceback" not in error
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["publish", "models", "bundel"], "bundel is not the folder of a bundle"),
        (["publish", "models", "bundel", "--rollout", "50"], "nor a version on offer"),
        (["publish", "models", "bundle", "--rollout", "101"], "A rollout of 101 %"),
        (["publish", "models", "bundle", "--keep", "0"], "withdraws the new one"),
        (["publish", "models", "bundle", "--as-version", "one"], "not of the form 1.2.3"),
        (["publish", "models", "bundle", "--keys", "elsewhere"], "Signing targets needs 1"),
        (["publish", "models", "."], "has no manifest.json"),
        (["export", "models", "nowhere/x"], "offers no model"),
        (["rotate-key", "models", "root", "--key", "zz"], "Say which root key"),
        (["init", "other", "--online-days", "0"], "at least 1 day"),
        (["init", "other", "--root-keys", "1"], "A threshold of 2 does not fit 1 keys"),
        (["keygen", "bundle/manifest.json/x"], "Not a directory"),
        (["keygen", "models"], "nothing was changed"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    tmp_path, capsys, monkeypatch, arguments, says
):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "bundle", "1.0.0")
    assert main(["keygen", "models"]) == 0
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("earwitness-convert: ") and error.count("\n") == 1 and says in error
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_metadata_is_named(tmp_path, capsys):
    assert main(["keygen", str(tmp_path / "models")]) == 0
    (tmp_path / "models/metadata/1.targets.json").write_text("{")
    assert main(["status", str(tmp_path / "models")]) == 1
    assert "1.targets.json cannot be read" in capsys.readouterr().err
