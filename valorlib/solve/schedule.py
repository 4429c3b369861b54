"""What happens at each level of a pyramid, and when to stop there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution.

    image_mm: voxels of the working images. iterations: at most. field_mm: voxels of the field. step_mm: most that one
    step moves a point. Compositive engine: gradient_mm, total_mm, volume_mm: Gaussian smoothing of the force, of the
    whole field, and of its volume change alone. window_mm: reach of the similarity's windows. stride: 1 or 2, see
    `ops.boxes.Windows`. least_volume: volume factor below which the field is smoothed on the spot. spread: standard
    deviation of the log volume factor towards which the compositive engine tunes volume_mm; 0: it stays as it is.
    """

    image_mm: float
    iterations: int
    field_mm: float
    step_mm: float
    gradient_mm: float = 0.0
    total_mm: float = 0.0
    volume_mm: float = 0.0
    window_mm: float = 4.0
    stride: int = 1
    least_volume: float = 0.0
    spread: float = 0.0


@dataclass
class Plateau:
    """Says when a loss has stopped falling.

    patience: steps to look back. tolerance: least fall over those steps, as a share of the fall since the beginning.
    """

    patience: int = 8
    tolerance: float = 0.01
    losses: list[float] = field(default_factory=list)

    def reached(self, loss: float) -> bool:
        """Take the next loss; true when the last `patience` steps brought next to nothing."""
        self.losses.append(loss)
        if len(self.losses) <= 2 * self.patience:
            return False
        now = min(self.losses[-self.patience :])
        before = min(self.losses[: -self.patience])
        return before - now < self.tolerance * max(self.losses[0] - before, 1e-12)
