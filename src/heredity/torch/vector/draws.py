"""torch's random functions, drawing for one member from its key.

`Keyed` puts them in the place of torch's own while user code runs under `vmap`. What is drawn
follows from the key and the number of the call; this file knows nothing of members or steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from heredity.torch.vector.keys import SECOND_WEYL, below, signed, words

_TURN = 2.0 * math.pi


class Keyed(TorchFunctionMode):
    """Inside of it, torch's random functions draw from one member's key.

    Those of `KEYED` are replaced, and only those: `vmap` refuses the others. What
    `torch.nn.functional` makes of them in Python draws by them too.
    """

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self.key = key
        self.calls = 0
        self._within: list[Any] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if (replaced := KEYED.get(func)) is not None:
            return replaced(self, *args, **kwargs)
        if isinstance(func, FunctionType) and func.__module__ == functional.__name__:
            return self._made_of_others(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _made_of_others(self, func: FunctionType, *args: Any, **kwargs: Any) -> Any:
        """A function of torch.nn.functional, whose parts draw by the key too."""
        if func in self._within:  # some ask again under the same name
            return func(*args, **kwargs)
        self._within.append(func)
        try:
            with self:  # a mode is off while it answers
                return _unasked(func)(*args, **kwargs)
        finally:
            self._within.pop()

    def bits(self, shape: Sequence[int]) -> Tensor:
        """Random words of this shape, others at each call."""
        self.calls += 1
        call = self.key[:1] ^ signed(self.calls * SECOND_WEYL)
        return words(call, self.key[1:], math.prod(shape)).reshape(tuple(shape))

    def uniform(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Uniform in [0, 1), in steps of 2⁻²⁴."""
        dtype = dtype or torch.get_default_dtype()
        return ((self.bits(shape) >> 8) & 0xFFFFFF).to(dtype) * 2.0**-24

    def normal(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Standard normal, by Box and Muller (1958)."""
        radius = torch.sqrt(2.0 * self.exponential(shape, dtype))
        return radius * torch.cos(_TURN * self.uniform(shape, dtype))

    def exponential(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Exponential with mean 1."""
        return -torch.log1p(-self.uniform(shape, dtype))


@cache
def _unasked(function: FunctionType) -> FunctionType:
    """A function of torch.nn.functional that does not ask modes to stand in for it, since one has
    been asked and wants what it is made of."""
    never = lambda *tensors: False  # noqa: E731
    asked = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    names = {**function.__globals__, **dict.fromkeys(asked, never)}
    made = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


# Dropout -----------------------------------------------------------------------------------


def _dropout(
    keyed: Keyed, input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    return _dropped(keyed, input, p, input.shape) if training else input


def _dropout_of_channels(
    keyed: Keyed, input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
    return _dropped(keyed, input, p, shape) if training else input


def _dropped(keyed: Keyed, input: Tensor, p: Any, shape: Sequence[int]) -> Tensor:
    """Inverted dropout; `p` is a number or a member's own hparam."""
    if not isinstance(p, Tensor) and p >= 1.0:
        return input * 0.0
    kept = keyed.uniform(shape, input.dtype) >= p
    return input * torch.where(kept, 1.0 / (1.0 - p), 0.0).to(input.dtype)


def _attention(
    keyed: Keyed,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: Any = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot-product attention; step by step if there is dropout."""
    if not isinstance(dropout_p, Tensor) and dropout_p == 0.0:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (heads.repeat_interleave(repeats, -3) for heads in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights = query @ key.transpose(-2, -1) * scale
    if is_causal:
        attn_mask = torch.ones(weights.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        weights = weights.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        weights = weights + attn_mask
    return _dropped(keyed, weights.softmax(-1), dropout_p, weights.shape) @ value


# Numbers -----------------------------------------------------------------------------------


def _shape(size: tuple[Any, ...], named: Any) -> tuple[int, ...]:
    size = size or (named,)
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


def _rand(keyed: Keyed, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.uniform(_shape(size, rest.get("size")), dtype)


def _randn(keyed: Keyed, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.normal(_shape(size, rest.get("size")), dtype)


def _rand_like(keyed: Keyed, input: Tensor, *, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.uniform(input.shape, dtype or input.dtype)


def _randn_like(keyed: Keyed, input: Tensor, *, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.normal(input.shape, dtype or input.dtype)


def _normal(keyed: Keyed, mean: Any = 0.0, std: Any = 1.0, size: Any = None, **rest: Any) -> Tensor:
    tensors = [part for part in (mean, std) if isinstance(part, Tensor)]
    shape = torch.broadcast_shapes(*(part.shape for part in tensors)) if tensors else size
    dtype = tensors[0].dtype if tensors else rest.get("dtype")
    return torch.add(mean, std * keyed.normal(shape, dtype))


def _bernoulli(keyed: Keyed, input: Tensor, p: Any = None, **rest: Any) -> Tensor:
    return (keyed.uniform(input.shape) < (input if p is None else p)).to(input.dtype)


def _randint(keyed: Keyed, *bounds_and_size: Any, dtype: Any = torch.int64, **rest: Any) -> Tensor:
    *bounds, size = bounds_and_size if "size" not in rest else (*bounds_and_size, rest["size"])
    low, high = (0, *bounds)[-2:]
    return torch.add(below(keyed.bits(tuple(size)), high - low).to(dtype), low)


def _randperm(keyed: Keyed, n: int, *, dtype: Any = torch.int64, **rest: Any) -> Tensor:
    return keyed.bits((n,)).argsort(stable=True).to(dtype)


def _multinomial(
    keyed: Keyed, input: Tensor, num_samples: int, replacement: bool = False, **rest: Any
) -> Tensor:
    """A race of clocks, exponential with the weights for rates: the first to ring are drawn."""
    races = num_samples if replacement else 1
    times = keyed.exponential((*input.shape[:-1], races, input.shape[-1]), input.dtype)
    rates = input.unsqueeze(-2)
    times = torch.where(rates > 0, times / rates, math.inf)
    if replacement:
        return times.argmin(-1)
    return times.squeeze(-2).argsort(-1)[..., :num_samples]


# In place ----------------------------------------------------------------------------------


def _empty(keyed: Keyed, *size: Any, memory_format: Any = None, **rest: Any) -> Tensor:
    """Memory of each member's own, to be filled in place."""
    return _owned(keyed, torch.zeros(*size, **rest))


def _empty_like(keyed: Keyed, input: Tensor, *, memory_format: Any = None, **rest: Any) -> Tensor:
    return _owned(keyed, torch.zeros_like(input, **rest))


def _owned(keyed: Keyed, shared: Tensor) -> Tensor:
    return shared + (keyed.key[0] * 0).to(shared.dtype)


def _normal_(keyed: Keyed, input: Tensor, mean: Any = 0.0, std: Any = 1.0, **rest: Any) -> Tensor:
    return input.copy_(mean + std * keyed.normal(input.shape, input.dtype))


def _uniform_(keyed: Keyed, input: Tensor, low: Any = 0.0, high: Any = 1.0, **rest: Any) -> Tensor:
    low, high = rest.get("from", low), rest.get("to", high)
    return input.copy_(low + (high - low) * keyed.uniform(input.shape, input.dtype))


def _exponential_(keyed: Keyed, input: Tensor, lambd: Any = 1.0, **rest: Any) -> Tensor:
    return input.copy_(keyed.exponential(input.shape, input.dtype) / lambd)


KEYED: dict[Any, Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    functional.dropout1d: _dropout_of_channels,
    functional.dropout2d: _dropout_of_channels,
    functional.dropout3d: _dropout_of_channels,
    functional.scaled_dot_product_attention: _attention,
    torch.dropout: _dropout,
    torch.rand: _rand,
    torch.randn: _randn,
    torch.rand_like: _rand_like,
    torch.randn_like: _randn_like,
    torch.normal: _normal,
    torch.randint: _randint,
    torch.randperm: _randperm,
    torch.bernoulli: _bernoulli,
    torch.multinomial: _multinomial,
    torch.empty: _empty,
    torch.empty_like: _empty_like,
    torch.Tensor.bernoulli: _bernoulli,
    torch.Tensor.multinomial: _multinomial,
    torch.Tensor.normal_: _normal_,
    torch.Tensor.uniform_: _uniform_,
    torch.Tensor.exponential_: _exponential_,
}
"""torch's function → its keyed form. Modules such as `nn.Dropout` are made of these."""
