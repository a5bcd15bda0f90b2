"""A bundle is used only when all its parts agree; otherwise a sentence says which do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import MANIFEST, Manifest, ModelBundle, machine, read_manifest
from edge.errors import BundleError
from tests.bundles import list_files, load_tiny, tiny_bundle
from tests.patience import repeated


def edit_manifest(folder: Path, edit: Any) -> Path:
    """Change a bundle's manifest as JSON."""
    path = folder / MANIFEST
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return folder


def refusal(folder: Path, variant: str | None = None) -> str:
    """The sentence with which a bundle is refused: one line, and it names the bundle."""
    with pytest.raises(BundleError) as caught:
        ModelBundle.load(folder, variant)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    assert str(folder) in sentence
    return sentence


def test_a_valid_bundle_gives_its_default_variant(tmp_path):
    bundle = load_tiny(tmp_path / "b", variants=("int8", "float32"))
    assert bundle.variant == "int8"
    assert bundle.model == (tmp_path / "b" / "model.int8.tflite").read_bytes()
    assert bundle.golden == bundle.golden_path.read_bytes()
    assert bundle.variant_entry.file == "model.int8.tflite"


def test_a_machine_gets_the_form_that_costs_less_there(tmp_path):
    changes = {"machine_variants": {machine(): "int8", "another": "float32"}}
    folder = tiny_bundle(tmp_path / "b", variants=("float32", "int8"), **changes)
    assert ModelBundle.load(folder).variant == "int8"
    assert ModelBundle.load(folder, "float32").variant == "float32"


@pytest.mark.parametrize(
    ("name", "bits", "found"),
    [("aarch64", 64, "aarch64"), ("aarch64", 32, "arm32"), ("armv7l", 32, "arm32"),
     ("x86_64", 64, "x86_64")],
)  # fmt: skip
def test_a_32_bit_system_on_a_64_bit_kernel_is_known(name, bits, found):
    assert machine(name, bits) == found


def test_another_variant_is_loaded_when_it_is_named(tmp_path):
    folder = tiny_bundle(tmp_path / "b", variants=("float32", "int8"))
    bundle = ModelBundle.load(str(folder), "int8")
    assert bundle.model == (folder / "model.int8.tflite").read_bytes()


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    folder = tiny_bundle(tmp_path / "b", variants=("float32", "int8"))
    assert "no variant 'dynamic'; it has float32, int8" in refusal(folder, "dynamic")


def test_a_manifest_survives_being_written_and_read(tmp_path):
    manifest = load_tiny(tmp_path / "b").manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    assert "is not a model bundle: it has no manifest.json" in refusal(tmp_path)


def test_a_folder_that_does_not_exist_is_no_bundle(tmp_path):
    assert "is not a model bundle" in refusal(tmp_path / "nowhere")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "b").write_text("")
    assert "cannot be read" in refusal(tmp_path / "b")


@pytest.mark.parametrize("name", ["model.float32.tflite", "golden.wav", "CARD.md"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = tiny_bundle(tmp_path / "b")
    (folder / name).unlink()
    assert f"lacks '{name}'" in refusal(folder)


@pytest.mark.parametrize("name", ["model.float32.tflite", "golden.wav", "CARD.md"])
def test_a_file_of_another_length_is_named(tmp_path, name):
    folder = tiny_bundle(tmp_path / "b")
    with (folder / name).open("ab") as file:
        file.write(b"x")
    assert f"{name} has " in refusal(folder)


@pytest.mark.parametrize("name", ["model.float32.tflite", "golden.wav", "CARD.md"])
def test_a_changed_byte_is_seen_in_every_file(tmp_path, name):
    folder = tiny_bundle(tmp_path / "b")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name} differs from the SHA-256" in refusal(folder)


def test_a_file_that_the_manifest_does_not_list_is_refused(tmp_path):
    folder = tiny_bundle(tmp_path / "b")
    (folder / "extra.txt").write_text("x")
    assert "'extra.txt', which its manifest does not list" in refusal(folder)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    folder = tiny_bundle(tmp_path / "b")
    (folder / "CARD.md").unlink()
    (folder / "CARD.md").mkdir()
    assert "CARD.md" in refusal(folder)


def test_another_front_end_is_refused_by_its_fingerprint(tmp_path):
    folder = tiny_bundle(tmp_path / "b", front_end_fingerprint="0" * 64)
    assert "was made for another front end (fingerprint 000000000000" in refusal(folder)


def test_front_end_settings_that_were_edited_no_longer_match_the_fingerprint(tmp_path):
    folder = tiny_bundle(tmp_path / "b")
    edit_manifest(folder, lambda d: d["front_end"].update(normalisation="none"))
    assert "another front end" in refusal(folder)


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    folder = tiny_bundle(tmp_path / "b")
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(folder)


def test_a_manifest_that_is_too_large_is_not_even_read(tmp_path):
    folder = tiny_bundle(tmp_path / "b")
    (folder / MANIFEST).write_text(" " * (2**20 + 1))
    assert "too large to be a manifest" in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '"x"', "{}"])
def test_json_that_is_no_manifest_is_refused(tmp_path, text):
    folder = tiny_bundle(tmp_path / "b")
    (folder / MANIFEST).write_text(text)
    assert "is not a valid manifest" in refusal(folder)


WRONG = {
    "format": ({"format": 2}, "format is 2; this version reads 1"),
    "format kind": ({"format": True}, "format is bool"),
    "unknown field": ({"surprise": 1}, "unknown or missing fields: surprise"),
    "version": ({"version": "1.0"}, "version '1.0' is not of the form 1.2.3"),
    "version kind": ({"version": 1}, "version is int, not str"),
    "padding": ({"padding": "mirror"}, "padding 'mirror' is not one of repeat, zero"),
    "hop of zero": ({"hop_s": 0}, "hop_s 0 must be above 0"),
    "hop beyond the window": ({"hop_s": 5.1}, "hop_s 5.1 must be above 0 and at most one window"),
    "hop that is no number": ({"hop_s": float("nan")}, "hop_s nan"),
    "window too short": ({"window_samples": 16000, "hop_s": 0.5, "front_end": "long"},
                         "is shorter than one frame"),
    "window kind": ({"window_samples": 80000.5}, "window_samples is float, not int"),
    "no variants": ({"variants": {}}, "variants"),
    "strange variant": ({"variants": {"float8": {"file": "golden.wav", "golden_logit": 0.0,
                                                 "golden_tolerance": 1.0}}},
                        "['float8'] are not among"),
    "default": ({"default_variant": "int8"}, "default_variant 'int8' is not in variants"),
    "machine": ({"machine_variants": {"arm32": "int8"}}, "machine_variants.arm32 'int8' is not"),
    "machine kind": ({"machine_variants": {"arm32": []}}, "machine_variants.arm32 is list"),
    "golden file": ({"golden_file": "other.wav"}, "'other.wav' is not listed in files"),
    "files kind": ({"files": []}, "files is list, not an object"),
    "metrics kind": ({"metrics": 1}, "metrics is int, not dict"),
    "calibration": ({"calibration": {"scale": -1, "offset": 0}}, "scale -1"),
    "calibration field": ({"calibration": {"scale": 1}}, "calibration has unknown or missing"),
    "threshold": ({"operating_point": {"threshold": 1.5, "false_positive_rate": 0,
                                       "false_negative_rate": 0, "chosen_on": ""}},
                  "operating point 1.5"),
    "front end": ({"front_end": {}}, "front-end settings unknown to this version or missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_manifest_that_makes_no_sense_is_refused_with_the_field(tmp_path, case):
    changes, expected = WRONG[case]
    folder = tiny_bundle(tmp_path / "b")

    def edit(document: dict[str, Any]) -> None:
        if changes.get("front_end") == "long":
            document["front_end"]["n_fft"] = 32768
            document.update({**changes, "front_end": document["front_end"]})
        else:
            document.update(changes)

    sentence = refusal(edit_manifest(folder, edit))
    assert "is not a valid manifest" in sentence and expected in sentence


@pytest.mark.parametrize(
    ("front_end", "window_samples", "expected"),
    [
        ({"tones": "yes"}, 80000, "front_end.tones is str, not bool"),
        ({"tones": True}, 15999, "too short for tones, which needs 16000"),
        ({"modulation": True}, 7999, "too short for modulation, which needs 8000"),
    ],
)
def test_a_cue_that_cannot_be_heard_is_refused(tmp_path, front_end, window_samples, expected):
    folder = tiny_bundle(tmp_path / "b")

    def edit(document: dict[str, Any]) -> None:
        document["front_end"].update(front_end)
        document.update(window_samples=window_samples, hop_s=0.4)

    sentence = refusal(edit_manifest(folder, edit))
    assert "is not a valid manifest" in sentence and expected in sentence


@pytest.mark.parametrize(
    ("field", "value"),
    [("golden_logit", 1e999), ("golden_tolerance", 1e999), ("golden_tolerance", 0.0),
     ("golden_tolerance", float("nan")), ("golden_logit", "0")],
)
def test_a_golden_score_that_would_let_anything_pass_is_refused(tmp_path, field, value):
    folder = tiny_bundle(tmp_path / "b")
    edit_manifest(folder, lambda d: d["variants"]["float32"].update({field: value}))
    assert field in refusal(folder)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "a/b", ".hidden", MANIFEST, "", "-"])
def test_a_file_name_that_leads_elsewhere_is_refused(tmp_path, name):
    folder = tiny_bundle(tmp_path / "b")
    entry = {"sha256": "0" * 64, "bytes": 1}
    edit_manifest(folder, lambda d: d["files"].update({name: entry}))
    assert "is not a name for a file of a bundle" in refusal(folder)


def test_a_manifest_may_be_read_alone(tmp_path):
    folder = tiny_bundle(tmp_path / "b", version="3.2.1")
    assert read_manifest(folder).version == "3.2.1"


def mutate(contents: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    """The same files with one accident: bytes changed, cut, doubled, gone, swapped or added."""
    changed = dict(contents)
    name = str(rng.choice(sorted(contents)))
    content = bytearray(contents[name])
    at = int(rng.integers(len(content)))
    kind = rng.integers(7)
    if kind in (0, 1):
        for place in rng.integers(0, len(content), rng.integers(1, 9)):
            content[place] = rng.integers(256)
        changed[name] = bytes(content)
    elif kind == 2:
        changed[name] = bytes(content[:at])
    elif kind == 3:
        changed[name] = bytes(content[:at] + content[at : at + 64] + content[at:])
    elif kind == 4:
        del changed[name]
    elif kind == 5:
        other = str(rng.choice(sorted(contents)))
        changed[name], changed[other] = contents[other], contents[name]
    else:
        changed[f"{name}.{at}"] = bytes(content[:at])
    return changed


@repeated(brief=60, full=1000)
def test_no_mutated_bundle_is_used_for_another_than_it_was(tmp_path, count):
    """Only the manifest may change unseen (updates are signed for that), and only in its words."""
    folder = tiny_bundle(tmp_path / "b", variants=("float32", "int8"))
    original = {path.name: path.read_bytes() for path in folder.iterdir()}
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(count):
        mutated = mutate(original, rng)
        shutil.rmtree(folder)
        folder.mkdir()
        for name, content in mutated.items():
            (folder / name).write_bytes(content)
        try:
            bundle = ModelBundle.load(folder)
        except BundleError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            files = {name: content for name, content in mutated.items() if name != MANIFEST}
            assert files == {n: c for n, c in original.items() if n != MANIFEST}
            assert bundle.manifest.files == list_files(folder)
            assert bundle.model == original[bundle.variant_entry.file]
    assert refused > count * 0.8
