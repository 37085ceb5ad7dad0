"""Exhausted memory ends a run in one line; no photo, image or answer is recorded as faulty."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth import photos
from synth.memory import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("out of memory error when reading image file"),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
)
def test_errors_of_short_memory_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [OSError("broken data stream"), ValueError("out of memory error"), KeyError(3)]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_a_decoder_without_memory_breaks_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")

    def load(self: Image.Image) -> None:
        raise OSError("out of memory error when reading image file")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(MemoryError):
        photos.read(tmp_path, "a.png")


@pytest.mark.slow  # what the libraries themselves need differs from machine to machine
def test_generate_with_too_little_memory_can_go_on(tmp_path: Path) -> None:
    """A photo that needs too much memory ends the run in one line; the run can be resumed."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name, height in (("a", 60), ("b", 6000), ("c", 60)):
        pixels = rng.integers(0, 255, (height, 6000, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.bmp")
    words = [sys.executable, "-m", "synth", "generate", "photos", "set", "--size", "48x40"]
    words += ["--radius", "4:9", "--workers", "1"]
    limits = [size * 2**20 for size in (450, 500, 550, 600)]
    outcomes = []
    for limit in limits:
        done = subprocess.run(
            [*words, "--resume"], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert done.stderr.startswith("synth: out of memory")
            assert done.stderr.count("\n") == 1
        outcomes.append(done.returncode)
        if not done.returncode:
            break
    assert outcomes[0] == 2, "the limit was no limit"
    if outcomes[-1]:
        assert (
            subprocess.run([*words, "--resume"], cwd=tmp_path, capture_output=True).returncode == 0
        )
    assert (tmp_path / "set" / "skipped.csv").read_text() == "photo,reason\n"
