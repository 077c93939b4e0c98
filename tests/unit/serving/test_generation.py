"""Many texts at once say what each would say alone, and those whose reader left make room."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any, TypeVar

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, MistralConfig, MistralForCausalLM, PreTrainedModel

from eagleray.errors import UserError
from eagleray.model.load import load_model, load_tokenizer
from eagleray.serving.continuation import GenerationRequest, Piece
from eagleray.serving.decoder import Decoder
from eagleray.serving.generation import Generator
from eagleray.serving.text_rows import QueueFull, Stopped, Stream, TooLong
from eagleray.tasks import chat_template
from tests.support import demo_packages, tiny_models
from tests.support.text_models import TOKENIZER, tiny_generator

Result = TypeVar("Result")

PROMPTS = ["a", "what is the capital of France?", "a slow film that never ends", "hello, how are you today?", "warm"]
LONG = GenerationRequest((1, 2, 3), max_new_tokens=120, temperature=0)
ENDLESS = GenerationRequest((1, 2, 3), max_new_tokens=900_000, temperature=0)  # would outlast every time limit


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text)["input_ids"])


def run(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(work, 60))


async def read(stream: Stream) -> list[Piece]:
    return [piece async for piece in stream]


async def text(stream: Stream) -> str:
    return "".join(piece.text for piece in await read(stream))


async def tokens(stream: Stream) -> list[int]:
    return [token for piece in await read(stream) for token in piece.token_ids]


async def until_free(generator: Generator) -> None:
    while generator.num_streams:
        await asyncio.sleep(0.001)


def alone(model: PreTrainedModel, prompt: tuple[int, ...], *, new: int, end_ids: list[int] | None = None) -> list[int]:
    settings = GenerationConfig(max_new_tokens=new, do_sample=False, eos_token_id=end_ids, pad_token_id=0)
    mask = torch.ones(1, len(prompt), dtype=torch.int64)
    generated = model.generate(torch.tensor([prompt]), attention_mask=mask, generation_config=settings)
    return [int(token) for token in generated[0, len(prompt) :]]


def sliding() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=len(TOKENIZER), **sizes, num_key_value_heads=2, sliding_window=8)
    return MistralForCausalLM(config).eval()


def lively(model: PreTrainedModel) -> PreTrainedModel:
    """Larger random weights: the small ones of a new model say one token for ever, whatever they have seen."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


MODELS = {
    "llama": lambda: tiny_models.decoder("llama", vocab_size=len(TOKENIZER)),
    "gpt2": lambda: tiny_models.decoder("gpt2", vocab_size=len(TOKENIZER)),
    "sliding window": sliding,
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_greedy_rows_equal_generate_alone(kind: str) -> None:
    """Fewer rows than texts, of different lengths: rows join and leave in the middle of others."""
    model = lively(MODELS[kind]())
    lengths = [3, 40, 17, 30, 9]
    expected = [alone(model, ids(prompt), new=new) for prompt, new in zip(PROMPTS, lengths, strict=True)]

    async def together() -> list[list[int]]:
        requests = [GenerationRequest(ids(p), n, temperature=0) for p, n in zip(PROMPTS, lengths, strict=True)]
        return await asyncio.gather(*(tokens(generator.submit(request)) for request in requests))

    seen: list[tuple[int, int]] = []
    generator = Generator(
        model, TOKENIZER, max_rows=3, observe=lambda *, num_read, num_generated: seen.append((num_read, num_generated))
    )
    assert run(together()) == expected
    assert len({token for row in expected for token in row}) > 20  # else any fault would give the same text
    generator.close()
    assert sorted(seen) == sorted((len(ids(prompt)), len(row)) for prompt, row in zip(PROMPTS, expected, strict=True))


def test_a_prompt_read_in_chunks_is_continued_as_one_read_at_once() -> None:
    model = MODELS["llama"]()
    prompt = ids(" ".join(PROMPTS))
    chunked, whole = Decoder(model, max_rows=2, chunk_tokens=7), Decoder(model, max_rows=2)
    prompts, num_steps, logits = chunked.prepare([prompt]), 0, None
    while logits is None:
        logits, num_steps = chunked.read(prompts), num_steps + 1
    expected = whole.read(whole.prepare([prompt]))
    assert expected is not None
    assert num_steps == -(-len(prompt) // 7)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(chunked.step([5]), whole.step([5]))


def test_the_first_step_of_an_idle_model_gives_the_first_token() -> None:
    decoder = Decoder(MODELS["llama"](), max_rows=2)
    assert decoder.read(decoder.prepare([ids("a"), ids("warm")])) is not None


def test_a_seed_gives_the_same_text_whatever_the_neighbours() -> None:
    async def run_both() -> tuple[str, list[str], str]:
        seeded = GenerationRequest(ids("a fine"), 30, temperature=1.0, top_p=0.9, seed=7)
        others = [GenerationRequest(ids(prompt), 25, temperature=1.3) for prompt in PROMPTS]
        lonely = await text(generator.submit(seeded))
        crowd = await asyncio.gather(*(text(generator.submit(request)) for request in (*others, seeded)))
        other_seed = GenerationRequest(ids("a fine"), 30, temperature=1.0, top_p=0.9, seed=8)
        return lonely, crowd, await text(generator.submit(other_seed))

    with tiny_generator(max_rows=4) as generator:
        lonely, crowd, other = run(run_both())
    assert crowd[-1] == lonely != other


def test_the_answer_ends_at_an_end_token_which_has_no_text() -> None:
    with tiny_generator() as generator:
        plain = run(tokens_of(generator, GenerationRequest(ids("a"), 20, temperature=0)))
    with tiny_generator(end_ids=[plain[4]]) as generator:
        pieces = run(pieces_of(generator, GenerationRequest(ids("a"), 20, temperature=0)))
    first = plain.index(plain[4])
    assert [token for piece in pieces for token in piece.token_ids] == plain[: first + 1]
    assert "".join(piece.text for piece in pieces) == TOKENIZER.decode(plain[:first])
    assert pieces[-1].finish_reason == "stop"


def test_no_part_of_a_stop_string_is_sent() -> None:
    request = GenerationRequest(ids("what"), 60, temperature=1.0, seed=3)
    with tiny_generator() as generator:
        whole = "".join(piece.text for piece in run(pieces_of(generator, request)))
        stop = whole[10:17]
        stopped = run(pieces_of(generator, GenerationRequest(ids("what"), 60, temperature=1.0, seed=3, stop=(stop,))))
    assert "".join(piece.text for piece in stopped) == whole[: whole.index(stop)]
    assert stopped[-1].finish_reason == "stop"


def test_logprobs_are_told_with_their_text() -> None:
    with tiny_generator() as generator:
        pieces = run(pieces_of(generator, GenerationRequest(ids("a"), 8, temperature=0, top_logprobs=3)))
    logprobs = [token for piece in pieces for token in piece.logprobs]
    assert len(logprobs) == 8
    assert all(token.top[0].token_id == token.token_id and token.logprob < 0 for token in logprobs)
    assert [len(token.top) for token in logprobs] == [3] * 8


@pytest.mark.parametrize("how", ["closed", "dropped", "cancelled"])
def test_a_reader_that_leaves_frees_its_row(how: str) -> None:
    async def leave() -> int:
        stream = generator.submit(ENDLESS)
        if how == "cancelled":
            reader = asyncio.create_task(read(stream))
            del stream
            await asyncio.sleep(0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            del reader
        else:
            await anext(stream)
            if how == "closed":
                await stream.aclose()
            del stream
        await until_free(generator)
        return len(await tokens(generator.submit(GenerationRequest((1,), 4, temperature=0))))

    with tiny_generator(positions=1_000_000, max_rows=1) as generator:
        assert run(leave()) == 4


def test_a_full_queue_refuses_at_once_and_takes_again() -> None:
    async def crowd() -> tuple[float, int]:
        streams = [generator.submit(LONG) for _ in range(3)]
        with pytest.raises(QueueFull) as refusal:
            generator.submit(LONG)
        await asyncio.gather(*(read(stream) for stream in streams))
        await until_free(generator)
        return refusal.value.retry_after_s, len(await tokens(generator.submit(LONG)))

    with tiny_generator(max_rows=2, max_streams=3) as generator:
        retry_after_s, num_tokens = run(crowd())
    assert retry_after_s >= 1
    assert num_tokens == 120


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GenerationRequest((1,) * 100, 29), "100 tokens and 29 more .* 129 together: the model holds 128"),
        (GenerationRequest((), 5), "no tokens"),
        (GenerationRequest((1, 99_999), 5), "token 99999 is none"),
        (GenerationRequest((-1,), 5), "token -1 is none"),
    ],
    ids=["too long", "empty", "unknown token", "negative token"],
)
def test_refusals(request_: GenerationRequest, message: str) -> None:
    async def submit() -> None:
        generator.submit(request_)

    with tiny_generator() as generator, pytest.raises(UserError, match=message) as refusal:
        run(submit())
    assert isinstance(refusal.value, TooLong) == ("too" in message or "together" in message)


def test_logits_that_are_not_finite_end_their_row() -> None:
    """And leave nothing behind that would spoil the next."""

    async def both() -> tuple[type[BaseException] | None, int]:
        broken = generator.submit(LONG)
        weight.data.fill_(float("nan"))
        result = await asyncio.gather(read(broken), return_exceptions=True)
        weight.data.copy_(kept)
        await until_free(generator)
        error = result[0]
        num_tokens = len(await tokens(generator.submit(LONG)))
        return type(error) if isinstance(error, BaseException) else None, num_tokens

    model = MODELS["llama"]()
    weight = model.get_output_embeddings().weight
    kept = weight.data.clone()
    generator = Generator(model, TOKENIZER, end_ids=[])
    assert run(both()) == (Stopped, 120)
    generator.close()


def test_a_prompt_that_cannot_be_prepared_ends_its_row_alone() -> None:
    """As one does whose tensors the device has no memory for."""

    async def both() -> int:
        stream = generator.submit(LONG)
        await anext(stream)
        broken = GenerationRequest((Fraction(1),), 5)  # type: ignore[arg-type]  # no tensor can hold it
        with pytest.raises(Stopped, match="the model failed: RuntimeError"):
            await read(generator.submit(broken))
        await read(stream)
        await until_free(generator)
        return len(await tokens(generator.submit(LONG)))

    with tiny_generator() as generator:
        assert run(both()) == 120


def test_closing_ends_the_streams() -> None:
    async def close() -> None:
        stream = generator.submit(LONG)
        await anext(stream)
        await asyncio.to_thread(generator.close)
        with pytest.raises(Stopped):
            await read(stream)
        with pytest.raises(Stopped):
            generator.submit(LONG)

    with tiny_generator() as generator:
        run(close())


@pytest.mark.models
def test_smollm2_says_at_once_what_it_says_alone() -> None:
    source = demo_packages.require(demo_packages.DECODER)
    tokenizer = load_tokenizer(source=source)
    model = load_model(AutoModelForCausalLM, source=source, dtype=torch.float32, config_overrides={}).eval()
    questions = ["What is the capital of France?", "Name three fruits.", "Why is the sky blue?"]
    chats = [[{"role": "user", "content": question}] for question in questions]
    prompts = [tuple(chat_template.prompt_ids(tokenizer, chat)) for chat in chats]
    generator = Generator(model, tokenizer, max_rows=3)
    expected = [alone(model, prompt, new=24, end_ids=sorted(generator.end_ids)) for prompt in prompts]

    async def together() -> list[list[int]]:
        requests = [GenerationRequest(prompt, 24, temperature=0) for prompt in prompts]
        return await asyncio.gather(*(tokens(generator.submit(request)) for request in requests))

    found = asyncio.run(together())
    generator.close()
    assert found == expected
    assert "Paris" in tokenizer.decode(found[0])


async def pieces_of(generator: Generator, request: GenerationRequest) -> list[Piece]:
    return await read(generator.submit(request))


async def tokens_of(generator: Generator, request: GenerationRequest) -> list[int]:
    return await tokens(generator.submit(request))
