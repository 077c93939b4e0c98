"""What a model source may be, what is refused, and that what is loaded is what was asked for."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from eagleray.errors import EaglerayError, ModelSourceError, UserError
from eagleray.model.load import check_max_length, load_model, load_tokenizer, source_sha256, tokenizer_fingerprint
from tests.support import demo_packages, tiny_models

THREE_LABELS = {"num_labels": 3, "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}


@pytest.fixture(scope="module")
def _encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def encoder(_encoder: Path, tmp_path: Path) -> Path:
    """A directory of its own for each test, to be damaged."""
    return Path(shutil.copytree(_encoder, tmp_path / "encoder"))


def classifier(source: str, **options: Any) -> Any:
    settings = {"dtype": torch.float32, "config_overrides": THREE_LABELS, **options}
    return load_model(AutoModelForSequenceClassification, source=source, **settings)


class TestModel:
    def test_head_and_names_are_the_task_s(self, encoder: Path) -> None:
        model = classifier(str(encoder))

        assert model.classifier.weight.shape == (3, 32)
        assert model.config.id2label == {0: "a", 1: "b", 2: "c"}

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_dtype_is_what_was_asked_for_whatever_the_file_has(self, encoder: Path, dtype: torch.dtype) -> None:
        weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(encoder / "model.safetensors").items()}
        save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})

        assert {weight.dtype for weight in classifier(str(encoder), dtype=dtype).parameters()} == {dtype}

    def test_the_same_seed_gives_the_same_new_head(self, encoder: Path) -> None:
        heads = []
        for _ in range(2):
            torch.manual_seed(3)
            heads.append(classifier(str(encoder)).classifier.weight)

        assert torch.equal(*heads)

    def test_a_head_of_another_size_is_replaced(self, encoder: Path, tmp_path: Path) -> None:
        classifier(str(encoder)).save_pretrained(tmp_path / "trained")

        model = classifier(str(tmp_path / "trained"), config_overrides={"num_labels": 5})

        assert model.classifier.weight.shape == (5, 32)

    def test_overrides_that_a_config_does_not_know_are_left_out(self, encoder: Path) -> None:
        assert not hasattr(classifier(str(encoder), config_overrides={"no_such_key": 1}).config, "no_such_key")

    def test_nothing_is_printed_and_new_weights_are_logged(
        self, encoder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            classifier(str(encoder))

        assert capfd.readouterr() == ("", "")
        assert "new weights" in caplog.text
        assert "classifier.weight" in caplog.text


def without(*names: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        for name in names:
            (directory / name).unlink()

    return damage


def with_file(name: str, content: str | bytes) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def pickled(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def with_code(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Own", "AutoConfig": "modeling.OwnConfig"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "modeling.py").write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch()")


def with_tokenizer_code(directory: Path) -> None:
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(
        json.dumps({**config, "auto_map": {"AutoTokenizer": ["x.Own", None]}})
    )


def truncated(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def of_another_model(directory: Path) -> None:
    save_file({"other.weight": torch.zeros(2)}, directory / "model.safetensors", metadata={"format": "pt"})


def of_another_size(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))


def with_kernel(key: str, *, nested: bool = False) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text())
        asked = {key: "owner/kernel"}
        (directory / "config.json").write_text(json.dumps({**config, **({"text_config": asked} if nested else asked)}))

    return damage


def with_huge_header(directory: Path) -> None:
    """The first eight bytes of a safetensors file say how long its header is."""
    (directory / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def with_huge_tensor(directory: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}).encode()
    (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def elsewhere(name: Any) -> Callable[[Path], None]:
    return with_file("model.safetensors.index.json", json.dumps({"weight_map": {"a": name}}))


INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})


class TestRefusals:
    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            pytest.param(without("config.json"), "no config.json", id="no config"),
            pytest.param(without("model.safetensors"), "no weights in", id="no weights"),
            pytest.param(pickled, r"a pickle \(pytorch_model.bin\).*model.allow_pickle: true", id="pickle"),
            pytest.param(with_code, r"config.json asks to run Python code.*model.allow_remote_code: true", id="code"),
            pytest.param(
                with_tokenizer_code, "tokenizer_config.json asks to run Python code", id="code of the tokenizer"
            ),
            pytest.param(with_file("config.json", "{"), "config.json is not valid JSON", id="config cut short"),
            pytest.param(
                with_file("config.json", "[]"), "config.json holds no JSON object", id="config of another kind"
            ),
            pytest.param(
                with_file("config.json", '{"model_type": "nothing"}'), "cannot be loaded", id="unknown model type"
            ),
            pytest.param(truncated, "the model cannot be loaded: .*cut short", id="weights cut short"),
            pytest.param(
                with_file("model.safetensors", "version https://git-lfs"), "Git LFS pointer", id="LFS pointer"
            ),
            pytest.param(
                with_file("model.safetensors.index.json", INDEX), "2 of 2 weight files are missing", id="shards"
            ),
            pytest.param(with_kernel("attn_implementation"), "the kernel owner/kernel of the hub", id="kernel"),
            pytest.param(with_kernel("_attn_implementation"), "the kernel owner/kernel of the hub", id="kernel inside"),
            pytest.param(
                with_kernel("experts_implementation", nested=True), "the kernel owner/kernel", id="kernel of a part"
            ),
            pytest.param(with_huge_header, "the model cannot be loaded", id="huge header"),
            pytest.param(with_huge_tensor, "the model cannot be loaded", id="huge tensor"),
            pytest.param(elsewhere("../other.safetensors"), "no file beside it", id="shard above"),
            pytest.param(elsewhere("/etc/passwd"), "no file beside it", id="shard anywhere"),
            pytest.param(elsewhere(7), "no file beside it", id="shard that is no name"),
            pytest.param(
                with_file("model.safetensors.index.json", '{"weight_map": []}'), "no file beside", id="no map"
            ),
            pytest.param(of_another_model, "config.json and weights belong to different models", id="another model"),
            pytest.param(of_another_size, "config.json and weights disagree on the size of bert", id="another size"),
        ],
    )
    def test_directories(self, encoder: Path, damage: Callable[[Path], None], message: str) -> None:
        damage(encoder)

        with pytest.raises(ModelSourceError, match=message) as caught:
            classifier(str(encoder))

        assert str(encoder) in str(caught.value)
        assert not (encoder / "ran").exists()

    def test_other_weights_are_named(self, encoder: Path) -> None:
        (encoder / "model.safetensors").rename(encoder / "tiny.gguf")

        with pytest.raises(ModelSourceError, match=r"tiny\.gguf is there: name that file"):
            classifier(str(encoder))

    def test_a_pickle_is_loaded_where_allowed(self, encoder: Path) -> None:
        pickled(encoder)

        assert classifier(str(encoder), allow_pickle=True).num_labels == 3

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            pytest.param("./nothing/here", "no such file or directory", id="path"),
            pytest.param("/nothing", "no such file or directory", id="absolute path"),
            pytest.param("a/b/c", "no such file or directory", id="too deep for a hub id"),
            pytest.param("../..", "no config.json|neither a directory", id="above"),
            pytest.param("owner/../name", "no such file or directory", id="hub id that climbs"),
            pytest.param("pkg://snownlp/../../x", "without '..'", id="package that climbs"),
            pytest.param("s3://bucket/model", "this form is unknown", id="scheme"),
            pytest.param("pkg://no_such_package/model", "is not installed", id="package"),
            pytest.param("owner/name", "HF_HUB_OFFLINE", id="hub id, offline"),
        ],
    )
    def test_sources(self, source: str, message: str) -> None:
        started = time.monotonic()

        with pytest.raises(UserError, match=message):
            load_tokenizer(source=source)

        assert time.monotonic() - started < 5

    def test_a_file_that_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "model.txt").touch()

        with pytest.raises(ModelSourceError, match=r"neither a directory nor a \.gguf file"):
            classifier(str(tmp_path / "model.txt"))

    def test_a_file_that_is_no_gguf(self, tmp_path: Path) -> None:
        (tmp_path / "model.gguf").write_bytes(b"GGUF nothing")

        with pytest.raises(ModelSourceError, match="cannot be read as a language model in GGUF"):
            load_model(
                AutoModelForCausalLM, source=str(tmp_path / "model.gguf"), dtype=torch.float32, config_overrides={}
            )

    def test_an_adapter_is_no_model(self, encoder: Path) -> None:
        (encoder / "config.json").rename(encoder / "adapter_config.json")

        with pytest.raises(ModelSourceError, match="this is an adapter, not a model"):
            classifier(str(encoder))


class TestTokenizer:
    def test_padding_falls_back_to_the_end_of_text(self, tmp_path: Path) -> None:
        directory = tiny_models.save_decoder(tmp_path)
        config = json.loads((directory / "tokenizer_config.json").read_text())
        del config["pad_token"]
        (directory / "tokenizer_config.json").write_text(json.dumps(config))

        tokenizer = load_tokenizer(source=str(directory))

        assert tokenizer.pad_token_id == tokenizer.eos_token_id

    def test_missing_files(self, encoder: Path) -> None:
        without("tokenizer.json", "tokenizer_config.json")(encoder)

        with pytest.raises(ModelSourceError, match="tokenizer"):
            load_tokenizer(source=str(encoder))

    def test_fingerprint_tells_tokenizers_apart(self, encoder: Path) -> None:
        first, again = (tokenizer_fingerprint(load_tokenizer(source=str(encoder))) for _ in range(2))
        other = tiny_models.decoder_tokenizer()
        chatting = tiny_models.decoder_tokenizer(chat_template="{{ messages }}")

        assert first == again
        assert len({first, tokenizer_fingerprint(other), tokenizer_fingerprint(chatting)}) == 3

    def test_fingerprint_does_not_depend_on_what_was_tokenised_before(self, encoder: Path) -> None:
        tokenizer = load_tokenizer(source=str(encoder))
        before = tokenizer_fingerprint(tokenizer)

        tokenizer(["a", "a fine film"], truncation=True, max_length=4, padding=True)

        assert tokenizer_fingerprint(tokenizer) == before


@pytest.mark.parametrize(
    ("save", "max_length", "is_fine"),
    [
        pytest.param(tiny_models.save_encoder, tiny_models.POSITIONS, True, id="learned positions, up to the last"),
        pytest.param(tiny_models.save_encoder, tiny_models.POSITIONS + 1, False, id="learned positions, one more"),
        pytest.param(tiny_models.save_decoder, 10 * tiny_models.POSITIONS, True, id="rotary positions have no end"),
    ],
)
def test_max_length_is_checked(save: Callable[[Path], Path], max_length: int, is_fine: bool, tmp_path: Path) -> None:
    source = str(save(tmp_path))
    tokenizer = load_tokenizer(source=source)
    if is_fine:
        check_max_length(max_length, tokenizer=tokenizer, source=source)
        return

    with pytest.raises(UserError, match=r"set data\.max_length: 128"):
        check_max_length(max_length, tokenizer=tokenizer, source=source)


def test_hash_follows_the_weights_alone(encoder: Path) -> None:
    before = source_sha256(str(encoder))
    (encoder / "README.md").write_text("other")
    assert source_sha256(str(encoder)) == before

    of_another_model(encoder)
    assert source_sha256(str(encoder)) != before
    assert source_sha256("owner/name") == ""


@pytest.mark.models
def test_real_encoder() -> None:
    source = demo_packages.require(demo_packages.ENCODER)

    tokenizer = load_tokenizer(source=source)
    model = load_model(AutoModel, source=source, dtype=torch.float32, config_overrides={})
    with torch.inference_mode():
        texts = ["a joy to watch", "great fun to see", "the tax return is due in May"]
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state * inputs["attention_mask"][..., None]
        means = torch.nn.functional.normalize(hidden.sum(dim=1), dim=-1)

    near, far = (means[0] @ means[1]).item(), (means[0] @ means[2]).item()
    assert near > far + 0.2, "the pretrained weights tell like from unlike"


@pytest.mark.models
@pytest.mark.slow
def test_real_decoder_from_gguf() -> None:
    """De-quantising 135 million weights takes 15 s, on a busy machine twice that; a tiny file has no sense to lose."""
    source = demo_packages.require(demo_packages.DECODER)
    tokenizer = load_tokenizer(source=source)
    started = time.monotonic()

    model = load_model(AutoModelForCausalLM, source=source, dtype=torch.bfloat16, config_overrides={})

    assert time.monotonic() - started < 10, "the second call reads the cache"
    assert tokenizer.chat_template
    assert getattr(model.config, "quantization_config", None) is None
    with torch.inference_mode():
        inputs = tokenizer("The capital of France is", return_tensors="pt")
        text = tokenizer.decode(model.generate(**inputs, max_new_tokens=3, do_sample=False)[0])
    assert "Paris" in text


def test_errors_are_the_user_s() -> None:
    assert issubclass(ModelSourceError, EaglerayError)
    assert ModelSourceError.exit_code == 2
