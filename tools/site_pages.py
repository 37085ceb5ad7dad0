"""Pages of the documentation that are generated when it is built, in docs/generated."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import command_pages

# What a field of a recipe means; names, types and defaults come from the class itself.
RECIPE = {
    "size": "Width and height of the images in px, or `keep` for the photo's own size.",
    "fit": "How a photo gets this size: `crop` cuts a random window out of the photo, "
    "`stretch` resizes the whole photo.",
    "per_photo": "Rows for each photo.",
    "ratio": "Lowest and highest ratio. Ratios below 1 darken the region.",
    "ratio_scale": "`linear`: the ratio is drawn uniformly. `log`: the logarithm of "
    "&#124;log ratio&#124; is drawn uniformly, on both sides of 1 if the range contains 1.",
    "radius": "Smallest and largest radius in px. With `edge` as the second value, the centre is "
    "drawn first, and the radius ends at the nearest edge of the image.",
    "margin": "Smallest distance of the centre from each edge, as a share of the side.",
    "shape": "`circle` or `square`.",
    "overflow": "What happens to products above 255: `clip` or `wrap`.",
    "rounding": "How products become integers: `nearest`, `floor` or `stochastic`.",
    "feather": "Width of a soft edge in px; 0 is a hard edge.",
    "codec": "`jpeg` or `png`.",
    "quality": "JPEG quality, 1 to 100.",
    "clean_fraction": "Share of rows without an anomaly (label 0).",
    "twins": "Whether the clean twin of each image is written too.",
    "masks": "Whether a mask of each region is written too.",
    "split": "Shares of train, val and test, in any unit.",
    "seed": "Seed of all random numbers.",
    "position_decimals": "Decimals to which x, y and r are rounded before they are used.",
    "ratio_decimals": "Decimals to which the ratio is rounded before it is used.",
    "keep_profile": "Whether pixel values stay in the photo's embedded colour profile. "
    "Otherwise they are converted to sRGB.",
    "keep_duplicates": "Whether near-duplicates may lie in different splits.",
    "max_pixels": "Photos with more pixels are skipped.",
}
API = ("synth", "localize", "localize.sharpness", "localize.sharpness.pod")


def write(root: Path) -> None:
    """Write every generated page and copy the notebooks into the folder docs."""
    import localize.cli.main
    import synth.cli

    generated = root / "docs" / "generated"
    _put(generated / "synth.md", command_pages.page(synth.cli.app, "synth"))
    _put(generated / "localize.md", command_pages.page(localize.cli.main.app, "localize"))
    _put(generated / "recipe.md", _lines(_recipe()))
    _put(generated / "methods.md", _lines(_methods()))
    for package in API:
        _put(generated / f"{package}-api.md", _lines(_api(package)))
    _put(generated / "contributing.md", _contributing_page(root))
    _copy_notebooks(root)


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _put(path: Path, text: str) -> None:
    """Write a page unless it holds this text already, so that Sphinx need not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_format_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _recipe() -> Iterator[str]:
    """The fields of a recipe: defaults, those of the preset `seed`, meanings."""
    from synth.recipe import PRESETS, Recipe

    default, seed = PRESETS["default"], PRESETS["seed"]
    yield from ("| field | meaning | `default` | `seed` |", "|---|---|---|---|")
    names = [field.name for field in dataclasses.fields(Recipe)]
    if missing := set(names) ^ set(RECIPE):
        raise ValueError(f"tools/site_pages.py: RECIPE lacks or has too much: {missing}")
    for name in names:
        values = (_format_value(getattr(recipe, name)) for recipe in (default, seed))
        yield f"| `{name}` | {RECIPE[name]} | {' | '.join(values)} |"


def _methods() -> Iterator[str]:
    """The registered methods."""
    from localize.registry import METHODS

    yield from ("| method | what it is | learns from | told |", "|---|---|---|---|")
    for name, method in METHODS.items():
        told = "r, ratio" if method.told else "–"
        learns = "comes trained" if method.weights else method.learns
        yield f"| `{name}` | {method.summary} | {learns} | {told} |"


def _api(package: str) -> Iterator[str]:
    """The public names of a package, with directives that take their docstrings."""
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if not callable(value):
            continue  # data, described in the page itself
        kind = "class" if isinstance(value, type) else "function"
        if isinstance(value, type) and issubclass(value, Exception):
            kind = "exception"
        yield from ("```{eval-rst}", f".. auto{kind}:: {package}.{name}")
        if kind == "class":
            yield "   :members:"
        yield from ("```", "")


def _contributing_page(root: Path) -> str:
    """The text of CONTRIBUTING.md, whose links to docs/*.md lead to the pages of the site."""
    source = root / "CONTRIBUTING.md"
    if not source.is_file():
        return "# Contributing\n\n`make test` runs the tests, `make lint` the checks of style.\n"

    def link(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        page = target.removeprefix("docs/")
        inside = page != target and (root / "docs" / page.partition("#")[0]).is_file()
        return f"{mark}[{text}]({page})" if inside else text

    return re.sub(r"(!?)\[([^\]]+)\]\(([^)\s]+)\)", link, source.read_text(encoding="utf-8"))


def _copy_notebooks(root: Path) -> None:
    """Copy notebooks/*.ipynb into docs/notebooks, where Sphinx finds them."""
    target = root / "docs" / "notebooks"
    target.mkdir(exist_ok=True)
    sources = sorted((root / "notebooks").glob("*.ipynb"))
    for old in target.glob("*.ipynb"):
        if old.name not in {path.name for path in sources}:
            old.unlink()
    for path in sources:
        copy = target / path.name
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
