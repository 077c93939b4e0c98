"""What a document says of causal-lm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec import reported
from eagleray.spec.base import Conflict, ConflictError, Text
from eagleray.spec.task.base import Answer, BleuTokenizer, Input, TaskBase, WordNetFolder, WrittenSplits
from eagleray.spec.task.content import RowContent
from eagleray.spec.task.objective import DpoSpec, LikelihoodSpec, ObjectiveSpec


class CausalLmSpec(TaskBase):
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
    system: Text | None = None
    """System prompt of the conversations that begin with none (`format: chat`); also of those to answer."""
    template: Literal["own", "chatml", "llama-3", "zephyr", "alpaca", "plain"] = "own"
    """How a conversation is written (`format: chat`): as the tokenizer says, or where it says nothing as ChatML; or by
    a template of this name, which the trained model then has as its own."""
    long: Literal["cut", "split"] = "cut"
    """What becomes of a text of more than `data.max_length` tokens (`format: text`): its end is cut off, or it becomes
    several samples, so that every token is learned from."""
    objective: ObjectiveSpec = LikelihoodSpec(type="likelihood")
    """What is minimised: `likelihood` says what the rows say, `dpo` prefers one answer to another."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """How many tokens are generated at most."""
    generate_for: WrittenSplits = ()
    """For which splits texts are generated and measured, once, when training has ended (not `format: text`)."""
    bleu_tokenizer: BleuTokenizer = "13a"
    """How sacrebleu cuts texts into words for BLEU."""
    wordnet: WordNetFolder | None = None
    """WordNet's files, by which METEOR counts synonyms, too. Left out: words and their stems alone."""

    @model_validator(mode="after")
    def _only_texts_are_split(self) -> CausalLmSpec:
        if self.long == "split" and self.format != "text":
            message = f"`split` is for `format: text`: of a {self.format} only the whole makes sense, leave it out"
            raise ConflictError(Conflict("long", message))
        return self

    @model_validator(mode="after")
    def _only_conversations_have_a_template(self) -> CausalLmSpec:
        given = {"system": self.system is not None, "template": self.template != "own"}
        if self.format != "chat" and any(given.values()):
            key = next(key for key, is_given in given.items() if is_given)
            raise ConflictError(Conflict(key, f"is for `format: chat`, not for {self.format}: leave it out"))
        return self

    @model_validator(mode="after")
    def _texts_are_written_to_something(self) -> CausalLmSpec:
        if self.generate_for and self.format == "text":
            message = "a text has no prompt to write an answer to: set `format: completion` or `chat`, or leave it out"
            raise ConflictError(Conflict("generate_for", message))
        return self

    @model_validator(mode="after")
    def _answers_are_to_something(self) -> CausalLmSpec:
        if isinstance(self.objective, DpoSpec) and self.format == "text":
            message = "`dpo` compares two answers to a prompt: set `format: completion`, or `chat`"
            raise ConflictError(Conflict("objective.type", message))
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.PREFERENCE if isinstance(self.objective, DpoSpec) else reported.LANGUAGE_MODEL

    @property
    def final_metric_names(self) -> tuple[str, ...]:
        return reported.GENERATED["text"] if self.generate_for else ()

    @property
    def written_splits(self) -> tuple[str, ...]:
        return self.generate_for

    @property
    def compares(self) -> Literal["rows", "texts", "nothing"]:
        return "texts" if self.generate_for else "nothing"

    @property
    def inputs(self) -> dict[str, Input]:
        match self.format:
            case "chat":
                return {self.messages: "messages"}
            case "completion":
                return {self.prompt: "text"}
            case "text":
                return {self.text: "text"}

    @property
    def answer(self) -> Answer:
        return "text"

    @property
    def can_be_packed(self) -> bool:
        return not isinstance(self.objective, DpoSpec)

    @property
    def content(self) -> RowContent:
        if isinstance(self.objective, DpoSpec):
            asked = ("prompt",) if self.format == "completion" else ("messages", "context")
            return RowContent(
                texts=(*asked, "chosen", "rejected"), why_no_copies="its answers are to that prompt alone"
            )
        if self.format == "completion":
            return RowContent(texts=("prompt", "completion"), inputs=("prompt",))
        why = f"with `format: {self.format}` the text is what the model learns to say"
        return RowContent(texts=("text", "prompt", "messages", "context"), why_no_copies=why)
