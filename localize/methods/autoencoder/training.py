"""Random crops of clean images, and the training of the network with Lightning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from localize.data.batches import Order
from localize.data.loader import ErrorReturningDataset, batch_loader
from localize.localizer import Images, Source
from localize.methods.autoencoder.error_map import errors
from localize.methods.autoencoder.network import PATCH, Autoencoder
from localize.methods.autoencoder.options import PER_IMAGE, AutoencoderOptions
from localize.methods.autoencoder.reconstruction import enlarge
from localize.training.trainer import RunModule, to_float

VAL_IMAGES = 32  # validation images that the epochs are compared on
WEIGHT_DECAY = 1e-5
CLIP = 1.0  # largest norm of the gradient


class Crops(Dataset[Tensor]):
    """Images as a torch dataset; an item is (PER_IMAGE, 3, PATCH, PATCH) uint8 random crops.

    Args:
        fixed: the crops of an image are always the same; else they depend on the seed in the key.
    """

    def __init__(self, images: Images, fixed: bool) -> None:
        self._images, self._fixed = images, fixed

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        index, seed = key
        index %= len(self)
        image = self._images[index]
        return random_crops(image, np.random.default_rng(index if self._fixed else seed))


def random_crops(image: np.ndarray, rng: np.random.Generator) -> Tensor:
    """(H, W, 3) uint8 -> (PER_IMAGE, 3, PATCH, PATCH) uint8 at random places."""
    image = enlarge(image)
    rows, columns = (rng.integers(length - PATCH + 1, size=PER_IMAGE) for length in image.shape[:2])
    crops = [
        image[row : row + PATCH, column : column + PATCH]
        for row, column in zip(rows, columns, strict=True)
    ]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def loader(source: Source, images: Images, options: AutoencoderOptions) -> DataLoader[Tensor]:
    """Clean images of a source -> batches of crops; ever new ones, ``crops`` an epoch."""
    dataset = ErrorReturningDataset(Crops(images, fixed=False), source)
    length = -(-options.crops // PER_IMAGE)
    order = Order(length, options.seed, shuffle=True, fresh=True)
    return batch_loader(dataset, order, options.batch, workers=0)


def val_loader(source: Source, images: Images, options: AutoencoderOptions) -> DataLoader[Tensor]:
    """Clean images of a source -> batches of the same crops in each epoch."""
    dataset = ErrorReturningDataset(Crops(images, fixed=True), source)
    spaced = np.linspace(0, len(images) - 1, min(len(images), VAL_IMAGES)).round()
    order = [(index, 0) for index in spaced.astype(int).tolist()]
    return batch_loader(dataset, order, options.batch, workers=0)


class AutoencoderTraining(RunModule):
    """Trains a network with Adam to reconstruct crops.

    Args:
        steps: of the whole training; the learning rate falls to 0 along a cosine.
    """

    network: Autoencoder

    def __init__(self, network: Autoencoder, options: AutoencoderOptions, steps: int) -> None:
        super().__init__(network)
        self.options, self.steps = options, steps

    def _step(self, batch: Tensor, stage: str) -> Tensor:
        crops = to_float(batch.flatten(0, 1))
        loss = errors(crops, self.network(crops), self.options.error).mean()
        self.log(
            f"{stage}_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(crops)
        )
        return loss

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Tensor, index: int) -> None:
        self._step(batch, "val")

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(
            self.parameters(), lr=self.options.learning_rate, weight_decay=WEIGHT_DECAY
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
