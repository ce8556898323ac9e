"""Low-rank adapters: a frozen weight W, and two small matrices that are trained instead of it.

    y = x W^T + scale * (x A^T) B^T + bias          LoRA   (Hu et al. 2021); rsLoRA by its scale (Kalajdzievski 2023)
    y = m / |W + scale B A| * (...) + bias          DoRA   (Liu et al. 2024); the norm is one of each row of W

    attach(model, settings, seed=1)     frozen linear layers get adapters, in place
    save_adapter(model, folder, ...)    as PEFT would write it
    merge(model, exact)                 the weights with what was learned added, into a plain model

The layers are ours and not PEFT's because theirs makes four more passes over the activations; ours adds into the
product of the frozen weight, forward and backward, and keeps nothing but the layer's input. W may be held in four bits
(QLoRA, Dettmers et al. 2023): it is then made whole for one product at a time.

Shapes: T tokens, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.core.errors import TrainError, UnknownName, nearest
from tunesmith.models.adapter import Adapter
from tunesmith.models.hf.linear import is_linear, matrix, transposed

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query_key_value", "c_attn", "dense")
"""What `targets: attention` means in the models that we know; ``dense`` only below an attention."""


class _LowRankProduct(torch.autograd.Function):
    """x W^T + scale * (x A^T) B^T for x [..., I]; W comes from a call, so that it need not be kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Callable[[], Tensor], a: Tensor, b: Tensor, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.t()
        out = flat @ weight().t()
        out.addmm_(low, b.t(), alpha=scale)
        ctx.save_for_backward(flat, low, a, b)
        ctx.weight, ctx.scale, ctx.shape = weight, scale, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, low, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        d_low = (grad @ b).mul_(ctx.scale)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = grad @ ctx.weight()
            d_x.addmm_(d_low, a)
            d_x = d_x.view(ctx.shape)
        d_a = d_low.t() @ flat
        d_b = (grad.t() @ low).mul_(ctx.scale)
        return d_x, None, d_a, d_b, None


class LowRank(nn.Module):
    """A frozen linear layer with an adapter."""

    def __init__(self, base: nn.Module, settings: Adapter, generator: torch.Generator) -> None:
        super().__init__()
        weight = matrix(base)
        outputs, inputs = weight.shape
        self.rank, self.scale = settings.rank, settings.scale
        bound = math.sqrt(1.0 / inputs)  # Kaiming's uniform with a = sqrt(5), as LoRA has it; B begins at nothing
        a = torch.empty(settings.rank, inputs).uniform_(-bound, bound, generator=generator)
        like: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
        self.a = nn.Parameter(a.to(**like))
        self.b = nn.Parameter(torch.zeros(outputs, settings.rank, **like))
        self.magnitude: nn.Parameter | None = None
        self.frozen: nn.Module = _FourBits(base) if settings.bits else base
        for parameter in self.frozen.parameters():
            parameter.requires_grad_(False)
        if settings.dora:
            lengths = torch.linalg.vector_norm(self.weight().float(), dim=1)
            self.register_buffer("_squares", lengths.square(), persistent=False)
            self.magnitude = nn.Parameter(lengths.to(**like))

    def weight(self) -> Tensor:
        """The frozen weight [O, I]."""
        return self.frozen.dense() if isinstance(self.frozen, _FourBits) else matrix(self.frozen)

    @property
    def bias(self) -> Tensor | None:
        bias: Tensor | None = getattr(self.frozen, "bias", None)
        return bias

    def lengths(self) -> Tensor:
        """|W + scale B A| of each row [O], by the squares of its parts: the sum itself is never made."""
        a, b = self.a.detach().float(), self.b.detach().float()
        cross = (self.weight().float() @ a.t() * b).sum(1)
        own = (b @ (a @ a.t()) * b).sum(1)
        squares: Tensor = self._squares  # type: ignore[assignment]
        lengths: Tensor = (squares + 2 * self.scale * cross + self.scale**2 * own).clamp_min(0).sqrt()
        return lengths

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _LowRankProduct.apply(x, self.weight, self.a, self.b, self.scale)  # type: ignore[no-untyped-call]
        if self.magnitude is not None:
            out = out * (self.magnitude / self.lengths().to(self.magnitude.dtype))
        return out if self.bias is None else out + self.bias

    @torch.no_grad()
    def merged(self, weight: Tensor) -> Tensor:
        """``weight`` [O, I] with what was learned added, in float32. For DoRA the lengths are those of that sum."""
        whole = weight.float() + self.scale * (self.b.float() @ self.a.float())
        if self.magnitude is not None:
            whole *= (self.magnitude.float() / torch.linalg.vector_norm(whole, dim=1))[:, None]
        return whole


class _FourBits(nn.Module):
    """A weight in four bits a number (NF4 in blocks of 64, their scales in eight bits)."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        try:
            from bitsandbytes import functional
        except ImportError:
            raise TrainError("bits: 4 needs bitsandbytes: pip install bitsandbytes") from None
        self._functional: Any = functional
        self.state: Any
        weight = matrix(base).detach().contiguous()
        self.packed, self.state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        self.bias = getattr(base, "bias", None)

    def dense(self) -> Tensor:
        weight: Tensor = self._functional.dequantize_4bit(self.packed, self.state)
        return weight

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _FourBits:
        # What moves a model to a device moves this too; what changes its data type must leave the packed bytes alone.
        device = fn(torch.empty(0, device=self.packed.device)).device
        if device != self.packed.device:
            self.packed = self.packed.to(device)
            self.state.to(device)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def attach(model: PreTrainedModel, settings: Adapter, *, seed: int, device: torch.device | str | None = None) -> None:
    """Freeze the model and give its target layers adapters, drawn from ``seed``.

    With ``device``, each weight goes there before it is put into four bits, so that the whole model never has to fit.
    """
    names = targets(model, settings.targets)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in names:
        base = model.get_submodule(name)
        if settings.bits and device is not None:
            base.to(device)
        above, _, last = name.rpartition(".")
        setattr(model.get_submodule(above), last, LowRank(base, settings, generator))


def targets(model: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """The names of the linear layers that are meant; one that means none is an error."""
    asked: Any = model
    head = asked.get_output_embeddings()
    linear = {name: m for name, m in model.named_modules() if is_linear(m) and m is not head}
    chosen: set[str] = set()
    for want in wanted:
        if want == "all":
            found = set(linear)
        elif want == "attention":
            found = {n for n in linear if n.rpartition(".")[2] in ATTENTION and ("attn" in n or "attention" in n)}
        else:
            found = {n for n in linear if n == want or n.endswith("." + want)}
        if not found:
            ends = sorted({n.rpartition(".")[2] for n in linear})
            raise UnknownName(f"Target of the adapter of {type(model).__name__}:", want, ["all", "attention", *ends])
        chosen |= found
    return [name for name in linear if name in chosen]


def adapters(model: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """The layers that have an adapter, by the name that the plain layer had."""
    for name, module in model.named_modules():
        if isinstance(module, LowRank):
            yield name, module


def freeze(model: PreTrainedModel, patterns: Sequence[str]) -> None:
    """Train no parameter whose name fits one of ``patterns``: ``model.embed_tokens``, ``model.layers.[0-3].*``."""
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        fits = [n for n in names if fnmatch.fnmatch(n, pattern) or n.startswith(pattern + ".")]
        if not fits:
            parts = {n.rsplit(".", k)[0] for n in names for k in range(n.count(".") + 1)}
            near = nearest(pattern, parts)
            hint = f" Did you mean {near!r}?" if near else f" They are called {names[0]}, ..., {names[-1]}."
            raise TrainError(f"freeze: no parameter of {type(model).__name__} is called {pattern!r}.{hint}")
        for name in fits:
            model.get_parameter(name).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise TrainError("freeze: nothing is left to train.")


@torch.no_grad()
def merge(model: PreTrainedModel, exact: PreTrainedModel) -> PreTrainedModel:
    """Put what ``model`` has learned into ``exact``, the model that it began as, in the precision that it is stored in.

    Weights that were trained in four bits are merged as they were in training, so that the merged model says what the
    trained one said.
    """
    learned = dict(adapters(model))
    for name, layer in learned.items():
        plain = exact.get_submodule(name)
        into = matrix(plain)
        began = layer.weight() if isinstance(layer.frozen, _FourBits) else into
        into.copy_(layer.merged(began.to(layer.a.device)).to(into.device, into.dtype))
    inside = tuple(f"{name}." for name in learned)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.startswith(inside):
            exact.get_parameter(name).copy_(parameter.to(dtype=exact.get_parameter(name).dtype))
    return exact


def save_adapter(model: PreTrainedModel, folder: Path, settings: Adapter, *, base: str) -> None:
    """Write the adapter as PEFT does: ``adapter_config.json`` and ``adapter_model.safetensors``. A README says which
    base it belongs to, and in which precision."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    names = []
    for name, layer in adapters(model):
        names.append(name)
        place = f"base_model.model.{name}"
        tensors[f"{place}.lora_A.weight"] = layer.a
        tensors[f"{place}.lora_B.weight"] = layer.b
        if layer.magnitude is not None:
            tensors[f"{place}.lora_magnitude_vector"] = layer.magnitude
    inside = tuple(f"{name}." for name in names)
    others = {n: p for n, p in model.named_parameters() if p.requires_grad and not n.startswith(inside)}
    # Under each of its names: PEFT asks for the embeddings again by the name of an output layer that shares them.
    names_of_all = model.named_parameters(remove_duplicate=False)
    tensors |= {f"base_model.model.{n}": p for n, p in names_of_all if any(p is other for other in others.values())}
    first = model.get_submodule(names[0])
    assert isinstance(first, LowRank)
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.scale * (settings.rank**0.5 if settings.rs else settings.rank),
        "use_rslora": settings.rs,
        "use_dora": settings.dora,
        "target_modules": sorted(names),
        "modules_to_save": sorted({n.removesuffix(".weight").rpartition(".")[2] for n in others}) or None,
        "ensure_weight_tying": bool(others) and _tied(model),
        "fan_in_fan_out": transposed(first.frozen),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(settings, base), encoding="utf-8")
    plain = {k: t.detach().to("cpu").clone() for k, t in tensors.items()}
    safetensors.torch.save_file(plain, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _card(settings: Adapter, base: str) -> str:
    """What somebody has to know who loads the adapter."""
    text = f"# Adapter\n\nA low-rank adapter for `{base}`, in PEFT's format.\n"
    if settings.bits == 4:
        text += _NF4
    return text


_NF4 = """
It was trained on the base in four bits (NF4 in blocks of 64, with double quantisation). Load the base in the same way;
on the plain base the adapter gives other logits:

```python
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
model = AutoModelForCausalLM.from_pretrained(BASE, quantization_config=four_bits)
model.load_adapter(ADAPTER)
```

The folder `model` beside it holds the merged model, which needs neither.
"""


def _tied(model: Any) -> bool:
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight
