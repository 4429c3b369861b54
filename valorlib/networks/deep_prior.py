"""VALOR-Net's two networks and their training on one case: alternating steps, the weights being all that is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.networks.unet import UNet
from valorlib.ops.adam import Adam
from valorlib.ops.valor_energy import Energy, closed_form


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Torch's chance from this seed inside the block; as it was after it."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the networks look and are trained. start: theta begins at the closed form instead of one half."""

    epochs: int
    width: int
    levels: int
    dropout: float
    learning_rate: float
    noise_channels: int
    start: bool
    seed: int


@dataclass(frozen=True, eq=False)
class Solution:
    """theta: (B, 1, J, I), 0 to 1, on T. u_pix: (B, 2, J, I). losses: (segmentation, registration) an epoch."""

    theta: Tensor
    u_pix: Tensor
    losses: tuple[tuple[float, float], ...]


START_LOGIT = 3.0


def train(energy: Energy, how: Training, *, each: Callable[[int, Tensor, Tensor], None], segments: bool) -> Solution:
    """Minimize the energy over the weights of two U-Nets.

    The first maps fixed noise (jittered each epoch) to theta, the second maps (T, R) to u. One Adam step each in turn.

    Args:
        energy: of the slices.
        how: networks and steps.
        each: called after every epoch with its number, theta and u_pix; may raise to end the run.
        segments: false leaves theta at zero and trains the second network alone (no markers).
    """
    moving, fixed = energy.moving, energy.fixed
    count, _, height, wide = moving.shape
    with seeded(how.seed, str(moving.device)):
        masker, mover = (
            UNet(ins, outs, width=how.width, levels=how.levels, dropout=how.dropout).to(moving.device)
            for ins, outs in ((how.noise_channels, 1), (2, 2))
        )
        noise = torch.rand(count, how.noise_channels, height, wide).to(moving.device) * 0.1
        base = _start_logit(energy) if how.start else torch.zeros_like(moving)
        steps = [Adam(list(net.parameters()), how.learning_rate) for net in (masker, mover)]
        pair, losses = torch.cat([moving, fixed], 1), []
        u_pix, theta = torch.zeros_like(pair), torch.zeros_like(moving)
        for epoch in range(how.epochs):
            seg_loss = 0.0
            if segments:
                theta = torch.sigmoid(masker(noise + 0.01 * torch.randn_like(noise)) + base)
                seg_loss = _step(steps[0], energy.segmentation(theta, u_pix.detach()))
                theta = theta.detach()
            u_pix = mover(pair)
            reg_loss = _step(steps[1], energy.registration(theta, u_pix))
            losses.append((seg_loss, reg_loss))
            each(epoch + 1, theta, u_pix.detach())
        masker.eval()
        mover.eval()
        with torch.no_grad():
            theta = torch.sigmoid(masker(noise) + base) if segments else theta
            u_pix = mover(pair)
    return Solution(theta, u_pix, tuple(losses))


def _start_logit(energy: Energy) -> Tensor:
    weights = energy.weights
    best = closed_form(energy.phi_moving, energy.distance, lambda_1=weights.lambda_1, mu=weights.mu)
    return START_LOGIT * (2 * best - 1)


def _step(optimizer: Adam, loss: Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())
