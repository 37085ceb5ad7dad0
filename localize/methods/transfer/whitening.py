"""Whitening of features by the covariance of those of the clean images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK = 1024  # images whose features are in memory in float64 at a time


class Whitening(nn.Module):
    """(N, D) features -> (N, D) whitened features.

    The distance of whitened features is the Mahalanobis distance of the features: a direction in
    which clean images differ much counts less, and one in which they are alike counts more.

    Args:
        matrix: (D, D) upper triangular matrix with which features are multiplied.

    Source: Rippel, Mertens, Merhof (2021), "Modeling the Distribution of Normal Data in
    Pre-Trained Deep Features for Anomaly Detection", ICPR (covariance of pretrained features, with
    shrinkage); Ledoit, Wolf (2004), "A well-conditioned estimator for large-dimensional covariance
    matrices" (shrinkage towards a multiple of the identity).
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    @classmethod
    def of(cls, rows: Tensor, shrinkage: float) -> Whitening:
        """The whitening by the covariance C of clean features.

        In place of C it uses (1 - s) C / v + s I, where v is the mean variance of a feature. With
        s > 0 this can be inverted even if there are fewer images than features, and with s = 1 the
        features remain as they are. So do features that are all equal.

        Args:
            rows: (N, D) features of the clean images.
            shrinkage: s, above 0 and at most 1.
        """
        mean = rows.mean(0)
        identity = torch.eye(len(mean), dtype=torch.float64, device=rows.device)
        covariance = torch.zeros_like(identity)
        for block in rows.split(BLOCK):
            centred = (block - mean).double()
            covariance.addmm_(centred.T, centred)
        variance = covariance.diagonal().mean()
        if not variance > 0:
            return cls(identity.float())
        mixed = (1 - shrinkage) * covariance / variance + shrinkage * identity
        inverse = torch.linalg.solve_triangular(torch.linalg.cholesky(mixed), identity, upper=False)
        return cls(inverse.T.float().contiguous())

    def forward(self, rows: Tensor) -> Tensor:
        return rows @ self.matrix
