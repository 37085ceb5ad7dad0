"""Pictures inside the page: SVG that follows the theme, PNG and JPEG as data."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from localize.report.markup import Html, el
from localize.report.plots import COLOURS, GREY
from localize.report.style import STYLE
from synth.errors import InputError

LARGE = 600_000  # bytes from which on a PNG is reduced
MOST = 1_200_000  # bytes of what it becomes: the first of these that is not more, or the last
STEPS = ((1800, 88), (1400, 80), (1000, 72))  # px wide at most, quality of the JPEG
# What a plot is made of; nothing that runs, loads or says where it was made.
KEPT = {
    "svg", "g", "path", "use", "defs", "clipPath", "rect", "circle", "ellipse", "line",
    "polyline", "polygon", "image", "text", "tspan", "style", "linearGradient", "radialGradient",
    "stop", "pattern", "marker", "mask", "title",
}  # fmt: skip
THEME = {
    "#ffffff": "var(--paper)",
    "#000000": "var(--ink)",
    STYLE["grid.color"].lower(): "var(--grid)",
    GREY.lower(): "var(--m-grey)",
    **{colour.lower(): f"var(--m{i})" for i, colour in enumerate(COLOURS) if colour != "#000000"},
}
_GREY = re.compile(r"#([0-9a-f]{2})\1\1")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_LINK = re.compile(r"url\(#([^)]*)\)")


def colour(value: str) -> str:
    """One of the plots' colours -> what it is on the page; a grey lies between paper and ink.

    >>> colour("#000000"), colour("#cccccc"), colour("#123456")
    ('var(--ink)', 'color-mix(in srgb, var(--ink) 20%, var(--paper))', '#123456')
    """
    if value.lower() in THEME:
        return THEME[value.lower()]
    if grey := _GREY.fullmatch(value.lower()):
        return f"color-mix(in srgb, var(--ink) {100 - int(grey[1], 16) / 2.55:.0f}%, var(--paper))"
    return value


def svg(text: str, name: str, label: str, themed: bool = True) -> Html:
    """An SVG document -> an element whose ids begin with ``name``; ``themed``: in our colours.

    Raises:
        ValueError: it is no SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    if _local(root.tag) != "svg":
        raise ValueError(f"the root is {_local(root.tag)}")
    _clean(root, name, themed)
    size = root.get("viewBox", "").split()
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-label": label}
    root.set("class", "plot")
    if len(size) == 4:
        root.set("style", f"aspect-ratio: {float(size[2]):g} / {float(size[3]):g}")
    written = ElementTree.tostring(root, encoding="unicode")
    return Html(re.sub(r"\n\s*", " ", written))


def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _clean(element: ElementTree.Element, name: str, themed: bool) -> None:
    """Keep what a plot needs, in place, and rewrite ids, links and colours."""
    element.tag = _local(element.tag)
    for key in list(element.attrib):
        value = element.attrib.pop(key)
        key = _local(key)
        if key.lower().startswith("on"):
            continue
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href":
            if not value.startswith(("#", "data:image/")):
                continue
            value = f"#{name}-{value[1:]}" if value.startswith("#") else value
        else:
            value = _linked(value, name, themed)
        element.set(key, value)
    if element.tag == "style":
        rules = _linked(element.text or "", name, themed)
        element.text = "" if "@" in rules or "://" in rules else rules.replace("*", ".plot *")
    for child in list(element):
        if _local(child.tag) in KEPT:
            _clean(child, name, themed)
        else:
            element.remove(child)


def _linked(value: str, name: str, themed: bool) -> str:
    value = _LINK.sub(lambda link: f"url(#{name}-{link[1]})", value)
    return _COLOUR.sub(lambda found: colour(found[0]), value) if themed else value


def picture(path: Path, label: str) -> Html:
    """A PNG on disk -> an element that holds it; a large one becomes a smaller JPEG.

    Raises:
        InputError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if len(data) > LARGE:
                data, kind, size = _reduced(image)
            else:
                image.load()
                kind, size = "png", image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is damaged ({error}): make it again, or remove it") from None
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    width, height = size
    return el("img", src=source, alt=label, width=str(width), height=str(height))


def _reduced(image: Image.Image) -> tuple[bytes, str, tuple[int, int]]:
    """A picture on white as a JPEG, as large as may be."""
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    for widest, quality in STEPS:
        scale = min(1.0, widest / image.width)
        size = round(image.width * scale), max(1, round(image.height * scale))
        small = flat.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= MOST:
            break
    return file.getvalue(), "jpeg", size


def figure(
    folder: Path,
    name: str,
    caption: str,
    label: str = "",
    *,
    wide: bool = False,
    card: bool = False,
) -> Html:
    """``name``.svg of a folder, else ``name``.png, with a caption; nothing where neither is.

    Args:
        wide: over both columns of the page.
        card: on white in its own colours, since it writes on colours.

    Raises:
        InputError: the file is damaged.
    """
    drawn, flat = folder / f"{name}.svg", folder / f"{name}.png"
    label = label or caption
    if drawn.is_file():
        try:
            content = svg(drawn.read_text(encoding="utf-8"), name, label, themed=not card)
        except (OSError, ValueError) as error:
            raise InputError(f"{drawn} is damaged ({error}): make it again, or remove it") from None
        kind = "drawn card" if card else "drawn"
    elif flat.is_file():
        content, kind = picture(flat, label), "photo"
    else:
        return Html("")
    frame = el("div", content, class_=kind, tabindex="0", role="button", aria_pressed="false")
    return el("figure", frame, el("figcaption", caption), class_="wide" if wide else None)
