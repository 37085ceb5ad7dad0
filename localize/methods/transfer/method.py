"""The methods `transfer` and `transfer-clean`: an image's score from pretrained features."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from localize.localizer import Finding, Images, Learns, Localizer, Part, ScoreKind, Source, Told
from localize.methods import clean_images
from localize.methods.backbones import pretrained
from localize.methods.backbones.pretrained import Choice
from localize.methods.transfer import finetuning
from localize.methods.transfer.cache import FOLDER, FeatureCache
from localize.methods.transfer.features import Extractor, PooledBackbone, backbone
from localize.methods.transfer.finetuning import Classifier, Labelled
from localize.methods.transfer.graph import HeadScores, NeighbourDistances
from localize.methods.transfer.head import Examples, Head, describe, fit_head
from localize.methods.transfer.neighbours import CleanFeatures
from localize.methods.transfer.options import TransferCleanOptions, TransferOptions
from localize.onnx.sidecar import Sidecar
from localize.run_files import RUN_FILE, read_file, read_run, write_run
from localize.training import runs
from localize.training.devices import bfloat16_is_fast, device_of
from synth import console, folders
from synth.errors import InputError

BANK, HEAD, BACKBONE = "bank.safetensors", "head.safetensors", "backbone.safetensors"
CLEAN, LABELS = "clean images", "labels"  # what a run has learned from, in its description


@dataclass(frozen=True)
class Split:
    """The images of a source by kind, to be indexed."""

    source: Source
    clean: Images
    anomalous: Images

    @classmethod
    def of(cls, source: Source) -> Split:
        """The images of a source."""
        if len(source) == sys.maxsize:
            raise InputError("transfer learns from a dataset: make one with synth generate --twins")
        return cls(source, source.clean_images(), source.anomalous_images())


class Transfer(Localizer):
    """The score of an image from its features in a pretrained network; it answers no place.

    Args:
        clean: whether it always learns from clean images alone, as ``transfer-clean``.
        options: of :class:`~localize.methods.transfer.options.TransferOptions`; with ``clean``, of
            :class:`~localize.methods.transfer.options.TransferCleanOptions`.
    """

    gives: frozenset[Part] = frozenset({"score"})
    batch_size = 32

    def __init__(self, clean: bool = False, **options: Any) -> None:
        self._set_up(clean, options)
        Choice.of(self.options)  # raises now if the options are bad, not after hours of training

    def _set_up(self, clean: bool, options: dict[str, Any]) -> None:
        self.name = "transfer-clean" if clean else "transfer"
        self.learns: Learns = "clean" if clean else "labelled"
        self.options = (TransferCleanOptions if clean else TransferOptions)(**options)
        self.device = device_of(self.options.device)
        self.threshold: float | None = None
        self._extractor: Extractor | None = None
        self._clean: CleanFeatures | None = None
        self._head: Head | None = None

    @property
    def parameters(self) -> int:
        """Number of values in the backbone and in the bank or the head; 0 before fitting."""
        if self._extractor is None:
            return 0
        head = self._head.layers.parameters() if self._head else ()
        bank = self._clean.bank.rows.numel() if self._clean else 0
        return self._extractor.values + bank + sum(values.numel() for values in head)

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Learn from labelled or from clean images, or continue an interrupted run.

        Raises:
            InputError: there are no images of a kind that is needed, or the backbone does not fit.
        """
        options = self.options
        images, val_images = Split.of(train), Split.of(val)
        uses_labels = self._uses_labels(images)
        run.mkdir(parents=True, exist_ok=True)
        (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
        network, source = pretrained.build(
            Choice.of(options), backbone(options.features, options.input)
        )
        about: dict[str, Any] = {
            "method": self.name,
            "options": options.description(),
            "weights": source,
            "learned_from": LABELS if uses_labels else CLEAN,
            "train_images": {
                "clean": len(images.clean),
                "anomalous": len(images.anomalous) if uses_labels else 0,
            },
        }
        if options.weights:
            about["options"]["weights"] = Path(options.weights).name
        self._extractor = self._prepare(network)
        cache = self._cache(run, network, about)
        if uses_labels:
            result = self._fit_labelled(network, images, val_images, run, cache, about)
        else:
            result = self._fit_clean(images, val_images, run, cache)
        folders.write(run / BACKBONE, runs.to_bytes(network.model.state_dict()))
        files = [BACKBONE, HEAD if uses_labels else BANK]
        about |= {
            "torch": torch.__version__,
            "features": network.length,
            "bfloat16": self._extractor.bfloat16,
            **result,
        }
        self._set_notes(about)
        write_run(run, about, files)
        cache.remove()
        for name in (runs.BEST, runs.LAST):
            (run / name).unlink(missing_ok=True)
        runs.remove_checkpoints(run)

    def _uses_labels(self, images: Split) -> bool:
        """Whether it learns from labels, by the options and the images there are.

        Raises:
            InputError: there are too few kinds of images.
        """
        options = self.options
        form = options.learns if isinstance(options, TransferOptions) else "clean"
        if not len(images.clean):
            raise clean_images.none_to_learn_from(self.name)
        if len(images.anomalous) or form == "clean":
            return form != "clean"
        needs = form == "labelled" or getattr(options, "finetune", False)
        if needs:
            raise InputError(
                f"{self.name} with labels needs images with an anomaly and the training split has "
                "none: leave out --learns labelled and --finetune"
            )
        return False

    def _prepare(self, network: PooledBackbone) -> Extractor:
        """The extractor of a copy of the network, with the fastest numbers of the device."""
        bfloat16 = bfloat16_is_fast(self.device)
        return Extractor(copy.deepcopy(network), self.options.input, self.device, bfloat16)

    def _cache(self, run: Path, network: PooledBackbone, about: dict[str, Any]) -> FeatureCache:
        """The cache of the features in the run folder."""
        assert self._extractor is not None
        options = self.options
        request = {
            "backbone": options.backbone,
            "weights": about["weights"],
            "input": options.input,
            "features": options.features,
            "bfloat16": self._extractor.bfloat16,
            "torch": torch.__version__,
        }
        return FeatureCache(run / FOLDER, self._extractor.rows, network.length, json.dumps(request))

    def _rows(self, cache: FeatureCache, name: str, images: Images) -> Tensor:
        """The features of images, with a progress bar."""
        if not len(images):
            return torch.empty((0, cache.length))
        progress = console.progress if self.options.progress else console.no_progress
        with progress(f"{self.name}: {name} images") as step:
            return cache.rows(name.replace(" ", "-"), images, step)

    def _examples(self, cache: FeatureCache, name: str, images: Split) -> Examples:
        clean = self._rows(cache, f"{name} clean", images.clean)
        return Examples.of(clean, self._rows(cache, f"{name} anomalous", images.anomalous))

    def _fit_clean(
        self, images: Split, val: Split, run: Path, cache: FeatureCache
    ) -> dict[str, Any]:
        """Keep the features of the clean images -> entries for ``model.json``."""
        rows = self._rows(cache, "training clean", images.clean).to(self.device)
        self._clean, self._head = CleanFeatures.of(rows, self.options.whitening), None
        folders.write(run / BANK, runs.to_bytes(self._clean.state()))
        scores = self._distances(self._rows(cache, "validation clean", val.clean))
        self.threshold = clean_images.threshold(scores)
        entry = clean_images.threshold_entry(scores)
        limit = "" if self.threshold is None else f" {self.threshold:.4g}"
        return {
            "threshold": entry,
            "trained": f"features of {len(rows)} clean images; threshold{limit}, {entry['what']}",
        }

    def _fit_labelled(
        self,
        network: PooledBackbone,
        images: Split,
        val: Split,
        run: Path,
        cache: FeatureCache,
        about: dict[str, Any],
    ) -> dict[str, Any]:
        """Train the head, and with ``finetune`` the backbone -> entries for ``model.json``."""
        options = self.options
        assert isinstance(options, TransferOptions)
        examples = self._examples(cache, "training", images)
        val_examples = self._examples(cache, "validation", val)
        progress = console.progress if options.progress else console.no_progress
        with progress(f"{self.name}: head") as step:
            trained = fit_head(examples, val_examples, options.seed, self.device, step)
        self._head, self._clean = trained.head, None
        if options.finetune:
            del examples
            classifier = Classifier(network, trained.head)
            fitting, validating = (
                (each.source, Labelled(each.clean, each.anomalous, options.input))
                for each in (images, val)
            )
            finetuning.fine_tune(
                classifier, fitting, validating, run, options, self.device, dict(about)
            )
            network.cpu()
            trained.head.cpu()
            self._extractor = self._prepare(network)
            if trained.is_calibrated:
                # The features have changed, so the files of the cache are not of use.
                rows = [self._uncached(each) for each in (val.clean, val.anomalous)]
                trained.head.calibrate(Examples.of(*rows))
        folders.write(run / HEAD, runs.to_bytes(trained.head.state_dict()))
        return describe(trained, about["train_images"], options.finetune)

    def _uncached(self, images: Images) -> Tensor:
        """The features of images, without files."""
        assert self._extractor is not None
        groups = clean_images.groups((images[i] for i in range(len(images))), self.batch_size)
        return torch.cat([self._extractor.rows(group) for group in groups])

    def _distances(self, rows: Tensor) -> list[float]:
        """(N, D) features -> their N scores from clean images."""
        assert self._clean is not None
        scores: list[float] = self._clean.mean_distances(rows, self.options.neighbours).tolist()
        return scores

    @torch.inference_mode()
    def _scores(self, images: Sequence[np.ndarray]) -> list[float]:
        assert self._extractor is not None
        rows = self._extractor.rows(images)
        if self._head is None:
            return self._distances(rows)
        scores: list[float] = self._head(rows).tolist()
        return scores

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings with a score and no place."""
        if self._extractor is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        nowhere = float("nan")
        return [
            Finding(nowhere, nowhere, score=score)
            for group in clean_images.groups(images, self.batch_size)
            for score in self._scores(group)
        ]

    def to_onnx(self) -> tuple[nn.Module, Sidecar]:
        """The backbone with the head or the bank; images are stretched before it.

        From here on, this localizer computes in float32, as the exported file does.
        """
        if self._extractor is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        network = self._extractor.in_float32()
        sidecar = Sidecar(image="image", size=self.options.input, score="score")
        if self._head is not None:
            return HeadScores(network, self._head), sidecar
        assert self._clean is not None
        return NeighbourDistances(network, self._clean, self.options.neighbours), sidecar

    def _set_notes(self, about: dict[str, Any]) -> None:
        """Set the note for tables and the meaning of the score, as a run's description has them."""
        options = self.options
        is_labelled = about["learned_from"] == LABELS
        is_calibrated = is_labelled and bool(about["calibrated"])
        kind: ScoreKind = "log odds" if is_calibrated else ""
        self.score_kind = kind
        notes = [LABELS if is_labelled else f"{CLEAN}, k = {options.neighbours}"]
        if is_labelled and not is_calibrated:
            notes.append("not calibrated")
        if getattr(options, "finetune", False):
            notes.append("fine-tuned")
        if options.random_weights:
            notes.append("random weights")
        if not is_labelled and not options.whitening:
            notes.append("not whitened")
        self.note = ", ".join(notes)

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Transfer:
        """A run folder -> the fitted method; ``which`` is ignored.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run(run)
        if about["method"] not in ("transfer", "transfer-clean"):
            raise InputError(f"{run} holds '{about['method']}', not transfer")
        try:
            # The run folder holds the backbone, so the file of its weights is not needed. Runs of
            # earlier versions do not whiten.
            options = {"whitening": 0} | about["options"]
            options |= {"weights": None, "weights_sha256": None}
            options["input"] = tuple(options["input"])
            localizer = cls.__new__(cls)
            clean = about["method"] == "transfer-clean"
            localizer._set_up(clean, options | {"device": device, "progress": False})
            network = backbone(options["features"], options["input"])(options["backbone"])
            network.model.load_state_dict(load_tensors(read_file(run, BACKBONE)))
            localizer._extractor = Extractor(
                network, options["input"], localizer.device, about["bfloat16"]
            )
            if about["learned_from"] == LABELS:
                head = Head(network.length)
                head.load_state_dict(load_tensors(read_file(run, HEAD)))
                localizer._head = head.eval()
            else:
                state = load_tensors(read_file(run, BANK))
                localizer._clean = CleanFeatures.load(state, localizer.device)
                localizer.threshold = about["threshold"]["score"]
            localizer._set_notes(about)
        except (KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{run}/{RUN_FILE} is damaged ({error}): train again") from None
        return localizer
