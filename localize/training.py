"""What the regressors share: the Lightning module and the trainer."""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn
from torch.utils.data import DataLoader

from localize import runs
from localize.batches import Batch
from localize.compat import mend_torchvision
from localize.devices import device_of
from localize.localizer import HISTORY
from localize.runs import CHECKPOINT, read_history, write_history
from synth import folders
from synth.errors import InputError

mend_torchvision()

import lightning.pytorch as pl  # noqa: E402  (needs a torchvision that imports)


@dataclass(frozen=True)
class Schedule:
    """How to train.

    ``batch`` is the number of images a step and device; ``patience``: stop after so many
    epochs without a better validation.
    """

    epochs: int
    learning_rate: float
    batch: int = 10
    patience: int | None = None
    device: str = "auto"
    devices: int | None = None  # how many; None: every GPU there is, or one CPU process
    progress: bool = True

    def __post_init__(self) -> None:
        counts = (self.epochs, self.batch, self.patience, self.devices)
        if min(count for count in counts if count is not None) < 1:
            raise InputError("epochs, batch, patience and devices: give whole numbers from 1 up")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning rate is {self.learning_rate}: give a number above 0")


# A network, (B, 3, h, w) float32 in 0 to 1, (B, 2) numeric features and (B, 2) fractions of
# width and height to find -> () loss, (B, 2) what it found.
Loss = Callable[
    [nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]


def squared_error(
    network: nn.Module, images: torch.Tensor, numeric: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch -> the mean squared error of the fractions, and (B, 2) what was found."""
    found = network(images, numeric)
    return nn.functional.mse_loss(found, target), found


class Regression(pl.LightningModule):
    """Regress the centre as fractions of width and height, by Adam."""

    def __init__(
        self, network: nn.Module, learning_rate: float, loss: Loss = squared_error
    ) -> None:
        super().__init__()
        # Channels last: half the time on a CPU for these narrow convolutions.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate = learning_rate
        self.loss = loss

    def _step(self, batch: Batch, stage: str) -> torch.Tensor:
        images = to_float(batch["image"])
        loss, found = self.loss(self.network, images, batch["numeric"], batch["target"])
        gaps = (found.detach() - batch["target"]) * batch["size"]
        values = {f"{stage}_loss": loss.detach(), f"{stage}_distance": gaps.norm(dim=1).mean()}
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(found))
        return loss

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, index: int) -> None:
        self._step(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, fused=True)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, h, w) uint8 -> (B, 3, h, w) float32 in 0 to 1, channels last in memory."""
    return images.contiguous(memory_format=torch.channels_last).float().div_(255)


class Keeper(pl.Callback):
    """After each epoch writes history, weights and checkpoint, each whole or not at all."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._rows = read_history(run)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics
        row = {"epoch": trainer.current_epoch + 1} | {
            name: float(metrics[name]) for name in HISTORY[1:] if name in metrics
        }
        earlier = [r for r in self._rows if r["epoch"] < row["epoch"]]
        before = min((r["val_distance"] for r in earlier), default=math.inf)
        self._rows = [*earlier, row]
        temporary = self._run / f".{CHECKPOINT}.tmp"
        trainer.save_checkpoint(temporary)  # by all processes, whatever the strategy
        if trainer.is_global_zero:
            assert isinstance(module, Regression)
            weights = save({k: v.contiguous() for k, v in module.network.state_dict().items()})
            if row["val_distance"] < before:
                folders.write(self._run / "best.safetensors", weights)
            folders.write(self._run / "last.safetensors", weights)
            write_history(self._run, self._rows)
            os.replace(temporary, self._run / CHECKPOINT)


def train(
    network: nn.Module,
    batches: DataLoader[Batch],
    val_batches: DataLoader[Batch],
    run: Path,
    schedule: Schedule,
    about: dict[str, Any],
    loss: Loss = squared_error,
) -> None:
    """Train a network, going on from the run's checkpoint where there is one.

    Writes the run folder as the module says; ``about`` goes into ``model.json``.

    Raises:
        InputError: the checkpoint belongs to another network or is damaged, or the loss
            is no number any more.
    """
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / CHECKPOINT
    runs.begin(run, about)
    callbacks: list[pl.Callback] = [Keeper(run)]
    if schedule.patience:
        callbacks.append(
            pl.callbacks.EarlyStopping(monitor="val_distance", patience=schedule.patience)
        )
    _quieten()
    trainer = pl.Trainer(
        **_hardware(schedule),
        max_epochs=schedule.epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=schedule.progress and sys.stderr.isatty(),
        default_root_dir=run,
        num_sanity_val_steps=0,
    )
    module = Regression(network, schedule.learning_rate, loss)
    try:
        trainer.fit(
            module,
            batches,
            val_batches,
            ckpt_path=str(checkpoint) if checkpoint.is_file() else None,
            weights_only=True,
        )
    except RuntimeError as error:
        if checkpoint.is_file() and "state_dict" in str(error):
            raise InputError(
                f"{checkpoint} is of another network: name another --out, or pass --overwrite"
            ) from None
        raise
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        runs.finish(run, about, "val_distance")


def _hardware(schedule: Schedule) -> dict[str, Any]:
    """What Lightning is to train on; InputError where so many devices are not there."""
    kind = device_of(schedule.device).type
    there = torch.cuda.device_count() if kind == "cuda" else 1
    count = schedule.devices or there
    if count > there:
        raise InputError(f"devices is {count}: this machine has {there} of kind {kind}")
    return on(kind, count)


def on(kind: str, count: int) -> dict[str, Any]:
    """Lightning's arguments for ``count`` devices of a kind, one process each."""
    # Spawned processes begin at fit(); Lightning's default would run our command once more
    # for each device, and the second would find the first one's unfinished folder.
    return {
        "accelerator": kind,
        "devices": count,
        "strategy": "ddp_spawn" if count > 1 else "auto",
    }


def _quieten() -> None:
    """Keep Lightning's advice off the screen; our own lines say what the user needs."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in (r"lightning\..*", r"torch\.utils\.data\..*"):
        warnings.filterwarnings("ignore", module=module)
