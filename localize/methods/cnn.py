"""The five CNN regressors of the project that started this: one network with options."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from localize.data import augmentation, batches
from localize.data.endless import described
from localize.localizer import Finding, Learns, Source, Told, read_run
from localize.training import trainer
from localize.training.devices import device_of
from localize.training.runs import load_weights
from localize.training.trainer import Schedule
from synth.errors import InputError

Fusion = Literal["none", "features", "last", "embedded"]
CHANNELS = (3, 4, 8, 16, 32, 64)
HIDDEN = 100  # units of the first fully connected layer
EMBEDDED = 16  # units of the numeric features' own layer
GROUP = 16  # images located at a time


@dataclass(frozen=True)
class Variant:
    """Where r and discolor_ratio join the network, and how it is trained."""

    fusion: Fusion
    learning_rate: float
    epochs: int


VARIANTS = {
    "cnn-fast": Variant("none", 5e-4, 10),
    "cnn-slow": Variant("none", 1e-4, 30),
    "cnn-fuse-features": Variant("features", 5e-4, 20),
    "cnn-fuse-last": Variant("last", 1e-3, 30),
    "cnn-fuse-embedded": Variant("embedded", 1e-3, 30),
}


class Network(nn.Module):
    """(B, 3, h, w) float32 in 0 to 1, (B, 2) -> (B, 2): x and y as fractions of the image.

    Args:
        size: (w, h) of the input in px, multiples of 16 are used whole.
        fusion: where the numeric features join.
        mean, scale: what the numeric features are standardised with: (r px, ratio).
    """

    def __init__(
        self,
        size: tuple[int, int],
        fusion: Fusion,
        mean: Sequence[float] = (0.0, 0.0),
        scale: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(CHANNELS):
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            if after != CHANNELS[-1]:
                # Pooling before ReLU gives the same numbers with a quarter of the work.
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU())
        self.features = nn.Sequential(*layers, nn.Flatten())
        flat = CHANNELS[-1] * (size[0] // 16) * (size[1] // 16)
        extra = {"none": 0, "features": 0, "last": 2, "embedded": EMBEDDED}[fusion]
        self.fusion = fusion
        self.hidden = nn.Linear(flat + (2 if fusion == "features" else 0), HIDDEN)
        self.embed = nn.Linear(2, EMBEDDED) if fusion == "embedded" else None
        self.out = nn.Linear(HIDDEN + extra, 2)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, images: torch.Tensor, numeric: torch.Tensor) -> torch.Tensor:
        numeric = (numeric - self.mean) / self.scale  # type: ignore[operator]
        x = self.features(images)
        if self.fusion == "features":
            x = torch.cat([x, numeric], dim=1)
        x = torch.relu(self.hidden(x))
        if self.fusion == "last":
            x = torch.cat([x, numeric], dim=1)
        elif self.embed is not None:
            x = torch.cat([x, self.embed(numeric)], dim=1)
        found: torch.Tensor = self.out(x)
        return found


@dataclass(frozen=True)
class Options:
    """What a user may choose. ``None``: as the variant has it."""

    variant: str
    input: tuple[int, int] = (800, 800)  # w, h in px that images are stretched to
    raw_numeric: bool = False  # do not standardise r and discolor_ratio
    augment: tuple[str, ...] = ()  # names of localize.data.augmentation
    epochs: int | None = None
    epochs_scale: float = 1.0
    learning_rate: float | None = None
    batch: int = 10
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.input) < 16:
            raise InputError(f"input {self.input[0]}x{self.input[1]}: at least 16x16 px is needed")
        if not 0 < self.epochs_scale <= 100:
            raise InputError(f"epochs-scale is {self.epochs_scale}: give a number above 0")
        augmentation.check(self.augment)


class Cnn:
    """One of the five variants, trained on labelled images; see :data:`VARIANTS`."""

    learns: Learns = "labelled"
    variants: ClassVar[Mapping[str, Variant]] = VARIANTS
    loss = staticmethod(trainer.squared_error)

    def __init__(
        self,
        variant: str,
        *,
        device: str = "auto",
        devices: int | None = None,
        progress: bool = True,
        **options: Any,
    ) -> None:
        self.options = Options(variant, **options)
        self.variant = self.variants[variant]
        fused = self.variant.fusion != "none"
        self.told = frozenset({"r", "discolor_ratio"} if fused else ())
        self.device = device_of(device)
        self._hardware = {"device": device, "devices": devices}
        self._progress = progress
        self.network: nn.Module | None = None
        _ = self.schedule  # refuses bad numbers now, not hours later

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    @property
    def schedule(self) -> Schedule:
        """The variant's schedule with the user's choices on top."""
        options = self.options
        epochs = options.epochs
        if epochs is None:
            epochs = max(1, round(self.variant.epochs * options.epochs_scale))
        return Schedule(
            epochs=epochs,
            learning_rate=(
                self.variant.learning_rate
                if options.learning_rate is None
                else options.learning_rate
            ),
            batch=options.batch,
            patience=options.patience,
            **self._hardware,  # type: ignore[arg-type]
            progress=self._progress,
        )

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, going on where an interrupted run stopped; the best epoch is kept."""
        for name, source in (("training", train), ("validation", val)):
            if not len(source):
                raise InputError(f"the {name} split has no image with an anomaly to learn from")
        options, schedule = self.options, self.schedule
        augment = augmentation.build(options.augment) if options.augment else None
        mean, scale = (0.0, 0.0), (1.0, 1.0)
        numeric = np.array([self._numeric(train, i) for i in range(batches.epoch_of(train))])
        if not options.raw_numeric:
            mean = tuple(numeric.mean(axis=0).tolist())
            scale = tuple(np.maximum(numeric.std(axis=0), 1e-6).tolist())
        torch.manual_seed(options.seed)
        network = self.build(mean, scale)
        shared: dict[str, Any] = {"batch": schedule.batch, "seed": options.seed}
        drawn = batches.epoch_of(train) < len(train)
        workers = min(8, torch.get_num_threads()) if augment or drawn else 0
        trainer.train(
            network,
            batches.loader(
                train, options.input, shuffle=True, augment=augment, workers=workers, **shared
            ),
            batches.loader(val, options.input, shuffle=False, **shared),
            run,
            schedule,
            {
                "method": options.variant,
                "options": dataclasses.asdict(options),
                "numeric_mean": mean,
                "numeric_scale": scale,
                "schedule": {k: v for k, v in vars(schedule).items() if k != "progress"},
                "train_images": None if drawn else len(train),
                **({"source": described(train)} if drawn else {}),
                "val_images": len(val),
            },
            self.loss,
        )
        self.network = network
        self._use(run, "best")

    def build(self, mean: Sequence[float], scale: Sequence[float]) -> nn.Module:
        """A network that is not trained; the numeric features' mean and scale."""
        return Network(self.options.input, self.variant.fusion, mean, scale)

    def _numeric(self, source: Source, index: int) -> tuple[float, float]:
        truth, size = source.truth(index)
        return batches.to_input(truth.r, size, self.options.input), truth.discolor_ratio

    def _use(self, run: Path, which: str) -> None:
        assert self.network is not None
        load_weights(self.network, run, which)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.eval()

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Cnn:
        """A run folder -> the variant with its ``best`` or ``last`` weights.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run(run)
        if about["method"] not in cls.variants:
            raise InputError(f"{run} holds '{about['method']}', which is no CNN variant")
        try:
            options: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in about["options"].items()
            }
            localizer = cls(device=device, **options)
            localizer.network = localizer.build(about["numeric_mean"], about["numeric_scale"])
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer._use(run, which)
        return localizer

    @torch.no_grad()
    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px."""
        if self.network is None:
            raise InputError(f"{self.options.variant} must be trained or loaded first: call fit")
        if self.told and told is None:
            raise InputError(f"{self.options.variant} is told r and ratio: give both")
        size = self.options.input
        findings: list[Finding] = []
        for start in range(0, len(images), GROUP):
            group = images[start : start + GROUP]
            hints = (
                told[start : start + GROUP] if told and self.told else [Told(0.0, 1.0)] * len(group)
            )
            numeric = torch.tensor(
                [
                    (batches.to_input(hint.r, image.shape[1::-1], size), hint.discolor_ratio)
                    for image, hint in zip(group, hints, strict=True)
                ]
            )
            inputs = torch.stack([batches.stretch(image, size) for image in group])
            found = (
                self.network(trainer.to_float(inputs.to(self.device)), numeric.to(self.device))
                .cpu()
                .numpy()
            )
            findings += [
                Finding(*batches.to_pixels(row, image.shape[1::-1]))
                for row, image in zip(found, group, strict=True)
            ]
        return findings
