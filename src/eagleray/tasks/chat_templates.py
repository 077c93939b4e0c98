"""How is a conversation written, by the name that a document gives?

Each marks what the assistant says by `{% generation %}` and ends it with the tokenizer's own end of text, which is what
makes a model stop. Markers that a vocabulary lacks are written as ordinary text.
"""

from __future__ import annotations

from typing import Final

_SAID = "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"


def _turns(*, opening: str, said: str, others: str, prompt: str) -> str:
    return (
        opening
        + "{% for message in messages %}{% if message['role'] == 'assistant' %}"
        + said
        + "{% else %}"
        + others
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + prompt
        + "{% endif %}"
    )


TEMPLATES: Final = {
    "chatml": _turns(
        opening="",
        said="{{ '<|im_start|>assistant\n' }}" + _SAID + "{{ '\n' }}",
        others="{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}",
        prompt="{{ '<|im_start|>assistant\n' }}",
    ),
    "llama-3": _turns(
        opening="{{ bos_token or '' }}",
        said="{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}" + _SAID,
        others=(
            "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim "
            "+ '<|eot_id|>' }}"
        ),
        prompt="{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
    ),
    "zephyr": _turns(
        opening="",
        said="{{ '<|assistant|>\n' }}" + _SAID + "{{ '\n' }}",
        others="{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}",
        prompt="{{ '<|assistant|>\n' }}",
    ),
    "alpaca": _turns(
        opening="",
        said="{{ '### Response:\n' }}" + _SAID + "{{ '\n\n' }}",
        others=(
            "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
            "{% else %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}{% endif %}"
        ),
        prompt="{{ '### Response:\n' }}",
    ),
    "plain": _turns(
        opening="",
        said="{{ 'assistant:\n' }}" + _SAID + "{{ '\n' }}",
        others="{{ message['role'] + ': ' + message['content'] + '\n' }}",
        prompt="{{ 'assistant:\n' }}",
    ),
}
"""By the name of a document's `task.template`."""
