"""Adam on tensors. PyTorch's own loads its compiler at first use, which costs seconds in each process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Adam:
    """Moves tensors in place along their gradients' running mean over its root mean square.

    Source: Kingma, Adam: A Method for Stochastic Optimization, ICLR 2015.
    """

    def __init__(
        self, parameters: Sequence[Tensor], rate: float, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.rate = rate
        self._parameters, self._betas, self._eps = list(parameters), betas, eps
        self._first = [torch.zeros_like(p) for p in self._parameters]
        self._second = [torch.zeros_like(p) for p in self._parameters]
        self._count = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step; a tensor without a gradient stays where it is."""
        self._count += 1
        slow, fast = self._betas
        for parameter, first, second in zip(self._parameters, self._first, self._second, strict=True):
            if parameter.grad is None:
                continue
            first.lerp_(parameter.grad, 1 - slow)
            second.mul_(fast).addcmul_(parameter.grad, parameter.grad, value=1 - fast)
            root = (second / (1 - fast**self._count)).sqrt_().add_(self._eps)
            parameter.addcdiv_(first, root, value=-self.rate / (1 - slow**self._count))
