"""What is learned: one class a task, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text


class TextClassificationSpec(Spec):
    """One label, several labels or a number for a text or a pair of texts."""

    type: Literal["text-classification"]
    """What is learned."""
    problem: Literal["single-label", "multi-label", "regression"] = "single-label"
    """What the label column holds: one label, several labels, or a number."""
    text: Text = "text"
    """Column of the text."""
    text_pair: Text | None = None
    """Column of the second text, for tasks on pairs (entailment, similarity)."""
    label: Text = "label"
    """Column of the label: a string or integer, a list (or a string with `label_separator`), or a number."""
    labels: tuple[Text, ...] = ()
    """The label set in its order. Left out, it is what the training split holds, sorted."""
    label_separator: Text = ","
    """Between labels where a multi-label column is a string, as in CSV."""


class CausalLmSpec(Spec):
    """A language model that continues text."""

    type: Literal["causal-lm"]
    """What is learned."""
    format: Literal["text", "completion", "chat"] = "text"
    """What a row is. `text`: every token is a target. `completion`: prompt and completion. `chat`: a list of messages.
    In the last two only what the model shall say is a target."""
    text: Text = "text"
    """Column of the text (`format: text`)."""
    prompt: Text = "prompt"
    """Column of the prompt (`format: completion`)."""
    completion: Text = "completion"
    """Column of the completion (`format: completion`)."""
    messages: Text = "messages"
    """Column of the messages, each with `role` and `content` (`format: chat`)."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """How many tokens `predict` generates at most."""


TaskSpec = Annotated[TextClassificationSpec | CausalLmSpec, Field(discriminator="type")]
