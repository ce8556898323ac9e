"""What a person may choose about an adapter: small trained matrices beside frozen weights. Light to import."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.core.settings import Settings

__all__ = ["Adapter"]


class Adapter(Settings):
    """Settings of LoRA and its kin. The defaults are good ones."""

    rank: int = Field(16, ge=1, le=65536, description="Width of the matrices: what they can learn, and what they cost.")
    alpha: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="Their product counts alpha / rank (alpha / sqrt(rank) for rs). Default: twice the rank.",
    )
    targets: list[str] = Field(
        default=["all"],
        description="Linear layers by the end of their name (q_proj), or `all` but the output layer, or `attention`.",
    )
    rs: bool = Field(False, description="Divide by the root of the rank (rsLoRA): for ranks far above 16.")
    dora: bool = Field(False, description="Learn the length of each row of a weight apart from its direction (DoRA).")
    bits: Literal[4] | None = Field(
        None, description="4: the frozen weights are held in four bits each (NF4, as in QLoRA), by bitsandbytes."
    )

    @property
    def scale(self) -> float:
        """What the product of the matrices is multiplied by."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (self.rank**0.5 if self.rs else self.rank)
