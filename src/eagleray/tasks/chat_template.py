"""Which tokens of a conversation does the assistant say? And how is one written where the tokenizer has no template?

Templates differ in everything but one thing: what the assistant says appears in the text. So its place is found by
rendering the conversation once more with a mark in place of one assistant turn: what comes before and after the mark is
what surrounds that turn. This needs no knowledge of the template, and holds for templates that strip white space, write
a system prompt of their own or drop parts of earlier turns. A template that marks the assistant's tokens itself, by
`{% generation %}`, is taken at its word.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from eagleray.errors import DataError

Message = dict[str, str]

ROLES = ("system", "user", "assistant", "tool")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + (eos_token or '<|im_end|>') }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, but an assistant turn ends with the tokenizer's own end token: that is what makes the model stop."""

_END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|eom_id|>", "<|return|>", "<|end_of_text|>")
_MARK = "\ue000eagleray\ue001"  # private-use characters: in no conversation
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


def install(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, or where it has no chat template a copy with ours: what is saved beside a trained chat model."""
    if tokenizer.chat_template:
        return tokenizer
    copied = copy.deepcopy(tokenizer)
    copied.chat_template = CHAT_TEMPLATE
    return copied


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The conversation so far and the opening of the assistant's next turn."""
    return list(_ids(tokenizer, _render(tokenizer, messages, add_generation_prompt=True))["input_ids"])


def encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """Token ids of a conversation, and for each 1 where the assistant says it, its end of turn included."""
    find = _marked_by_template if _GENERATION.search(_template(tokenizer)) else _found_by_rendering
    ids, mask = find(tokenizer, messages)
    return _closed(tokenizer, ids, mask) if messages[-1]["role"] == "assistant" else (ids, mask)


def end_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an assistant's turn: the end of text, and the usual end-of-turn tokens where it has them."""
    ids = {} if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id): None}
    added = {str(token): index for index, token in tokenizer.added_tokens_decoder.items()}
    return list(ids | {added[token]: None for token in _END_OF_TURN if token in added})


def read_messages(value: Any, *, column: str) -> list[Message]:
    """Check a conversation. Raises ValueError that names the message."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"column `{column}` must hold a list of messages, each with `role` and `content`")
    return [_read_message(message, f"column `{column}`, message {n}") for n, message in enumerate(value, start=1)]


def _read_message(message: Any, place: str) -> Message:
    if not isinstance(message, Mapping):
        raise ValueError(f"{place}: {message!r} is not an object with `role` and `content`")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise ValueError(f"{place}: role {role!r} is none of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"{place}: `content` must be text, it is {content!r}")
    return {"role": role, "content": content}


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.get_chat_template() if tokenizer.chat_template else CHAT_TEMPLATE)


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool = False
) -> str:
    try:
        return str(
            tokenizer.apply_chat_template(
                list(messages),
                chat_template=_template(tokenizer),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"the tokenizer's chat template refuses a conversation ({roles}): {error}") from error


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, offsets: bool = False) -> Any:
    # The template has written the special tokens already.
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=offsets, verbose=False)


def _marked_by_template(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    encoded: Any = tokenizer.apply_chat_template(
        list(messages), chat_template=_template(tokenizer), return_dict=True, return_assistant_tokens_mask=True
    )
    return list(encoded["input_ids"]), list(encoded["assistant_masks"])


def _found_by_rendering(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    text = _render(tokenizer, messages)
    encoded = _ids(tokenizer, text, offsets=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    mask = [0] * len(ids)
    ends = set(end_ids(tokenizer))
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant" and message["content"]]
    for turn in turns:
        start, end = _place(tokenizer, messages, turn, text)
        said = [index for index, (first, last) in enumerate(offsets) if first < end and last > start]
        for index in said:
            mask[index] = 1
        if said and said[-1] + 1 < len(ids) and ids[said[-1] + 1] in ends:
            mask[said[-1] + 1] = 1
    return list(ids), mask


def _place(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], turn: int, text: str) -> tuple[int, int]:
    """Where in `text` the content of assistant turn `turn` begins and ends, in characters."""
    marked = [{**message, "content": _MARK} if n == turn else message for n, message in enumerate(messages)]
    before, found, after = _render(tokenizer, marked).partition(_MARK)
    start, end = len(before), len(text) - len(after)
    if not found or not text.startswith(before) or not text.endswith(after) or start > end:
        raise DataError(
            "the tokenizer's chat template writes an assistant turn in a way that cannot be found in its output: "
            "use a template that marks it with {% generation %} … {% endgeneration %}"
        )
    return start, end


def _closed(tokenizer: PreTrainedTokenizerBase, ids: list[int], mask: list[int]) -> tuple[list[int], list[int]]:
    """End the assistant's last turn with the end of text, where the template leaves it open."""
    last = max((index for index, is_target in enumerate(mask) if is_target), default=None)
    if last is None or tokenizer.eos_token_id is None or ids[last] in end_ids(tokenizer):
        return ids, mask
    return [*ids[: last + 1], tokenizer.eos_token_id], [*mask[: last + 1], 1]
