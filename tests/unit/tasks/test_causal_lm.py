"""causal-lm: what is a target, that the loss is that of each sample alone, and what is generated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.tasks import causal_lm, packed_rows
from eagleray.tasks.causal_lm import CausalLm
from tests.support import tiny_models

TEXT = CausalLm()
COMPLETION = CausalLm(format="completion")
CHAT = CausalLm(format="chat", max_new_tokens=5)
TEXTS = ("hello", "a fine film", "what is the capital of France? Paris", "x", "a mess of a plot, cold and loud")
END = 0  # the id of the end of text, which is the padding too


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny_models.decoder_tokenizer()


def samples(task: CausalLm, rows: list[dict[str, Any]], tokenizer: Any, max_length: int = 64) -> list[dict[str, Any]]:
    columns = task.encode(rows, tokenizer, max_length)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def collated(task: CausalLm, encoded: list[dict[str, Any]], **options: Any) -> dict[str, torch.Tensor]:
    weights = options.pop("weights", np.ones(len(encoded), dtype=np.float32))
    return task.collate(encoded, weights=weights, pad_id=END, max_length=options.pop("max_length", 64), **options)


class TestRead:
    @pytest.mark.parametrize(
        ("task", "raw", "row"),
        [
            pytest.param(TEXT, {"text": " hi\n"}, {"text": " hi\n"}, id="text is kept as it is"),
            pytest.param(
                COMPLETION,
                {"prompt": "q", "completion": "a", "n": 1},
                {"prompt": "q", "completion": "a"},
                id="completion",
            ),
            pytest.param(
                CHAT,
                {"messages": '[{"role": "assistant", "content": "a", "id": 7}]'},
                {"messages": [{"role": "assistant", "content": "a"}]},
                id="conversation as JSON text",
            ),
        ],
    )
    def test_rows(self, task: CausalLm, raw: dict[str, Any], row: dict[str, Any]) -> None:
        assert task.read(raw) == row

    @pytest.mark.parametrize(
        ("task", "raw", "message"),
        [
            pytest.param(TEXT, {}, "column `text` is missing", id="missing"),
            pytest.param(TEXT, {"text": ""}, "column `text` is empty", id="empty"),
            pytest.param(COMPLETION, {"prompt": "q"}, "column `completion` is missing", id="no completion"),
            pytest.param(CHAT, {"messages": "[{"}, "text that is not JSON", id="broken JSON"),
            pytest.param(
                CHAT,
                {"messages": [{"role": "user", "content": "x"}]},
                "no assistant message to learn from",
                id="no answer",
            ),
        ],
    )
    def test_wrong_rows(self, task: CausalLm, raw: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            task.read(raw)

    def test_of_a_conversation_to_answer_the_last_answer_is_left_out(self) -> None:
        messages = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]

        assert CHAT.read_input({"messages": messages}) == {"context": messages[:3]}
        assert CHAT.read_input({"messages": messages[:3]}) == {"context": messages[:3]}

    def test_a_system_prompt_stands_before_conversations_that_have_none(self) -> None:
        task = CausalLm(format="chat", system="be kind")
        said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        own = [{"role": "system", "content": "be brief"}, *said]

        assert task.read({"messages": said})["messages"][0] == {"role": "system", "content": "be kind"}
        assert task.read_input({"messages": said})["context"][0] == {"role": "system", "content": "be kind"}
        assert task.read({"messages": own})["messages"] == own

    @pytest.mark.parametrize(
        ("task", "one", "other"),
        [
            pytest.param(
                COMPLETION, {"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": "b"}, id="completion"
            ),
            pytest.param(
                CHAT,
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]},
                id="chat",
            ),
        ],
    )
    def test_identity_is_the_input_alone(self, task: CausalLm, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert task.identity(task.read(one)) == task.identity(task.read(other))


class TestTargets:
    def test_every_token_of_a_text_but_the_first_and_its_end(self, tokenizer: PreTrainedTokenizerBase) -> None:
        columns = TEXT.encode([{"text": "a fine film"}], tokenizer, 64)

        assert columns["input_ids"][0] == [*tokenizer("a fine film")["input_ids"], END]
        assert columns["target_mask"][0] == [0] + [1] * (len(columns["input_ids"][0]) - 1)
        assert columns["num_targets"] == [sum(columns["target_mask"][0])]

    def test_of_a_completion_the_prompt_is_none(self, tokenizer: PreTrainedTokenizerBase) -> None:
        columns = COMPLETION.encode([{"prompt": "what is", "completion": " Paris"}], tokenizer, 64)

        prompt, answer = tokenizer("what is")["input_ids"], tokenizer(" Paris")["input_ids"]
        assert columns["input_ids"] == [[*prompt, *answer, END]]
        assert columns["target_mask"] == [[0] * len(prompt) + [1] * (len(answer) + 1)]

    def test_a_tokenizer_that_opens_texts_opens_prompts_too(self) -> None:
        opening = tiny_models.decoder_tokenizer(bos=True)

        trained = COMPLETION.encode([{"prompt": "what", "completion": " is"}], opening, 64)["input_ids"][0]
        asked = COMPLETION.encode([COMPLETION.read_input({"prompt": "what"})], opening, 64)["input_ids"][0]

        assert asked == opening("what")["input_ids"]
        assert trained[: len(asked)] == asked
        assert trained.count(END) == 2

    def test_targets_that_are_cut_are_counted(self, tokenizer: PreTrainedTokenizerBase) -> None:
        rows = [{"prompt": "a fine film " * 9, "completion": "yes"}, {"prompt": "a", "completion": "yes"}]

        columns = COMPLETION.encode(rows, tokenizer, 8)

        assert columns["num_targets"][0] == 0
        assert columns["num_targets"][1] > 0
        assert columns["full_length"][0] > 8
        assert [len(ids) <= 8 for ids in columns["input_ids"]] == [True, True]

    def test_a_prompt_to_continue_keeps_its_end(self, tokenizer: PreTrainedTokenizerBase) -> None:
        columns = TEXT.encode([TEXT.read_input({"text": "a fine film that never ends"})], tokenizer, 3)

        assert columns["input_ids"] == [tokenizer("a fine film that never ends")["input_ids"][-3:]]

    def test_a_long_text_is_split_so_that_each_token_is_one_target(self, tokenizer: PreTrainedTokenizerBase) -> None:
        text = "a fine film that never ends and says nothing at all"
        whole = TEXT.encode([{"text": text}], tokenizer, 64)["input_ids"][0]

        columns = CausalLm(long="split").encode([{"text": "x"}, {"text": text}], tokenizer, 5)

        targets = [
            token
            for row, ids, mask in zip(columns["row"], columns["input_ids"], columns["target_mask"], strict=True)
            for token, is_target in zip(ids, mask, strict=True)
            if row == 1 and is_target
        ]
        assert targets == whole[1:]
        assert columns["row"][:2] == [0, 1]
        assert all(length <= 5 for length in columns["full_length"])

    @pytest.mark.parametrize(("length", "starts"), [(1, [0]), (5, [0]), (6, [0, 4]), (9, [0, 4]), (10, [0, 4, 8])])
    def test_blocks(self, length: int, starts: list[int]) -> None:
        assert [block.start for block in causal_lm._blocks(length, max_length=5)] == starts

    def test_an_empty_prompt_has_one_token(self, tokenizer: PreTrainedTokenizerBase) -> None:
        assert TEXT.encode([{"prompt": ""}], tokenizer, 8)["input_ids"] == [[END]]


class TestLoss:
    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    @pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
    def test_is_the_sum_of_what_each_sample_has_alone(
        self, kind: Literal["llama", "gpt2"], packed: bool, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        model = tiny_models.decoder(kind, vocab_size=len(tokenizer))
        encoded = samples(TEXT, [{"text": text} for text in TEXTS], tokenizer)
        weights = np.array([1, 1, 1, 0, 1], dtype=np.float32)  # the fourth is filler
        alone = []
        for sample in encoded:
            ids = torch.tensor(sample["input_ids"])
            logits = model(input_ids=ids[None]).logits[0, :-1]
            alone.append(functional.cross_entropy(logits, ids[1:], reduction="sum").item())

        batch = collated(TEXT, encoded, weights=weights, packed=packed, max_length=24)
        loss, logits = TEXT.loss(model, batch)

        assert loss.item() == pytest.approx(float(np.dot(alone, weights)), rel=1e-5)
        targets = sum(sample["num_targets"] * weight for sample, weight in zip(encoded, weights, strict=True))
        assert TEXT.num_targets(batch) == targets
        assert logits.shape == (*batch["input_ids"].shape, len(tokenizer))
        if packed:
            assert len(batch["input_ids"]) < len(encoded)
            assert "attention_mask" not in batch

    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_gradients_of_packed_and_padded_rows_agree(
        self, kind: Literal["llama", "gpt2"], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        model = tiny_models.decoder(kind, vocab_size=len(tokenizer))
        encoded = samples(TEXT, [{"text": text} for text in TEXTS], tokenizer)
        gradients = []
        for packed in (False, True):
            model.zero_grad()
            TEXT.loss(model, collated(TEXT, encoded, packed=packed, max_length=40))[0].backward()
            gradients.append(
                torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
            )

        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)

    def test_label_smoothing(self, tokenizer: PreTrainedTokenizerBase) -> None:
        batch = collated(TEXT, samples(TEXT, [{"text": "a film"}], tokenizer))
        logits = torch.randn(*batch["input_ids"].shape, 7)
        batch["targets"] = batch["targets"] % 7

        loss, _ = TEXT.loss(lambda **inputs: SimpleNamespace(logits=logits), batch, label_smoothing=0.2)

        counted = batch["target_weights"] > 0
        logs = logits[counted].log_softmax(-1)
        expected = -(0.8 * logs.gather(1, batch["targets"][counted][:, None])[:, 0] + 0.2 * logs.mean(-1)).sum()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_without_targets_the_loss_is_zero_and_the_gradient_too(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        batch = collated(TEXT, samples(TEXT, [{"text": "a film"}], tokenizer), weights=np.zeros(1, dtype=np.float32))

        loss, _ = TEXT.loss(model, batch)
        loss.backward()

        assert (loss.item(), TEXT.num_targets(batch)) == (0.0, 0.0)
        gradients = [weight.grad for weight in model.parameters()]
        assert all(
            gradient is not None and not gradient.any() for gradient in gradients
        )  # ZeRO-3 waits for each of them


class TestPacking:
    def test_the_first_token_of_no_sample_is_a_target(self, tokenizer: PreTrainedTokenizerBase) -> None:
        encoded = samples(TEXT, [{"text": text} for text in TEXTS], tokenizer)

        batch = collated(TEXT, encoded, packed=True, max_length=32)

        ends_sample = batch["position_ids"].roll(-1, dims=1) == 0
        assert not (batch["target_weights"][ends_sample] > 0).any()
        firsts = {tuple(sample["input_ids"]) for sample in encoded}
        starts = (batch["position_ids"] == 0).nonzero().tolist()
        rows = [tuple(batch["input_ids"][row, column:].tolist()) for row, column in starts]
        assert all(any(found[: len(first)] == first for found in rows) for first in firsts)

    def test_padding_is_a_sequence_of_its_own(self) -> None:
        positions = packed_rows.position_ids([3, 2, 4], [[0, 1], [2]])

        assert positions.tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 0]]

    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_models_that_keep_samples_apart_are_found_fit(self, kind: Literal["llama", "gpt2"]) -> None:
        packed_rows.check_kept_apart(tiny_models.decoder(kind, vocab_size=100))

    def test_a_model_that_does_not_is_refused(self) -> None:
        class Careless(torch.nn.Module):
            """Sums over everything before, whatever the positions say."""

            def __init__(self) -> None:
                super().__init__()
                self.embedding = torch.nn.Embedding(50, 50)
                self.config = SimpleNamespace(vocab_size=50)

            def forward(self, input_ids: torch.Tensor, **others: Any) -> SimpleNamespace:
                return SimpleNamespace(logits=self.embedding(input_ids).cumsum(dim=1))

        with pytest.raises(UserError, match="Careless lets the samples of a row see each other"):
            packed_rows.check_kept_apart(Careless())


class TestPredict:
    def test_rows_of_a_batch_are_answered_as_if_alone(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        task = CausalLm(max_new_tokens=6)
        encoded = samples(task, [task.read_input({"text": text}) for text in TEXTS], tokenizer)

        with torch.inference_mode():
            together = task.predict(model, tokenizer, collated(task, encoded))
            alone = [task.predict(model, tokenizer, collated(task, [sample]))[0] for sample in encoded]

        assert together == alone
        assert any(answer["text"] for answer in together)

    def test_prompts_make_room_for_the_answer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """GPT-2 has no position after its last one: generating there fails."""
        model = tiny_models.decoder("gpt2", vocab_size=len(tokenizer))
        task = CausalLm(max_new_tokens=20)
        encoded = samples(task, [task.read_input({"text": "a b " * 200})], tokenizer, tiny_models.POSITIONS)

        with torch.inference_mode():
            answers = task.predict(model, tokenizer, collated(task, encoded))

        assert list(answers[0]) == ["text"]

    def test_chat_answers(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        row = CHAT.read_input({"messages": [{"role": "user", "content": "hi"}]})

        with torch.inference_mode():
            answers = CHAT.predict(model, tokenizer, collated(CHAT, samples(CHAT, [row], tokenizer)))

        assert list(answers[0]) == ["text"]
