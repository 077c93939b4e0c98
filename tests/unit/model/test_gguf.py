"""A `.gguf` file becomes a directory of safetensors, once, with the same weights and tokenizer."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from eagleray.errors import ModelSourceError
from eagleray.model import gguf as converter
from eagleray.model.load import load_model, load_tokenizer, source_sha256
from tests.support import tiny_models

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in GGUF, its file name full of dots as they are."""
    path = tmp_path_factory.mktemp("gguf") / "tiny-1.5M.Q8_0.gguf"
    tokenizer = tiny_models.decoder_tokenizer(chat_template="{{ messages }}")
    model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
    rules = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer = gguf.GGUFWriter(path, "llama")
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(len(tokenizer))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(rules["vocab"], key=rules["vocab"].get))
    writer.add_token_types([3] + [1] * (len(tokenizer) - 1))  # 3: the end of text is a control token
    writer.add_token_merges([" ".join(merge) for merge in rules["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages }}")
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", tensor.numpy())
        elif name == "model.norm.weight":
            writer.add_tensor("output_norm.weight", tensor.numpy())
        elif name.startswith("model.layers."):
            number, _, part = name.removeprefix("model.layers.").removesuffix(".weight").partition(".")
            short = NAMES[part]
            writer.add_tensor(f"blk.{number}.{short}.weight", rotary_order(tensor.numpy(), heads.get(short)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rotary_order(weight: np.ndarray, num_heads: int | None) -> np.ndarray:
    """GGUF keeps the two halves of each rotated pair side by side."""
    if num_heads is None:
        return weight
    halves = weight.reshape(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def test_weights_and_tokenizer_are_the_same(file: Path) -> None:
    tokenizer = load_tokenizer(source=str(file))
    model = load_model(AutoModelForCausalLM, source=str(file), dtype=torch.float32, config_overrides={})

    original = tiny_models.decoder("llama", vocab_size=len(tokenizer)).state_dict()
    assert model.state_dict().keys() == original.keys()
    assert all(torch.equal(tensor, original[name]) for name, tensor in model.state_dict().items())
    assert tokenizer("a fine film 🙂")["input_ids"] == tiny_models.decoder_tokenizer()("a fine film 🙂")["input_ids"]
    assert tokenizer.chat_template == "{{ messages }}"


def test_the_model_can_be_saved_and_may_get_another_head(file: Path, tmp_path: Path) -> None:
    """A model that transformers loads from GGUF itself counts as quantised and refuses."""
    model = load_model(
        AutoModelForSequenceClassification, source=str(file), dtype=torch.bfloat16, config_overrides={"num_labels": 3}
    )

    model.save_pretrained(tmp_path)

    assert model.score.weight.shape == (3, 32)
    assert (tmp_path / "model.safetensors").is_file()


def test_two_that_ask_at_once_get_one_conversion(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(converter.converted(file))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert {path.name for path in (tmp_path / "models").iterdir()} == {found[0].name, f"{found[0].name}.lock"}
    written = (found[0] / "model.safetensors").stat().st_mtime_ns
    assert (converter.converted(file) / "model.safetensors").stat().st_mtime_ns == written


def test_code_beside_it_is_not_run(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path / "cache"))
    copy = Path(shutil.copy(file, tmp_path))
    code = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoTokenizer": ["own.Tokenizer", None]}}
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps(code))
    (tmp_path / "own.py").write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch()")

    with contextlib.suppress(ModelSourceError):
        converter.converted(copy)

    assert not list(tmp_path.rglob("ran"))


def test_hash_is_that_of_the_file(file: Path) -> None:
    assert len(source_sha256(str(file))) == 64
