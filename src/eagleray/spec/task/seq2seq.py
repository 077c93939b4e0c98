"""What a document says of seq2seq."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec import reported
from eagleray.spec.base import Conflict, ConflictError, Text
from eagleray.spec.task.base import Answer, BleuTokenizer, Input, TaskBase, WordNetFolder, WrittenSplits
from eagleray.spec.task.content import RowContent


class Seq2SeqSpec(TaskBase):
    """A text made of another text, by an encoder and a decoder."""

    type: Literal["seq2seq"]
    """What is learned."""
    preset: Literal["text", "summarization", "translation"] = "text"
    """What the generated texts are measured by: ROUGE and METEOR for summaries, BLEU, chrF and METEOR for translations,
    all of them for any text."""
    source: Text = "source"
    """Column of the text that is given."""
    target: Text = "target"
    """Column of the text to make of it."""
    prefix: str = ""
    """What is put before every source, as T5 wants it: `"summarize: "`."""
    pair: Text | None = None
    """Column that says which of `pairs` a row is."""
    pairs: dict[str, str] = Field(default={})
    """The language pairs, and what is put before a source of each: `{en-de: "translate English to German: "}`."""
    max_target_length: Annotated[int, Field(ge=2)] = 128
    """Tokens that a target may have; longer ones are cut."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """How many tokens are generated at most."""
    num_beams: Annotated[int, Field(ge=1)] = 1
    """How many continuations are followed at a time; 1 takes the likeliest token each time."""
    length_penalty: float = 1.0
    """Above 0 longer texts are favoured by beam search, below 0 shorter ones."""
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    """No sequence of so many tokens is generated twice; 0: any may be."""
    generate_for: WrittenSplits = ("test",)
    """For which splits texts are generated and measured, once, when training has ended."""
    bleu_tokenizer: BleuTokenizer = "13a"
    """How sacrebleu cuts texts into words for BLEU."""
    wordnet: WordNetFolder | None = None
    """WordNet's files, by which METEOR counts synonyms, too. Left out: words and their stems alone."""

    @model_validator(mode="after")
    def _pairs_have_a_column(self) -> Seq2SeqSpec:
        if (self.pair is None) != (not self.pairs):
            told = "`pair` names the column that says which of `pairs` a row is: give both or neither"
            raise ConflictError(Conflict("pair" if self.pair is None else "pairs", told))
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.LANGUAGE_MODEL

    @property
    def final_metric_names(self) -> tuple[str, ...]:
        names = reported.GENERATED[self.preset]
        return (*names, *(f"{name}_{pair}" for pair in self.pairs for name in names))

    @property
    def written_splits(self) -> tuple[str, ...]:
        return self.generate_for

    @property
    def compares(self) -> Literal["rows", "texts", "nothing"]:
        return "texts" if self.generate_for else "nothing"

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.source: "text"} if self.pair is None else {self.source: "text", self.pair: "text"}

    @property
    def answer(self) -> Answer:
        return "text"

    @property
    def content(self) -> RowContent:
        return RowContent(
            texts=("source", "target"), why_no_copies="another source wants another target, be it by one word"
        )
