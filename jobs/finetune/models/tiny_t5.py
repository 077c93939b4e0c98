"""Write a T5 of a few hundred thousand random weights, and a tokenizer for the data of these documents.

No pretrained model of this kind comes in a package. This one knows nothing at first and learns the few sentences that
it is shown: enough to see the way from a document to an endpoint, on any machine, in a minute.

    python jobs/finetune/models/tiny_t5.py      # writes jobs/finetune/models/tiny-t5
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

HERE = Path(__file__).parent
DATA = [HERE.parent / "data" / name for name in ("town-news.jsonl", "short-sentences.jsonl")]
SPECIALS = ["<pad>", "</s>", "<unk>"]


def main() -> None:
    texts = [text for file in DATA for line in file.open(encoding="utf-8") for text in json.loads(line).values()]
    tokenizer = _tokenizer([*texts, "translate English to German: ", "translate English to French: ", "summarize: "])
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    for part in (model, tokenizer):
        part.save_pretrained(HERE / "tiny-t5")


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )


if __name__ == "__main__":
    main()
