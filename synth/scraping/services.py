"""JSON interfaces of photo services: addresses of requests and parsing of responses.

Sources: the MediaWiki action API (generator=categorymembers, prop=imageinfo) and the Openverse
API, version 1 (images). No network is used.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from synth.scraping.html_text import LONGEST, join_url, licence_name, one_line
from synth.scraping.html_tree import text_of
from synth.scraping.outcomes import Outcome, Problem
from synth.scraping.pages import FoundImage, Page

COMMONS = "https://commons.wikimedia.org/w/api.php"
OPENVERSE = "https://api.openverse.org/v1/images/"
_ABOUT = "LicenseShortName|LicenseUrl|Artist|ObjectName"
_MIMES = frozenset(
    f"image/{kind}" for kind in ("jpeg", "png", "webp", "avif", "tiff", "gif", "bmp", "x-bmp")
)


def commons(category: str, endpoint: str = COMMONS) -> str:
    """A Wikimedia Commons category -> address of the list of its first files."""
    name = category if category.lower().startswith("category:") else f"Category:{category}"
    query = {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "generator": "categorymembers",
        "gcmtitle": name,
        "gcmtype": "file",
        "gcmlimit": "50",
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiextmetadatafilter": _ABOUT,
    }
    return f"{endpoint}?{urlencode(query)}"


def openverse(words: str, endpoint: str = OPENVERSE) -> str:
    """A search in Openverse -> address of its first 20 results, the most without registration."""
    return f"{endpoint}?{urlencode({'q': words, 'page': '1', 'page_size': '20'})}"


def read_commons(body: bytes, url: str) -> Page:
    """A response of Commons -> images with author and licence, and the address of the next page.

    Raises:
        Problem: the response is invalid or reports an error.
    """
    data = _json(body)
    if "error" in data:
        code = str(_dict(data["error"]).get("code", ""))
        raise Problem(Outcome.BUSY if code in ("maxlag", "ratelimited") else Outcome.BAD_ANSWER)
    found = []
    pages = _dict(data.get("query")).get("pages")
    for page in pages if isinstance(pages, list) else []:
        page = _dict(page)
        infos = page.get("imageinfo")
        info = _dict(infos[0]) if isinstance(infos, list) and infos else {}
        image = _address(info.get("url"))
        if info.get("mime") not in _MIMES or not image:
            continue
        about = _dict(info.get("extmetadata"))
        title = _words(about, "ObjectName") or one_line(page.get("title")).removeprefix("File:")
        address = _address(_words(about, "LicenseUrl"))
        name = _words(about, "LicenseShortName") or licence_name(address)
        shown = _address(info.get("descriptionurl"))
        found.append(FoundImage(image, shown, title, _words(about, "Artist"), name, address))
    more = _dict(data.get("continue"))
    following = (_with(url, {str(k): str(v) for k, v in more.items()}),) if more else ()
    return Page(tuple(found), following)


def read_openverse(body: bytes, url: str) -> Page:
    """A response of Openverse -> images with author and licence, and the address of the next page.

    Raises:
        Problem: the response is invalid.
    """
    data = _json(body)
    results = data.get("results")
    if not isinstance(results, list):
        raise Problem(Outcome.BAD_ANSWER)
    found = []
    for item in map(_dict, results):
        image = _address(item.get("url"))
        if not image:
            continue
        address = _address(item.get("license_url"))
        code = f"{one_line(item.get('license'))} {one_line(item.get('license_version'))}".strip()
        found.append(
            FoundImage(
                image,
                _address(item.get("foreign_landing_url")),
                one_line(item.get("title")),
                one_line(item.get("creator")),
                licence_name(address) or code.upper(),
                address,
            )
        )
    page, count = data.get("page"), data.get("page_count")
    if not (isinstance(page, int) and isinstance(count, int) and found and page < count):
        return Page(tuple(found))
    return Page(tuple(found), (_with(url, {"page": str(page + 1)}),))


def _with(url: str, changed: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | changed
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(Outcome.BAD_ANSWER) from None
    if not isinstance(data, dict):
        raise Problem(Outcome.BAD_ANSWER)
    return data


def _address(value: Any) -> str:
    """The value if it is an absolute http(s) address, else ""."""
    return join_url("https://", value[: LONGEST + 1].strip()) if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(about: dict[str, Any], key: str) -> str:
    """The text of a field of extmetadata, whose value may be HTML."""
    value = _dict(about.get(key)).get("value")
    if not isinstance(value, str):
        return ""
    if "<" in value or "&" in value:
        value = text_of(value[:20_000])
    return one_line(value)
