"""Platt scaling: from numbers about an image to the log odds that it has an anomaly.

Source: logistic regression on scores, Platt (1999).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PRECISION = 1.0  # of the Gaussian prior of the weights, whose mean is 0


class PlattScaling(nn.Module):
    """Log odds of an anomaly: a weighted sum of inputs plus a shift.

    Before the fit they are the first input.

    Args:
        inputs: number of inputs.
    """

    weights: Tensor
    shift: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.eye(inputs)[0])
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, image_inputs: Tensor) -> Tensor:
        """(N, inputs) -> (N,) log odds that the images have an anomaly."""
        log_odds: Tensor = image_inputs.to(self.weights) @ self.weights + self.shift
        return log_odds

    def log_odds(self, image_inputs: Tensor) -> float:
        """(inputs,) -> log odds that the image has an anomaly."""
        return float(self(image_inputs))

    @torch.no_grad()
    def fit(
        self, image_inputs: Tensor, has_anomaly: Tensor, image_weights: Tensor | None = None
    ) -> None:
        """Fit by logistic regression; if all labels are the same, change nothing.

        Args:
            image_inputs: (n, inputs).
            has_anomaly: (n,) bool.
            image_weights: (n,) weights of the images, with mean 1; None: equal weights. The log
                odds are calibrated for sets with the weighted share of anomalies.
        """
        labels = has_anomaly.float()
        if labels.min() == labels.max():
            return
        with torch.enable_grad():
            values = torch.zeros(len(self.weights) + 1, requires_grad=True)
            optimiser = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

            def closure() -> Tensor:
                optimiser.zero_grad()
                log_odds = image_inputs @ values[:-1] + values[-1]
                # Without the prior, the weights would have no bound for labels without errors.
                prior = PRECISION * (values[:-1] ** 2).sum() / len(image_inputs)
                loss = F.binary_cross_entropy_with_logits(log_odds, labels, image_weights) + prior
                loss.backward()
                return loss

            optimiser.step(closure)
        self.weights.copy_(values[:-1].detach())
        self.shift.copy_(values[-1].detach())
