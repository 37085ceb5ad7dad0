"""The commands ``synth export`` and ``synth preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from synth import console, output_file
from synth.errors import InputError

Format = Literal["mvtec", "coco", "imagefolder", "webdataset"]


def export(
    dataset: Annotated[str, typer.Argument(help=console.DATASET_HELP)],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    format: Annotated[Format, typer.Option(help="Format of the export.")],
    shard_size: Annotated[
        int, typer.Option(min=1, help="Samples in one tar file of webdataset.")
    ] = 1000,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if synth export wrote it.")
    ] = False,
) -> None:
    """Write a dataset in the format of MVTec AD, COCO, Hugging Face imagefolder or WebDataset.

    Image files are copied byte for byte.

    Example: `synth export set set-coco --format coco`
    """
    from synth import exporting

    with console.progress("images") as progress:
        count = exporting.export(
            dataset, out, format, overwrite=overwrite, progress=progress, shard_size=shard_size
        )
    console.print_line(f"{count} images in {out}, as {format}")
    if format == "mvtec" and any(path.suffix != ".png" for path in out.glob("*/t*/*/*")):
        console.print_line(
            "not all images are .png, but most readers of MVTec AD read only .png: "
            "generate the dataset with --codec png for them"
        )


def preview(
    dataset: Annotated[str, typer.Argument(help=console.DATASET_HELP)],
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, help="Number of rows to show.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the selection of rows.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if Acuity drew it.")
    ] = False,
) -> None:
    """Draw a contact sheet: image, clean twin, amplified difference and outlined region.

    Example: `synth preview set --out preview.png --count 8`
    """
    from synth import preview as previews

    if out.suffix.lower() != ".png":
        raise InputError(f"--out is '{out}': name a .png file")
    output_file.check(out, output_file.is_acuity_png, overwrite)
    sheet = previews.preview(dataset, count, seed)
    output_file.write(out, output_file.encode_png(sheet, "synth preview"), overwrite)
    console.print_line(f"{out}: {sheet.shape[1]}x{sheet.shape[0]} px")
