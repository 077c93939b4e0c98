"""What does a text become when it is translated and back? By two models that turn a text into a text."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from eagleray.errors import DataError
from eagleray.store import sources


class BackTranslation:
    """Two models in memory. Greedy or beam search: the same text comes out the same."""

    def __init__(self, *, there: str, back: str, rounds: int, beams: int, max_new_tokens: int, batch_size: int) -> None:
        """Load the models.

        Raises:
            DataError: one of them cannot be loaded; safetensors alone are read, and no code of a model's own.
        """
        self._rounds, self._batch_size = rounds, batch_size
        self._settings = {"num_beams": beams, "do_sample": False, "max_new_tokens": max_new_tokens}
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._models = [_loaded(source, self._device) for source in (there, back)]

    def __call__(self, texts: list[str]) -> list[str]:
        """Return what each text becomes; one that comes back empty stays as it was."""
        found = texts
        for _ in range(self._rounds):
            for tokenizer, model in self._models:
                found = self._translated(found, tokenizer, model)
        return [new.strip() or old for old, new in zip(texts, found, strict=True)]

    def _translated(self, texts: list[str], tokenizer: Any, model: Any) -> list[str]:
        # Sorted by length little is padding; longest first, a lack of memory shows at once.
        order = [number for number, text in enumerate(texts) if text.strip()]
        order.sort(key=lambda number: -len(texts[number]))
        found = [""] * len(texts)
        for begin in range(0, len(order), self._batch_size):
            part = order[begin : begin + self._batch_size]
            inputs = tokenizer(
                [texts[number] for number in part],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=_longest(model),
            ).to(self._device)
            inputs.pop("token_type_ids", None)  # BERT's tokenizers give them, and no such model takes them
            with torch.inference_mode():
                generated = model.generate(**inputs, **self._settings)
            for number, text in zip(part, tokenizer.batch_decode(generated, skip_special_tokens=True), strict=True):
                found[number] = text
        return found


def _loaded(source: str, device: torch.device) -> tuple[Any, Any]:
    place = sources.resolve(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{source}: cannot be loaded as a model that turns a text into a text: {str(error).splitlines()[0]}; "
            "give a directory or a hub id with config.json, model.safetensors and a tokenizer"
        ) from error
    return tokenizer, model.to(device).eval()


def _longest(model: Any) -> int:
    """Tokens that a model takes: 512 where its positions are relative."""
    return int(getattr(model.config, "max_position_embeddings", None) or 512)
