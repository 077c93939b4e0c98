"""Models of a few thousand random weights, with real tokenizers, written as `from_pretrained` reads them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

CORPUS = [
    "a fine and moving film, warm and clever, the cast is a joy to watch from start to end",
    "a slow film that never ends and says nothing at all, a mess of a plot, cold, loud and dull",
    "what is the capital of France? the capital of France is Paris. hello, how are you today?",
    "<|im_start|>system\nyou are kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello",
]
ENCODER_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DECODER_SPECIALS = ["<|endoftext|>"]
SEQ2SEQ_SPECIALS = ["<pad>", "</s>", "<unk>"]
POSITIONS = 128


def save_encoder(directory: Path, *, dropout: float = 0.1, seed: int = 0) -> Path:
    """A BERT of two layers, without a head, and its tokenizer."""
    tokenizer = encoder_tokenizer()
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def save_decoder(
    directory: Path, *, kind: Literal["llama", "gpt2"] = "llama", chat_template: str | None = None, seed: int = 0
) -> Path:
    """A Llama or GPT-2 of two layers and its tokenizer, whose padding is its end of text."""
    tokenizer = decoder_tokenizer(chat_template=chat_template)
    decoder(kind, vocab_size=len(tokenizer), eos_id=int(tokenizer.eos_token_id), seed=seed).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def decoder(kind: Literal["llama", "gpt2"], *, vocab_size: int, eos_id: int = 0, seed: int = 0) -> PreTrainedModel:
    """A decoder in evaluation mode."""
    torch.manual_seed(seed)
    ends = {"bos_token_id": eos_id, "eos_token_id": eos_id, "pad_token_id": eos_id}
    if kind == "gpt2":
        gpt2 = GPT2Config(vocab_size=vocab_size, n_embd=32, n_layer=2, n_head=2, n_positions=POSITIONS, **ends)
        return GPT2LMHeadModel(gpt2).eval()
    llama = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        **ends,
    )
    return LlamaForCausalLM(llama).eval()


def save_seq2seq(directory: Path, *, kind: Literal["t5", "bart", "marian"] = "t5", seed: int = 0) -> Path:
    """An encoder and a decoder of one layer each, and their tokenizer."""
    tokenizer = seq2seq_tokenizer()
    seq2seq(kind, vocab_size=len(tokenizer), seed=seed).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def seq2seq(kind: Literal["t5", "bart", "marian"], *, vocab_size: int, seed: int = 0) -> PreTrainedModel:
    """An encoder and a decoder in evaluation mode."""
    torch.manual_seed(seed)
    ends = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    if kind == "t5":
        sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
        return T5ForConditionalGeneration(T5Config(vocab_size=vocab_size, **sizes, **ends)).eval()
    shared = {"vocab_size": vocab_size, "d_model": 32, "max_position_embeddings": POSITIONS, **ends}
    for side in ("encoder", "decoder"):
        shared |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 64}
    if kind == "marian":
        return MarianMTModel(MarianConfig(**shared, forced_eos_token_id=1)).eval()
    return BartForConditionalGeneration(BartConfig(**shared, bos_token_id=1, forced_eos_token_id=1)).eval()


def seq2seq_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with an end behind every text."""
    tokenizer = _trained(tuple(SEQ2SEQ_SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
    )


def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE between [CLS] and [SEP], with the types of a pair."""
    tokenizer = _trained(tuple(ENCODER_SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def decoder_tokenizer(
    *, chat_template: str | None = None, specials: tuple[str, ...] = (), bos: bool = False
) -> PreTrainedTokenizerFast:
    """Byte-level BPE with an end of text that is the padding too; `bos` puts it before a text as well."""
    tokenizer = _trained((*DECODER_SPECIALS, *specials))
    if bos:
        end = DECODER_SPECIALS[0]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{end} $A", special_tokens=[(end, tokenizer.token_to_id(end))]
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=DECODER_SPECIALS[0],
        eos_token=DECODER_SPECIALS[0],
        pad_token=DECODER_SPECIALS[0],
        extra_special_tokens=list(specials),
        model_max_length=POSITIONS,
    )
    wrapped.chat_template = chat_template
    return wrapped


@lru_cache
def _trained_json(specials: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return str(tokenizer.to_str())


def _trained(specials: tuple[str, ...]) -> Tokenizer:
    return Tokenizer.from_str(_trained_json(specials))
