"""A model as objectives see it: flat documents in, hidden states and summed losses out.

    hidden = policy.hidden(ids, packed)                   [T, H]
    total  = policy.token_loss(hidden[positions], targets)

The policy knows where the model's trunk and output layer are, and checks once that packed computation says
what the model itself says (``check``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.errors import TrainError
from tunesmith.models import attention
from tunesmith.models.attention import Packed
from tunesmith.models.head import linear_cross_entropy


class Policy:
    """A causal language model that is trained or scored on packed documents."""

    def __init__(self, model: PreTrainedModel) -> None:
        asked: Any = model
        head = asked.get_output_embeddings()
        if not isinstance(head, nn.Linear) or model.base_model is model:
            raise TrainError(f"{type(model).__name__} is not a causal language model with a linear output layer.")
        self.model = model
        self.head = head
        self.trunk: nn.Module = model.base_model
        self._cap = float(getattr(model.config, "final_logit_softcapping", None) or 0.0)
        config: Any = model.config.get_text_config()
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._work_of_pair = 2 * config.num_hidden_layers * config.num_attention_heads * width
        embeddings = {id(p) for m in self.trunk.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        self._work_of_token = sum(p.numel() for p in self.trunk.parameters() if p.ndim > 1 and id(p) not in embeddings)
        model.set_attn_implementation(attention.NAME)

    def hidden(self, ids: Tensor, packed: Packed) -> Tensor:
        """[T] ids -> [T, H] last hidden states, each document on its own."""
        out = self.trunk(
            input_ids=ids[None],
            position_ids=packed.positions[None],
            use_cache=False,
            packed=packed.cast(self.head.weight.dtype),
        )
        last: Tensor = out.last_hidden_state[0]
        return last

    def work(self, packed: Packed) -> tuple[int, int]:
        """(all, idle) multiplications of the trunk: for spare tokens, and for the empty slots of attention's tiles."""
        spare, idle = packed.spare * self._work_of_token, packed.idle_pairs * self._work_of_pair
        return packed.tokens * self._work_of_token + spare + packed.pairs * self._work_of_pair, spare + idle

    def token_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy of the ids ``targets`` [M] at hidden states [M, H]."""
        return linear_cross_entropy(hidden, self.head.weight, targets, self.head.bias, self._cap)

    @torch.no_grad()
    def logits(self, ids: Tensor, packed: Packed) -> Tensor:
        """[T, V] logits everywhere: for checks and small things."""
        logits: Tensor = self.head(self.hidden(ids, packed))
        if self._cap:
            logits = self._cap * torch.tanh(logits / self._cap)
        return logits

    @torch.no_grad()
    def check(self) -> None:
        """Refuse a model whose packed computation leaks between documents or differs from its own.

        One document is changed: the logits of the other must stay the same to the last bit. Then the packed
        logits are compared with the model's own forward on one document.
        """
        was_training = self.model.training
        self.model.train(False)
        try:
            vocabulary = self.head.weight.shape[0]
            generator = torch.Generator().manual_seed(0)
            ids = torch.randint(vocabulary, (12,), generator=generator).to(self.head.weight.device)
            packed = Packed.of([5, 7], self.head.weight.device)
            before = self.logits(ids, packed)
            changed = ids.clone()
            changed[:5] = (changed[:5] + 1) % vocabulary
            after = self.logits(changed, packed)
            name = type(self.model).__name__
            if not torch.equal(before[5:], after[5:]):
                raise TrainError(f"{name} lets packed documents see each other; it cannot be trained packed.")
            if torch.equal(before[:5], after[:5]):
                raise TrainError(f"{name} gives the same logits for different ids; the weights are damaged.")
            self.model.set_attn_implementation("sdpa")
            own = self.model(input_ids=ids[None, 5:], use_cache=False).logits[0]
            allowed = 0.06 if own.dtype == torch.bfloat16 else 1e-3
            scale = max(1.0, float(own.abs().max()))
            if float((own - before[5:]).abs().max()) > allowed * scale:
                raise TrainError(
                    f"Packed logits of {name} differ from its own; its output or attention has a part that "
                    "packed training does not know yet."
                )
        finally:
            self.model.set_attn_implementation(attention.NAME)
            self.model.train(was_training)
