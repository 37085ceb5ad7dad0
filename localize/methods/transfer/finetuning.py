"""Fine-tuning: the head and the last layers of the backbone are trained together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from localize.data.batches import Order, stretch
from localize.data.loader import ErrorReturningDataset, batch_loader
from localize.localizer import Images, Source
from localize.methods.transfer.features import PooledBackbone
from localize.methods.transfer.head import Head
from localize.methods.transfer.options import TransferOptions
from localize.training import runs, trainer
from localize.training.devices import bfloat16_is_fast
from localize.training.trainer import RunModule, Schedule, to_float

SHARE = 0.5  # of the tensors of the backbone: the last ones are trained
CLIP = 1.0  # largest norm of the gradient
DECAY = 0.01  # weight decay


class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """Clean images, then those with an anomaly; an item is a (3, h, w) uint8 image, a label."""

    def __init__(self, clean: Images, anomalous: Images, size: tuple[int, int]) -> None:
        self.clean, self.anomalous, self._size = clean, anomalous, size

    def __len__(self) -> int:
        return len(self.clean) + len(self.anomalous)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index = key[0]
        count = len(self.clean)
        image = self.clean[index] if index < count else self.anomalous[index - count]
        return stretch(image, self._size), torch.tensor(float(index >= count))


class Classifier(nn.Module):
    """(B, 3, h, w) float32 in 0 to 1 -> (B,) log odds before the Platt scaling.

    It stays in the mode of inference: the batch norms keep the mean and spread of the pretraining,
    and without random numbers a resumed training has the same result.
    """

    def __init__(self, backbone: PooledBackbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        parameters = list(backbone.parameters())
        for parameter in parameters[round(len(parameters) * (1 - SHARE)) :]:
            parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> Classifier:
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.head.logits(self.backbone(images))


class FineTuning(RunModule):
    """Trains a classifier with AdamW.

    Args:
        share: share of the training images with an anomaly; both kinds have the same weight.
        steps: of the whole training; the learning rate falls to 0 along a cosine.
    """

    network: Classifier

    def __init__(
        self, network: Classifier, learning_rate: float, share: float, steps: int, bfloat16: bool
    ) -> None:
        super().__init__(network)
        self.learning_rate, self.share, self.steps = learning_rate, share, steps
        self.uses_bfloat16 = bfloat16

    def _step(self, batch: list[Tensor], stage: str) -> Tensor:
        images, labels = batch
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            logits = self.network(to_float(images)).float()
        weights = torch.where(labels == 1, 0.5 / self.share, 0.5 / (1 - self.share))
        loss = F.binary_cross_entropy_with_logits(logits, labels, weights)
        self.log(
            f"{stage}_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(labels)
        )
        return loss

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self._step(batch, "val")

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=DECAY)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def fine_tune(
    classifier: Classifier,
    train: tuple[Source, Labelled],
    val: tuple[Source, Labelled],
    run: Path,
    options: TransferOptions,
    device: torch.device,
    about: dict[str, Any],
) -> None:
    """Train a classifier, from the run's checkpoint if there is one; it ends with the best weights.

    The best epoch is that of least validation loss, or of least training loss if there are no
    validation images of both kinds.

    Args:
        about: the request of the run; a checkpoint of another one is refused.

    Raises:
        InputError: the checkpoint has another request, or an image cannot be read.
    """
    epochs = max(1, round(options.epochs * options.epochs_scale))
    images = train[1]
    batches = _loader(*train, options, shuffle=True)
    has_val = bool(len(val[1].clean) and len(val[1].anomalous))
    module = FineTuning(
        classifier,
        options.learning_rate,
        len(images.anomalous) / len(images),
        epochs * len(batches),
        bfloat16_is_fast(device),
    )
    trainer.train(
        module,
        batches,
        _loader(*val, options, shuffle=False) if has_val else None,
        run,
        Schedule(
            epochs=epochs,
            learning_rate=options.learning_rate,
            batch=options.batch,
            device=options.device,
            devices=1,
            progress=options.progress,
        ),
        about,
        best_by="val_loss" if has_val else "train_loss",
        gradient_clip=CLIP,
    )
    runs.load_weights(classifier, run)
    classifier.eval()


def _loader(
    source: Source, images: Labelled, options: TransferOptions, shuffle: bool
) -> DataLoader[Any]:
    """Labelled images of a source -> batches, in an order that depends on seed and epoch."""
    order = Order(len(images), options.seed, shuffle)
    return batch_loader(ErrorReturningDataset(images, source), order, options.batch, workers=0)
