"""A foreign table of images with hidden regions -> our dataset, images copied as they are."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from synth import dataset, folders, photos
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.errors import InputError, Skipped
from synth.recipe import SPLITS

if TYPE_CHECKING:
    import pandas as pd

CODECS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}


@dataclass(frozen=True)
class Columns:
    """What the foreign table calls our columns."""

    x: str = "x"
    y: str = "y"
    r: str = "r"
    discolor_ratio: str = "discolor_ratio"
    file_name: str = "file_name"


@dataclass(frozen=True)
class Convention:
    """How to read a foreign table.

    Args:
        columns: its names for our columns.
        axes: ``xy``: its x is the column; ``rowcol``: its x is the row.
        half_open: its region covers the pixels x-r to x+r-1 (as a Python slice does) rather
            than x-r to x+r: in our terms the centre lies half a pixel before its own, and
            the radius is half a pixel smaller.
        shape, overflow, rounding: what its regions are.
    """

    columns: Columns = field(default_factory=Columns)
    axes: Literal["xy", "rowcol"] = "xy"
    half_open: bool = False
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    rounding: Rounding = "nearest"

    def anomaly(self, x: float, y: float, r: float, discolor_ratio: float) -> Anomaly:
        """The foreign numbers -> our anomaly.

        >>> PRESETS["seed"].anomaly(x=300, y=200, r=50, discolor_ratio=1.1)
        ... # doctest: +NORMALIZE_WHITESPACE
        Anomaly(x=199.5, y=299.5, r=49.5, discolor_ratio=1.1, shape='square',
                overflow='wrap', rounding='floor', feather=0.0)
        """
        if self.axes == "rowcol":
            x, y = y, x
        half = 0.5 if self.half_open else 0.0
        return Anomaly(
            x - half, y - half, r - half, discolor_ratio, self.shape, self.overflow, self.rounding
        )


PRESETS = {
    "plain": Convention(),
    # The project that started this: img[x - r : x + r, y - r : y + r] *= ratio, as uint8.
    "seed": Convention(
        Columns(file_name="img_path"),
        axes="rowcol",
        half_open=True,
        shape="square",
        overflow="wrap",
        rounding="floor",
    ),
}


def convert(
    table: str | Path,
    out: str | Path,
    images: str | Path,
    convention: Convention = PRESETS["plain"],
    *,
    split: str = "test",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Import a CSV table and its images into the dataset folder ``out``; return our table.

    Images are found below ``images`` by the last parts of their paths, and copied byte for
    byte. Near-duplicates are not looked for: all rows go to one split.

    Raises:
        InputError: a column or image is missing, a value is no number, a region leaves its
            image; the line names the row.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}' is unknown: use one of {', '.join(SPLITS)}")
    foreign = _read(Path(table), convention.columns)
    find = _finder(Path(images))
    with folders.staged(Path(out), dataset.MARKER, overwrite=overwrite) as building:
        (building / "images").mkdir()
        rows: list[dict[str, Any]] = []
        taken: dict[str, Path] = {}
        for i, record in enumerate(foreign):
            try:
                rows.append(_row(record, convention, find, taken, building, split))
            except InputError as error:
                raise InputError(f"{table}, row {i}: {error}") from None
            if progress:
                progress(i + 1, len(foreign))
        ours = dataset.frame(rows)
        about = {
            "made_by": "synth import",
            "table": Path(table).name,
            "versions": dataset.versions(),
        }
        dataset.write(building, ours, about)
    ours.attrs["folder"] = str(out)
    return ours


def _read(path: Path, columns: Columns) -> list[dict[str, Any]]:
    import pandas as pd

    if not path.is_file():
        raise InputError(f"no table at {path}: check the path")
    try:
        foreign = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from None
    names = vars(columns)
    missing = sorted(set(names.values()) - set(foreign.columns))
    if missing:
        raise InputError(
            f"{path} lacks the column {', '.join(missing)}; it has {', '.join(foreign.columns)}"
        )
    if foreign.empty:
        raise InputError(f"{path} has no rows")
    return [
        {ours: record[theirs] for ours, theirs in names.items()}
        for record in foreign.to_dict("records")
    ]


def _finder(folder: Path) -> Callable[[str], Path]:
    """A function from a foreign path to the file below ``folder`` that shares most last parts."""
    found = photos.some(photos.survey(folder), folder)
    note = f" ({found.sentence()})" if found.passed_over else ""
    by_last: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for name in found.names:
        parts = PurePosixPath(name).parts
        by_last[parts[-1]].append(parts)

    def find(path: str) -> Path:
        parts = PureWindowsPath(path).parts  # splits at / and \ alike
        candidates = by_last.get(parts[-1], []) if parts else []
        if not candidates:
            raise InputError(f"no image named like '{path}' below {folder}{note}")
        if parts in candidates:
            return folder.joinpath(*parts)
        shared = [_shared_tail(parts, candidate) for candidate in candidates]
        best = max(shared)
        if shared.count(best) > 1:
            raise InputError(f"'{path}' may be any of {shared.count(best)} images below {folder}")
        return folder.joinpath(*candidates[shared.index(best)])

    return find


def _shared_tail(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for left, right in zip(reversed(a), reversed(b), strict=False):
        if left != right:
            break
        count += 1
    return count


def _row(
    record: dict[str, Any],
    convention: Convention,
    find: Callable[[str], Path],
    taken: dict[str, Path],
    building: Path,
    split: str,
) -> dict[str, Any]:
    numbers = {}
    for name in ("x", "y", "r", "discolor_ratio"):
        try:
            numbers[name] = float(record[name])
        except ValueError:
            raise InputError(f"{name} is '{record[name]}', not a number") from None
    anomaly = convention.anomaly(**numbers)
    path = find(record["file_name"])
    try:
        with photos.open_image(path) as image:
            (width, height), codec = image.size, CODECS.get(image.format or "", "")
            turned = photos.orientation(image) != 1
    except MemoryError:
        raise
    except Exception as error:  # broken files raise nearly anything
        raise InputError(f"{path} is no picture: {error}") from None
    if not codec:
        raise InputError(f"{path} is neither JPEG nor PNG: convert it first")
    if turned:
        raise InputError(f"{path} is turned by its EXIF block: turn its pixels first")
    try:
        photos.read(path.parent, path.name, keep_profile=True)
    except Skipped as reason:
        raise InputError(f"{path}: {reason}") from None
    if not anomaly.fits(width, height):
        raise InputError(
            f"the region (x {anomaly.x:g}, y {anomaly.y:g}, r {anomaly.r:g}) "
            f"leaves the {width}x{height} image {path.name}"
        )
    name = path.name
    if taken.setdefault(name, path) != path:
        name = f"{path.parent.name}-{path.name}"
        if taken.setdefault(name, path) != path:
            raise InputError(f"two images would be called {name}: rename one")
    target = building / "images" / name
    if target.exists():
        raise InputError(f"image {name} stands in an earlier row too")
    shutil.copyfile(path, target)
    return {
        "file_name": f"images/{name}",
        "x": anomaly.x,
        "y": anomaly.y,
        "r": anomaly.r,
        "discolor_ratio": anomaly.discolor_ratio,
        "shape": anomaly.shape,
        "overflow": anomaly.overflow,
        "rounding": anomaly.rounding,
        "feather": 0.0,
        "label": 1,
        "split": split,
        "width": width,
        "height": height,
        "codec": codec,
    }
