"""Each method lets the weights learn that it should, and no others, under names that do not change."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray import methods
from eagleray.errors import UserError
from eagleray.model.load import load_model
from eagleray.spec.method import FullSpec, LoraSpec, MethodSpec
from eagleray.tasks.base import Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.text_classification import TextClassification
from tests.support import tiny_models

CLASSIFY = TextClassification("single-label", labels=("a", "b"))
CONTINUE = CausalLm()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "bert": tiny_models.save_encoder(tmp_path_factory.mktemp("bert"), dropout=0.0),
        "llama": tiny_models.save_decoder(tmp_path_factory.mktemp("llama")),
        "gpt2": tiny_models.save_decoder(tmp_path_factory.mktemp("gpt2"), kind="gpt2"),
    }


def loaded(sources: dict[str, Path], kind: str, task: Task) -> Any:
    overrides = {"num_labels": len(task.labels)} if task.labels else {}
    return load_model(task.model_class(), source=str(sources[kind]), dtype=torch.float32, config_overrides=overrides)


@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
def test_encoder_and_decoder_are_no_heads(is_tied: bool) -> None:
    """T5 has both beside each other, under no base model: both are pretrained, with tied embeddings or without."""
    model = tiny_models.seq2seq("t5", vocab_size=100)
    if not is_tied:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    spec = LoraSpec(type="lora", rank=2)
    adapted = methods.apply(model, spec, task=Seq2Seq())

    learning = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)


def test_table_has_the_types_of_the_spec() -> None:
    union, *_ = typing.get_args(MethodSpec)
    types = {typing.get_args(member.model_fields["type"].annotation)[0] for member in typing.get_args(union)}

    assert methods.METHODS.keys() == types


def test_full_lets_every_weight_learn(sources: dict[str, Path]) -> None:
    model = loaded(sources, "bert", CLASSIFY)
    names = list(model.state_dict())
    model.requires_grad_(False)

    adapted = methods.apply(model, FullSpec(type="full"), task=CLASSIFY)

    assert all(weight.requires_grad for weight in adapted.parameters())
    assert list(adapted.state_dict()) == names


@pytest.mark.parametrize(
    ("kind", "task", "head"),
    [
        pytest.param("bert", CLASSIFY, {"classifier.modules_to_save.default"}, id="encoder with a new head"),
        pytest.param("llama", CLASSIFY, {"score.modules_to_save.default"}, id="decoder with a new head"),
        pytest.param("llama", CONTINUE, set(), id="Llama"),
        pytest.param("gpt2", CONTINUE, set(), id="GPT-2, whose layers are Conv1D"),
    ],
)
class TestLora:
    def test_adapters_and_the_new_head_learn(
        self, sources: dict[str, Path], kind: str, task: Task, head: set[str]
    ) -> None:
        adapted = methods.apply(loaded(sources, kind, task), LoraSpec(type="lora"), task=task)

        learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
        others = {name for name in learning if "lora_" not in name}
        assert {name.removeprefix("base_model.model.").rpartition(".")[0] for name in others} == head
        assert any("lora_A" in name for name in learning)
        assert not any("lm_head" in name for name in learning)

    def test_before_the_first_step_nothing_has_changed(
        self, sources: dict[str, Path], kind: str, task: Task, head: set[str]
    ) -> None:
        torch.manual_seed(0)
        model = loaded(sources, kind, task).eval()
        inputs = {"input_ids": torch.arange(5, 15)[None], "attention_mask": torch.ones(1, 10, dtype=torch.int64)}
        before = model(**inputs).logits

        adapted = methods.apply(model, LoraSpec(type="lora", dropout=0.5), task=task).eval()

        torch.testing.assert_close(adapted(**inputs).logits, before)

    def test_gradients_reach_what_learns_and_nothing_else(
        self, sources: dict[str, Path], kind: str, task: Task, head: set[str]
    ) -> None:
        adapted = methods.apply(loaded(sources, kind, task), LoraSpec(type="lora"), task=task)

        adapted(input_ids=torch.arange(5, 15)[None]).logits.square().sum().backward()

        with_gradient = {name for name, weight in adapted.named_parameters() if weight.grad is not None}
        learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
        assert with_gradient == learning
        moved = [weight.grad for name, weight in adapted.named_parameters() if "lora_B" in name]
        assert all(gradient is not None and gradient.any() for gradient in moved)

    def test_names_are_stable(self, sources: dict[str, Path], kind: str, task: Task, head: set[str]) -> None:
        first, again = (
            list(methods.apply(loaded(sources, kind, task), LoraSpec(type="lora"), task=task).state_dict())
            for _ in range(2)
        )

        assert first == again


def test_target_modules_by_name(sources: dict[str, Path]) -> None:
    spec = LoraSpec(type="lora", rank=2, target_modules=("query", "value"))

    adapted = methods.apply(loaded(sources, "bert", CLASSIFY), spec, task=CLASSIFY)

    layers = {name.partition(".lora_A")[0].rpartition(".")[2] for name in adapted.state_dict() if "lora_A" in name}
    assert layers == {"query", "value"}
    assert {tensor.shape[0] for name, tensor in adapted.state_dict().items() if "lora_A" in name} == {2}


def test_a_target_that_is_not_there_is_named(sources: dict[str, Path]) -> None:
    spec = LoraSpec(type="lora", target_modules=("quary",))

    with pytest.raises(UserError, match=r"no linear layer is called `quary`.*did you mean `query`\?"):
        methods.apply(loaded(sources, "bert", CLASSIFY), spec, task=CLASSIFY)
