"""Training of the regressors with Lightning: the module, the checkpoints, the trainer."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from localize.data.batches import Batch
from localize.data.loader import explain_worker_death
from localize.localizer import HISTORY
from localize.training import runs
from localize.training.collapse import relative_spread
from localize.training.devices import device_of
from localize.training.runs import CHECKPOINT, PROGRESS, Progress
from localize.training.runs import read_history as read_history
from localize.training.torchvision_compat import make_torchvision_importable
from synth.errors import InputError

make_torchvision_importable()

import lightning.pytorch as pl  # noqa: E402  (needs a torchvision that imports)
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO  # noqa: E402
from lightning.pytorch.utilities.exceptions import SIGTERMException  # noqa: E402


@dataclass(frozen=True)
class Schedule:
    """The length, learning rate and devices of a training.

    Args:
        epochs: number of epochs.
        learning_rate: of Adam.
        batch: images per step and device.
        patience: stop after this many epochs without a smaller validation distance; None: never.
        device: auto, cpu, cuda or mps.
        devices: number of devices; None: all GPUs, or one process on the CPU.
        progress: show a progress bar on a terminal.
    """

    epochs: int
    learning_rate: float
    batch: int = 10
    patience: int | None = None
    device: str = "auto"
    devices: int | None = None
    progress: bool = True


# A network, (B, 3, h, w) float32 images in 0 to 1, (B, 2) numeric features and (B, 2) true
# centres as fractions of width and height -> () loss, (B, 2) predicted centres.
Loss = Callable[
    [nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]


def squared_error(
    network: nn.Module, images: torch.Tensor, numeric: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch -> () mean squared error of the centres, (B, 2) predicted centres."""
    centres = network(images, numeric)
    return nn.functional.mse_loss(centres, target), centres


class RunModule(pl.LightningModule):
    """A module that trains one network; :class:`RunWriter` writes the network's weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # Channels last: half the time on a CPU for narrow convolutions.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Regression(RunModule):
    """Trains a network with Adam to regress the centre as fractions of width and height."""

    def __init__(
        self, network: nn.Module, learning_rate: float, loss: Loss = squared_error
    ) -> None:
        super().__init__(network)
        self.learning_rate = learning_rate
        self.loss = loss
        self._centres: list[torch.Tensor] = []  # (B, 4) of this validation: predicted, true

    def _step(self, batch: Batch, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
        images = to_float(batch["image"])
        loss, centres = self.loss(self.network, images, batch["numeric"], batch["target"])
        errors = (centres.detach() - batch["target"]) * batch["size"]
        values = {f"{stage}_loss": loss.detach(), f"{stage}_distance": errors.norm(dim=1).mean()}
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(centres))
        return loss, centres

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return self._step(batch, "train")[0]

    def on_validation_epoch_start(self) -> None:
        self._centres.clear()

    def validation_step(self, batch: Batch, index: int) -> None:
        _, centres = self._step(batch, "val")
        self._centres.append(torch.cat([centres, batch["target"]], dim=1))

    def on_validation_epoch_end(self) -> None:
        gathered = self.all_gather(torch.cat(self._centres))  # the centres of all devices
        assert isinstance(gathered, torch.Tensor)
        centres = gathered.reshape(-1, 4).cpu().double().numpy()
        self.log("val_spread", relative_spread(centres[:, :2], centres[:, 2:]), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, fused=True)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, h, w) uint8 -> (B, 3, h, w) float32 in 0 to 1, channels last in memory."""
    return images.contiguous(memory_format=torch.channels_last).float().div_(255)


class RunWriter(pl.Callback):
    """Writes history, weights and checkpoint after each epoch, each whole or not at all.

    Args:
        about: the request of the run, for the checkpoint.
        best_by: the column of the history whose least value is that of the best epoch.
    """

    def __init__(self, run: Path, about: dict[str, Any], best_by: str) -> None:
        self._run, self._about, self._best_by = run, about, best_by
        self._progress = Progress()

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if multiprocessing.parent_process() is not None and trainer.world_size > 1:
            _silence_lightning()
            threading.Thread(target=_exit_with_parent, daemon=True).start()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._progress = Progress(*(checkpoint[PROGRESS][name] for name in ("rows", "best")))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, RunModule)
        metrics = trainer.callback_metrics
        row = {"epoch": trainer.current_epoch + 1} | {
            name: float(metrics[name]) for name in HISTORY[1:] if name in metrics
        }
        self._progress.add(row, self._best_by, module.network)
        if trainer.is_global_zero:
            self._progress.write(self._run)
        trainer.save_checkpoint(
            self._run / CHECKPOINT
        )  # every process must call it, with any strategy

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[PROGRESS] = runs.progress_entry(self._about, self._progress)


def _exit_with_parent() -> None:
    """End this process when its parent has ended, also when the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


class CheckpointFiles(CheckpointIO):
    """Checkpoints with a checksum, written beside their target.

    Lightning's own class writes through the folder for temporary files, which may be full.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        runs.write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return runs.read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink()


def train(
    module: RunModule,
    batches: DataLoader[Any],
    val_batches: DataLoader[Any] | None,
    run: Path,
    schedule: Schedule,
    about: dict[str, Any],
    *,
    best_by: str = "val_distance",
    gradient_clip: float | None = None,
) -> None:
    """Train a network, resuming from the run's checkpoint where there is one.

    The caller finishes the run folder with :func:`localize.training.runs.finish`.

    Args:
        val_batches: None: no validation; ``best_by`` is then a column of the training.
        about: the request of the run.
        best_by: the column of the history whose least value is that of the best epoch.
        gradient_clip: largest norm of the gradient; None: no limit.

    Raises:
        InputError: the checkpoint has another request or is damaged, or the loss is not finite.
    """
    checkpoint = runs.begin(run, about)
    callbacks: list[pl.Callback] = [RunWriter(run, about, best_by)]
    if schedule.patience:
        callbacks.append(
            pl.callbacks.EarlyStopping(monitor="val_distance", patience=schedule.patience)
        )
    _silence_lightning()
    trainer = pl.Trainer(
        **lightning_hardware(schedule),
        max_epochs=schedule.epochs,
        callbacks=callbacks,
        plugins=[CheckpointFiles()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=schedule.progress and sys.stderr.isatty(),
        default_root_dir=run,
        num_sanity_val_steps=0,
        gradient_clip_val=gradient_clip,
    )
    try:
        with _interruptible(), explain_worker_death():
            trainer.fit(
                module,
                batches,
                val_batches,
                ckpt_path=None if checkpoint is None else str(checkpoint),
                weights_only=True,
            )
    except InputError as error:
        raise runs.to_interruption(run, error) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """A context in which Ctrl-C raises KeyboardInterrupt and SIGTERM ends with its exit code.

    Lightning would turn the first into ``sys.exit(1)`` and the second into success, and then ignore
    every later Ctrl-C in this process.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(error, SIGTERMException):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def lightning_hardware(schedule: Schedule) -> dict[str, Any]:
    """The device arguments of Lightning's trainer.

    Raises:
        InputError: the machine has fewer devices than the schedule needs.
    """
    kind = device_of(schedule.device).type
    available = torch.cuda.device_count() if kind == "cuda" else 1
    count = schedule.devices or available
    if count > available:
        raise InputError(f"devices is {count}: this machine has {available} of kind {kind}")
    return lightning_devices(kind, count)


def lightning_devices(kind: str, count: int) -> dict[str, Any]:
    """Lightning's arguments for ``count`` devices of a kind, one process each."""
    # Spawned processes begin at fit(). With Lightning's default, each device would run the whole
    # command again, and the second process would find the unfinished folder of the first.
    return {
        "accelerator": kind,
        "devices": count,
        "strategy": "ddp_spawn" if count > 1 else "auto",
    }


def _silence_lightning() -> None:
    """Hide the messages of Lightning from the terminal."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in (r"lightning\..*", r"torch\.utils\.data\..*"):
        warnings.filterwarnings("ignore", module=module)
