"""Image -> the input of a network: colour order, size, scale, mean and standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from localize.onnx.session import TYPES, Port
from localize.onnx.sidecar import Colour, Layout, Sidecar
from synth.errors import InputError

CHANNELS = (1, 3)


@dataclass(frozen=True)
class ImageInput:
    """The input for the image.

    Args:
        batch: number of images that the file computes at once; the image is repeated.
        layout: order of the axes.
        size: (width, height) px to which an image is stretched; None where it keeps its own.
        colour: order of the channels.
        kind: type of the values.
        scale: largest value.
        mean, std: one value for each channel.
    """

    name: str
    batch: int
    layout: Layout
    size: tuple[int | None, int | None]
    colour: Colour
    kind: type[np.generic]
    scale: int
    mean: np.ndarray
    std: np.ndarray

    def size_of(self, image: np.ndarray) -> tuple[int, int]:
        """(H, W, 3) -> (width, height) px of the input for it."""
        height, width = image.shape[:2]
        return self.size[0] or width, self.size[1] or height

    def array(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the array that enters the network."""
        picture = Image.fromarray(image)
        if self.colour == "grey":
            picture = picture.convert("L")
        size, is_float = self.size_of(image), self.kind is not np.uint8
        # The values of a stretched image are rounded only if the network takes integers.
        planes = [each.convert("F") for each in picture.split()] if is_float else [picture]
        if picture.size != size:
            planes = [each.resize(size, Image.Resampling.BILINEAR) for each in planes]
        pixels = np.dstack([np.asarray(each) for each in planes])
        if self.colour == "bgr":
            pixels = pixels[..., ::-1]
        if is_float:
            scaled = pixels / np.float32(255 / self.scale)
            pixels = ((scaled - self.mean) / self.std).astype(self.kind)
        if self.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        return np.repeat(np.ascontiguousarray(pixels)[None], self.batch, axis=0)


def image_input(where: str, inputs: list[Port], sidecar: Sidecar) -> ImageInput:
    """The input for the image among the inputs of a file, by its shape and the sidecar.

    Args:
        where: name of the file, for messages.

    Raises:
        InputError: there is no such input, or the sidecar contradicts the file.
    """
    port = _port_of_image(where, inputs, sidecar)
    if port.kind not in TYPES:
        raise InputError(f"{where}: input {port}: images are uint8, float, float16 or double")
    layout = sidecar.layout or _layout(where, port)
    channels = port.shape[1 if layout == "nchw" else 3]
    colour = sidecar.colour or ("grey" if channels == 1 else "rgb")
    expected = 1 if colour == "grey" else 3
    if channels not in (None, expected):
        raise InputError(f"{where}: input {port} has {channels} channels, and {colour} {expected}")
    height, width = port.shape[2:] if layout == "nchw" else port.shape[1:3]
    chosen = sidecar.size or (None, None)
    for fixed, given, side in zip((width, height), chosen, ("width", "height"), strict=True):
        if None not in (fixed, given) and fixed != given:
            raise InputError(f"{where}: its {side} is {fixed} px, in the sidecar {given}")
    kind = TYPES[port.kind]
    integer = kind is np.uint8
    if integer and (sidecar.mean or sidecar.std or sidecar.scale == 1):
        raise InputError(
            f"{where}: input {port} takes code values of 0 to 255: scale, mean and std of the "
            "sidecar are for floats, leave them out"
        )
    mean, std = (_per_channel(where, name, sidecar, expected) for name in ("mean", "std"))
    return ImageInput(
        port.name, port.shape[0] or 1, layout, (chosen[0] or width, chosen[1] or height), colour,
        kind, 255 if integer else sidecar.scale or 1, mean, std,
    )  # fmt: skip


def _port_of_image(where: str, inputs: list[Port], sidecar: Sidecar) -> Port:
    listed = ", ".join(map(str, inputs))
    if sidecar.image is not None:
        fitting = [each for each in inputs if each.name == sidecar.image]
        if not fitting:
            raise InputError(f"{where} has no input '{sidecar.image}': it has {listed}")
        if len(fitting[0].shape) != 4:
            raise InputError(f"{where}: input {fitting[0]} needs 4 axes to take images")
        return fitting[0]
    fitting = [each for each in inputs if len(each.shape) == 4]
    if len(fitting) != 1:
        raise InputError(
            f"{where} has {len(fitting)} inputs with 4 axes, so it is not clear which takes the "
            f"image: name it as image in the sidecar; its inputs: {listed}"
        )
    return fitting[0]


def _layout(where: str, port: Port) -> Layout:
    """The layout by the axis with 1 or 3 channels; NCHW if both could be channels."""
    if port.shape[1] in CHANNELS:
        return "nchw"
    if port.shape[3] in CHANNELS:
        return "nhwc"
    raise InputError(
        f"{where}: input {port} has no axis of 1 or 3 channels: give layout (nchw or nhwc) in the "
        "sidecar if they are not fixed; other numbers of channels cannot be used"
    )


def _per_channel(where: str, name: str, sidecar: Sidecar, channels: int) -> np.ndarray:
    values = getattr(sidecar, name)
    if len(values) > 1 and len(values) != channels:
        raise InputError(f"{where}: {name} has {len(values)} values for {channels} channel")
    return np.array(values or (0.0 if name == "mean" else 1.0,), np.float32)
