"""Fixtures of the tests of synth: small numpy photos, folders of photos, the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from synth import console
from synth.cli import app
from synth.recipe import Recipe

Picture = Callable[..., np.ndarray]


def _picture(seed: int, width: int = 96, height: int = 80) -> np.ndarray:
    """(H, W, 3) uint8: smooth patches, hard edges, some noise; a different hash for each seed."""
    rng = np.random.default_rng([seed, 77])
    patches = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    pixels = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    for _ in range(3):
        left, top = int(rng.integers(width)), int(rng.integers(height))
        pixels[top : top + height // 4, left : left + width // 4] = rng.integers(0, 256, 3)
    pixels += rng.integers(-4, 5, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> Picture:
    """A function (seed, width, height) -> (H, W, 3) uint8 photo."""
    return _picture


@pytest.fixture(scope="session")
def save_photos() -> Callable[..., Path]:
    """A function (folder, names, first seed, width, height): write one photo for each name."""

    def save(folder: Path, names: Sequence[str], seed: int = 0, **size: int) -> Path:
        for k, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = {"quality": 95} if path.suffix.lower() == ".jpg" else {}
            Image.fromarray(_picture(seed + k, **size)).save(path, **options)
        return folder

    return save


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory, save_photos: Any) -> Path:
    """Six different photos, 96x80 px, PNG and JPEG, one in a sub-folder. Read only."""
    names = ["a.png", "b.jpg", "c.png", "d.JPG", "e.png", "sub/f.jpg"]
    return save_photos(tmp_path_factory.mktemp("photos"), names)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """A function: folder -> the bytes of every file in it, hidden ones too, by relative path."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read


@dataclass(frozen=True)
class Answer:
    """Result of a command: exit code, lines of stdout and stderr."""

    code: int
    out: list[str]
    err: list[str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """A function: arguments of ``synth`` -> its result."""

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        code = console.run(app, "synth", [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Answer(code, out.splitlines(), err.splitlines())

    return run


@pytest.fixture
def refused(command: Callable[..., Answer]) -> Callable[..., str]:
    """A function: arguments -> the one line on stderr of a command that must exit with code 2."""

    def run(*arguments: object) -> str:
        answer = command(*arguments)
        assert (answer.code, answer.out) == (2, [])
        assert len(answer.err) == 1, answer.err
        assert answer.err[0].startswith("synth: ")
        return answer.err[0]

    return run


@st.composite
def _recipes(draw: st.DrawFn, **fixed: Any) -> Recipe:
    decimals = draw(st.integers(0, 3))
    unit = 10**decimals
    low = draw(st.integers(unit, 7 * unit))
    high = draw(st.one_of(st.just("edge"), st.integers(low, 12 * unit)))
    dark, bright = sorted(draw(st.tuples(*[st.integers(50, 3000)] * 2)))
    fields: dict[str, Any] = {
        "size": draw(st.one_of(st.just("keep"), st.tuples(*[st.integers(32, 72)] * 2))),
        "fit": draw(st.sampled_from(["crop", "stretch"])),
        "per_photo": draw(st.integers(1, 2)),
        "ratio": (dark / 1000, bright / 1000),
        "radius": (low / unit, high if isinstance(high, str) else high / unit),
        "margin": draw(st.sampled_from([0.0, 0.05, 0.125, 0.3])),
        "shape": draw(st.sampled_from(["circle", "square"])),
        "overflow": draw(st.sampled_from(["clip", "wrap"])),
        "rounding": draw(st.sampled_from(["nearest", "floor", "stochastic"])),
        "feather": min(draw(st.sampled_from([0.0, 0.0, 0.5, 1.3, 2.0, 4.0])), 2 * low / unit),
        "codec": draw(st.sampled_from(["jpeg", "png"])),
        "quality": draw(st.sampled_from([30, 75, 90, 100])),
        "clean_fraction": draw(st.sampled_from([0.0, 0.0, 0.4, 1.0])),
        "twins": draw(st.booleans()),
        "masks": draw(st.booleans()),
        "split": draw(st.sampled_from([(0.8, 0.1, 0.1), (1, 1, 1), (0, 0, 1), (0.5, 0.5, 0.0)])),
        "seed": draw(st.integers(0, 2**40)),
        "position_decimals": decimals,
        "ratio_decimals": draw(st.integers(1, 5)),
    }
    return Recipe(**fields | fixed)


@pytest.fixture(scope="session")
def recipes() -> Callable[..., st.SearchStrategy[Recipe]]:
    """A function: fixed fields -> a strategy of recipes for photos of some 96x80 px."""
    return _recipes
