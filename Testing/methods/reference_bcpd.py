"""MO-BCPD written out with dense matrices, in numpy alone: the oracle of the fast form.

Straight from the published updates: the M x M prior covariance, its posterior covariance and the M x N responsibilities
are all stored. Only for small clouds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln


@dataclass
class Dense:
    moved: np.ndarray
    scale: float
    rotation: np.ndarray
    shift: np.ndarray
    variance: float
    spread: np.ndarray
    bounds: list
    displacement: np.ndarray


def gibbs(y, organs, length, size, coherence):
    d2 = ((y[:, None] - y[None]) ** 2).sum(2)
    first, second = length[organs][:, None], length[organs][None]
    total = first**2 + second**2
    g = (2 * first * second / total) ** 1.5 * np.exp(-d2 / total)
    return size[organs][:, None] * size[organs][None] * coherence[organs][:, organs] * g


def log_gauss_kl(sigma, v, prior):
    """KL of N(v, sigma) in each of three axes from N(0, prior)."""
    m = len(prior)
    trace = np.trace(np.linalg.solve(prior, sigma))
    quad = (v * np.linalg.solve(prior, v)).sum()
    log_det = np.linalg.slogdet(prior)[1] - np.linalg.slogdet(sigma)[1]
    return 0.5 * (3 * (trace - m + log_det) + quad)


def dirichlet_kl(a, kappa):
    m = len(a)
    mean_log = digamma(a) - digamma(a.sum())
    return (
        gammaln(a.sum()) - gammaln(a).sum() - gammaln(kappa * m) + m * gammaln(kappa) + ((a - kappa) * mean_log).sum()
    )


def dense_bcpd(
    y,
    y_organs,
    x,
    x_organs,
    *,
    length,
    size,
    coherence,
    transition,
    omega,
    kappa,
    variance,
    loops,
    spread=True,
    jitter=1e-9,
):
    m = len(y)
    g = gibbs(y, y_organs, length, size, coherence)
    g = g + jitter * np.mean(np.diag(g)) * np.eye(m)
    volume = np.prod(x.max(0) - x.min(0))
    outlier = omega / (volume * len(transition))
    v, u, s, r, t = np.zeros_like(y), y.copy(), 1.0, np.eye(3), np.zeros(3)
    sigma_post, var, log_alpha, moved = None, np.zeros(m), np.full(m, -np.log(m)), y.copy()
    alpha_kl, bounds = 0.0, []
    like = transition[x_organs][:, y_organs].T
    for loop in range(loops):
        d2 = ((moved[:, None] - x[None]) ** 2).sum(2)
        phi = (2 * np.pi * variance) ** -1.5 * np.exp(-d2 / (2 * variance) - 1.5 * s**2 * var[:, None] / variance)
        joint = (1 - omega) * np.exp(log_alpha)[:, None] * like * phi
        total = outlier + joint.sum(0)
        if loop > 0:
            bounds.append(np.log(total).sum() - log_gauss_kl(sigma_post, v, g) - alpha_kl)
        p = joint / total
        nu, nu_fixed, px = p.sum(1), p.sum(0), p @ x
        count = nu.sum()
        precision = np.linalg.inv(g) + s**2 / variance * np.diag(nu)
        sigma_post = np.linalg.inv(precision)
        pull = (px - nu[:, None] * t) @ r / s - nu[:, None] * y
        v = s**2 / variance * sigma_post @ pull
        var = np.diag(sigma_post).copy() if spread else np.zeros(m)
        u = y + v
        if kappa > 0:
            log_alpha = digamma(kappa + nu) - digamma(kappa * m + count)
            alpha_kl = dirichlet_kl(kappa + nu, kappa)
        x_mean, u_mean, mean_var = px.sum(0) / count, nu @ u / count, nu @ var / count
        cross = (px - nu[:, None] * x_mean).T @ (u - u_mean) / count
        s_uu = (nu[:, None] * (u - u_mean)).T @ (u - u_mean) / count + mean_var * np.eye(3)
        left, _, right = np.linalg.svd(cross)
        r = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
        s = np.trace(r.T @ cross) / np.trace(s_uu)
        t = x_mean - s * r @ u_mean
        moved = s * u @ r.T + t
        square = nu_fixed @ (x**2).sum(1) - 2 * (px * moved).sum() + nu @ (moved**2).sum(1)
        variance = square / (3 * count) + s**2 * mean_var
    return Dense(moved, s, r, t, variance, var, bounds, v)
