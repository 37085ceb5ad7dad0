"""Reads an exported dataset with the MVTec AD reader of anomalib, and compares it with the files.

It runs in a virtual environment without Acuity, and needs a dataset with twins and codec png:

    make peers
    synth export set out/mvtec --format mvtec
    .peers/anomalib/bin/python tests/peers/read_mvtec.py out/mvtec/set

The exit code is 1 if what the reader returns differs from the files.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

# torchvision from PyPI cannot be imported beside a CPU-only torch unless these are declared.
for name in ("nms", "qnms"):
    with contextlib.suppress(RuntimeError):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")

from anomalib.data.datasets.image.mvtecad import MVTecADDataset  # noqa: E402


def main(out: Path) -> None:
    for split in ("train", "test"):
        data = MVTecADDataset(root=out.parent, category=out.name, split=split)
        files = sorted((out / split).glob("*/*"))
        assert len(data) == len(files) > 0, (split, len(data), len(files))
        defects = 0
        for item in data:
            with Image.open(item.image_path) as image:
                pixels = np.asarray(image.convert("RGB"))
            assert np.array_equal((item.image.permute(1, 2, 0) * 255).round().byte(), pixels)
            good = Path(item.image_path).parent.name == "good"
            assert int(item.gt_label) == int(not good)
            if not good:
                with Image.open(item.mask_path) as mask:
                    assert np.array_equal(np.asarray(item.gt_mask) > 0, np.asarray(mask) > 0)
                assert item.gt_mask.any()
                defects += 1
        print(f"{split}: {len(data)} images, {defects} of them with a mask")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: read_mvtec.py EXPORT")
    print(f"anomalib {importlib.metadata.version('anomalib')}")
    main(Path(sys.argv[1]))
