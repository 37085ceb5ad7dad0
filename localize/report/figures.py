"""Embeds figures in the page: sanitized SVG in the page's colours, PNG and JPEG as data."""

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

MAX_PNG_BYTES = 600_000  # a larger PNG is converted to JPEG
MAX_JPEG_BYTES = 1_200_000  # the first of the steps below that is not larger is used, or the last
JPEG_STEPS = ((1800, 88), (1400, 80), (1000, 72))  # maximum width in px, JPEG quality
# The elements of a plot; no scripts, links or metadata.
ALLOWED_TAGS = {
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


def theme_colour(value: str) -> str:
    """A colour of the plots -> its CSS value on the page; greys mix the page's paper and ink.

    >>> theme_colour("#000000"), theme_colour("#cccccc"), theme_colour("#123456")
    ('var(--ink)', 'color-mix(in srgb, var(--ink) 20%, var(--paper))', '#123456')
    """
    if value.lower() in THEME:
        return THEME[value.lower()]
    if grey := _GREY.fullmatch(value.lower()):
        return f"color-mix(in srgb, var(--ink) {100 - int(grey[1], 16) / 2.55:.0f}%, var(--paper))"
    return value


def svg(text: str, name: str, label: str, themed: bool = True) -> Html:
    """An SVG document -> a sanitized element.

    Args:
        name: prefix of all ids, to keep them unique on the page.
        label: text for screen readers.
        themed: replace the plots' colours by the page's.

    Raises:
        ValueError: the text is not SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    if _local(root.tag) != "svg":
        raise ValueError(f"the root is {_local(root.tag)}")
    _sanitize(root, name, themed)
    size = root.get("viewBox", "").split()
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-label": label}
    root.set("class", "plot")
    if len(size) == 4:
        root.set("style", f"aspect-ratio: {float(size[2]):g} / {float(size[3]):g}")
    written = ElementTree.tostring(root, encoding="unicode")
    return Html(re.sub(r"\n\s*", " ", written))


def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _sanitize(element: ElementTree.Element, name: str, themed: bool) -> None:
    """Removes everything but plot elements, in place, and rewrites ids, links and colours."""
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
            value = _rewrite_references(value, name, themed)
        element.set(key, value)
    if element.tag == "style":
        rules = _rewrite_references(element.text or "", name, themed)
        element.text = "" if "@" in rules or "://" in rules else rules.replace("*", ".plot *")
    for child in list(element):
        if _local(child.tag) in ALLOWED_TAGS:
            _sanitize(child, name, themed)
        else:
            element.remove(child)


def _rewrite_references(value: str, name: str, themed: bool) -> str:
    value = _LINK.sub(lambda link: f"url(#{name}-{link[1]})", value)
    return _COLOUR.sub(lambda found: theme_colour(found[0]), value) if themed else value


def png_element(path: Path, label: str) -> Html:
    """A PNG file -> an ``img`` element with its data; a large file becomes a JPEG.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if len(data) > MAX_PNG_BYTES:
                data, kind, size = _to_jpeg(image)
            else:
                image.load()
                kind, size = "png", image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is damaged ({error}): make it again, or remove it") from None
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    width, height = size
    return el("img", src=source, alt=label, width=str(width), height=str(height))


def _to_jpeg(image: Image.Image) -> tuple[bytes, str, tuple[int, int]]:
    """The image on white as JPEG of at most ``MAX_JPEG_BYTES`` -> data, type, size in px."""
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    for widest, quality in JPEG_STEPS:
        scale = min(1.0, widest / image.width)
        size = round(image.width * scale), max(1, round(image.height * scale))
        small = flat.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= MAX_JPEG_BYTES:
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
    """``name``.svg of a folder, or ``name``.png, with a caption; empty if there is neither.

    Args:
        label: text for screen readers; the caption by default.
        wide: over the full width of the page.
        card: on white in its own colours, for figures with text on coloured areas.

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
        content, kind = png_element(flat, label), "photo"
    else:
        return Html("")
    frame = el("div", content, class_=kind, tabindex="0", role="button", aria_pressed="false")
    return el("figure", frame, el("figcaption", caption), class_="wide" if wide else None)
