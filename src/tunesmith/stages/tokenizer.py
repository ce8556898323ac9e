"""The ``tokenizer`` stage: learn a byte-level BPE vocabulary from a build's text, and give it a chat format.

Out comes a tokenizer folder as Hugging Face writes it, chat template included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.stages import rows
from tunesmith.stages.stage import KINDS, From, Job, Stage

PAD = "<|pad|>"
"""Stands in no row: who pads with it hides nothing that is learned."""


@KINDS.add("tokenizer")
class TokenizerStage(Stage):
    """Learn a vocabulary."""

    data: Annotated[str, From("data")] = Field(description="The build stage whose text is learned from.")
    vocab_size: int = Field(
        default=4096, ge=300, le=10_000_000, description="Tokens in the vocabulary, control tokens not counted."
    )
    chat: Literal["chatml", "zephyr", "tulu"] = Field(default="chatml", description="The chat format.")

    gives: ClassVar[tuple[str, ...]] = ("tokenizer",)
    rooms: ClassVar[tuple[str, ...]] = ("chat/tokenizer.py", "chat/format.py", "chat/templates", "stages/rows.py")

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.chat import ChatFormat, train_bpe

        build = job.inputs[self.data]
        # The questions are part of the vocabulary too, or they would fall apart into letters.
        job.step("reading the build's text and questions")
        tok = train_bpe(rows.corpus(build), self.vocab_size)
        fmt = ChatFormat.named(self.chat, tok)
        fmt.tok.add_special_tokens({"pad_token": PAD})
        fmt.tok.save_pretrained(job.out)
        sample = rows.texts(build)[:1000]
        ids, letters = sum(len(fmt.text_ids(text)) for text in sample), sum(len(text.encode()) for text in sample)
        job.step(f"{len(tok)} tokens, {letters / max(1, ids):.1f} bytes in a token")
        return {"vocabulary": len(tok), "bytes_per_token": round(letters / max(1, ids), 2), "chat": self.chat}
