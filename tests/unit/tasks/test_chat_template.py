"""What the assistant says is found in the output of any template, and nothing else is."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from eagleray.errors import DataError
from eagleray.spec.task.causal_lm import CausalLmSpec
from eagleray.tasks import chat_template, chat_templates
from tests.support import tiny_models

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# A system prompt of its own, stripped contents, the end of text behind the assistant alone.
STRIPPING = (
    "{% if messages[0]['role'] != 'system' %}{{ 'SYSTEM: be kind\n' }}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ 'BOT: ' + m['content'] | trim + eos_token }}"
    "{% else %}{{ m['role'] | upper + ': ' + m['content'] | trim + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'BOT:' }}{% endif %}"
)
# No end token at all: the last turn is left open.
OPEN = "{% for m in messages %}{{ '\n' + m['role'] + '> ' + m['content'] }}{% endfor %}{{ '\n' }}"
# Drops what the assistant thought in earlier turns, as reasoning models' templates do.
FORGETFUL = (
    "{% for m in messages %}{{ '[' + m['role'] + ']' }}"
    "{% if loop.last %}{{ m['content'] }}{% else %}{{ m['content'].split('</think>')[-1] }}{% endif %}"
    "{{ eos_token }}{% endfor %}"
)
MARKED = (
    "{% for m in messages %}{{ m['role'] + ':\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}"
    "{{ '\n' }}{% endfor %}"
)
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
END = "<|endoftext|>"


def turns(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    spoken = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]
    return ([{"role": "system", "content": system}] if system else []) + spoken


def learned(template: str | None, messages: list[dict[str, str]], specials: tuple[str, ...] = ()) -> list[str]:
    """The stretches of text that are targets."""
    tokenizer = tiny_models.decoder_tokenizer(chat_template=template, specials=specials)
    ids, mask = chat_template.encode(tokenizer, messages)
    assert len(ids) == len(mask)
    stretches: list[list[int]] = []
    for index, (token, is_target) in enumerate(zip(ids, mask, strict=True)):
        if not is_target:
            continue
        if index == 0 or not mask[index - 1]:
            stretches.append([])
        stretches[-1].append(token)
    return [tokenizer.decode(stretch) for stretch in stretches]


@pytest.mark.parametrize(
    ("template", "specials", "messages", "expected"),
    [
        pytest.param(None, (), turns("hi", "hello"), [f"hello{END}"], id="ours"),
        pytest.param(
            None, (), turns("hi", "hello", "bye", "ciao"), [f"hello{END}", f"ciao{END}"], id="ours, two turns"
        ),
        pytest.param(
            CHATML,
            ("<|im_start|>", "<|im_end|>"),
            turns("hi", "hello", "bye", "ciao", system="be kind"),
            ["hello<|im_end|>", "ciao<|im_end|>"],
            id="ChatML with tokens of its own",
        ),
        pytest.param(CHATML, (), turns("hi", "hello"), [f"hello{END}"], id="ChatML whose end is no token"),
        pytest.param(
            STRIPPING, (), turns("hi", "  hello ", "bye", "ciao"), [f" hello{END}", f" ciao{END}"], id="stripping"
        ),
        pytest.param(STRIPPING, (), turns("hi", "hello", "bye"), [f" hello{END}"], id="user has the last word"),
        pytest.param(OPEN, (), turns("hi", "hello"), [f" hello{END}"], id="left open"),
        pytest.param(
            FORGETFUL,
            (),
            turns("hi", "<think>a</think>hello", "bye", "ciao"),
            [f"hello{END}", f"ciao{END}"],
            id="forgetful",
        ),
        pytest.param(MARKED, (), turns("hi", "hello"), [f"hello{END}"], id="marked by the template"),
        pytest.param(
            None, (), turns("hello", "hello", "hello", "hello"), [f"hello{END}"] * 2, id="same words on both sides"
        ),
        pytest.param(None, (), turns("你好", "你好 很高兴 🙂"), [f"你好 很高兴 🙂{END}"], id="Chinese and emoji"),
    ],
)
def test_targets(
    template: str | None, specials: tuple[str, ...], messages: list[dict[str, str]], expected: list[str]
) -> None:
    assert learned(template, messages, specials) == expected


def test_prompt_is_what_training_showed_before_the_answer() -> None:
    tokenizer = tiny_models.decoder_tokenizer(chat_template=CHATML, specials=("<|im_start|>", "<|im_end|>"))
    ids, mask = chat_template.encode(tokenizer, turns("hi", "hello"))

    assert chat_template.prompt_ids(tokenizer, turns("hi")) == ids[: mask.index(1)]


def test_prompt_of_our_own_template() -> None:
    tokenizer = tiny_models.decoder_tokenizer()
    ids, mask = chat_template.encode(tokenizer, turns("hi", "hello"))

    assert chat_template.prompt_ids(tokenizer, turns("hi")) == ids[: mask.index(1)]


def test_a_template_that_refuses_is_a_data_error() -> None:
    tokenizer = tiny_models.decoder_tokenizer(chat_template=REFUSING)

    with pytest.raises(DataError, match=r"refuses a conversation \(system, user, assistant\): no system role"):
        chat_template.encode(tokenizer, turns("hi", "hello", system="be kind"))


def test_a_template_that_hides_the_turn_is_a_data_error() -> None:
    tokenizer = tiny_models.decoder_tokenizer(chat_template="{{ messages[0]['content'] }}")

    with pytest.raises(DataError, match=r"mark.* it with {% generation %}"):
        chat_template.encode(tokenizer, turns("hi", "hello"))


def test_install_changes_a_copy() -> None:
    bare = tiny_models.decoder_tokenizer()
    own = tiny_models.decoder_tokenizer(chat_template=CHATML)

    assert chat_template.install(bare).chat_template == chat_template.CHAT_TEMPLATE
    assert bare.chat_template is None
    assert chat_template.install(own) is own


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(None, "must hold a list of messages", id="missing"),
        pytest.param([], "must hold a list of messages", id="empty"),
        pytest.param("hi", "must hold a list of messages", id="text"),
        pytest.param(["hi"], "message 1: 'hi' is not an object", id="no object"),
        pytest.param([{"role": "bot", "content": "x"}], "message 1: role 'bot' is none of system, user", id="role"),
        pytest.param(
            [{"role": "user", "content": "x"}, {"role": "assistant"}],
            "message 2: `content` must be text, it is None",
            id="no content",
        ),
    ],
)
def test_wrong_conversations(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chat_template.read_messages(value, column="messages")


def test_templates_are_those_of_the_spec() -> None:
    assert {"own", *chat_templates.TEMPLATES} == set(typing.get_args(CausalLmSpec.model_fields["template"].annotation))


@pytest.mark.parametrize("name", chat_templates.TEMPLATES)
def test_named_templates(name: str) -> None:
    """Of several turns each answer is learned with its end, and a prompt is the beginning of what was trained."""
    template = chat_templates.TEMPLATES[name]
    messages = turns("hi", "hello", "how are you?", "fine", system="be kind")

    assert learned(template, messages) == [f"hello{END}", f"fine{END}"]
    tokenizer = tiny_models.decoder_tokenizer(chat_template=template)
    asked = tokenizer.decode(chat_template.prompt_ids(tokenizer, messages[:-1]))
    assert tokenizer.decode(chat_template.encode(tokenizer, messages)[0]).startswith(asked)
