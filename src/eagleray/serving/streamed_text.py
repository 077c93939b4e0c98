"""What text can be sent of the tokens so far, never to be taken back?

A token may hold a part of a character, and a text may be the beginning of a stop string: both wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_MAX_BROKEN = 3  # a character has four bytes at most, so three of them may wait for the next
_MAX_CONTEXT = 32  # tokens decoded again and again while they end in broken characters

_BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]


class Detokeniser:
    """Turns tokens into text one by one. Special tokens have none.

    Each new token is decoded together with those before it that gave text last: what a token says may depend on its
    neighbour (white space at a beginning).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []  # the context, from `_start`, and what is not yet sent whole
        self._mark = 0  # the first token after the context
        self._num_sent = 0  # characters of the text of `_ids`

    def push(self, token_id: int) -> str:
        """The text that is certain now."""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        certain = text.rstrip(_BROKEN)
        certain = text[: max(len(certain), len(text) - _MAX_BROKEN)]
        added = certain[self._num_sent :]
        self._num_sent = max(self._num_sent, len(certain))
        if added and certain == text:
            self._slide()
        elif len(self._ids) > _MAX_CONTEXT:
            added += text[self._num_sent :]
            self._slide()
        return added

    def finish(self) -> str:
        """What is left."""
        text = self._decode(self._ids)[self._num_sent :]
        self._num_sent += len(text)
        return text

    def _slide(self) -> None:
        del self._ids[: self._mark]
        self._mark = len(self._ids)
        self._num_sent = len(self._decode(self._ids))

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


class StopScanner:
    """Lets text through up to the first stop string, and keeps back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that may be sent, and whether a stop string was met; after one nothing more may be pushed."""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            return self._held[: min(found)], True
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        sent, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return sent, False

    def finish(self) -> str:
        """What was held back and became nothing."""
        held, self._held = self._held, ""
        return held


def token_bytes(tokenizer: PreTrainedTokenizerBase, token_id: int) -> bytes:
    """The UTF-8 bytes of a token, which need not be whole characters."""
    text = str(tokenizer.decode([token_id]))
    if _BROKEN not in text:
        return text.encode()
    token = str(tokenizer.convert_ids_to_tokens(token_id))
    if token.startswith("<0x") and token.endswith(">"):
        return bytes.fromhex(token[3:-1])
    if all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    return text.encode()


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
