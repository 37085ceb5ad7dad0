"""The dataset card: a README that describes a dataset, with metadata for Hugging Face."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synth import rows
from synth.recipe import SPLITS

if TYPE_CHECKING:
    import pandas as pd

MOST_LICENCES = 50  # number of licences that a card names
_LONGEST = 300  # characters of one licence
_SIGNS = re.compile(r"[\\`*_{}\[\]()#!|~$^:@]")  # characters with a meaning in Markdown or in links


@dataclass
class Summary:
    """Counts and ranges of a table, accumulated part by part.

    ``hidden`` counts the anomalies with a known place, ``unplaced`` those without.
    """

    rows: int = 0
    hidden: int = 0
    unplaced: int = 0
    photos: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    licences: set[str] = field(default_factory=set)
    ratio: tuple[float, float] = (math.inf, -math.inf)
    radius: tuple[float, float] = (math.inf, -math.inf)
    _last: str = ""

    def add(self, part: pd.DataFrame) -> None:
        """Adds the next rows. All rows of a photo must be consecutive."""
        anomalous = part[part["label"] == 1]
        hidden = anomalous[~rows.unplaced(anomalous)]
        self.rows += len(part)
        self.hidden += len(hidden)
        self.unplaced += len(anomalous) - len(hidden)
        self.splits.update(part["split"])
        self.licences.update(set(part["licence"]) - {""})
        self.ratio = _wider(self.ratio, hidden["discolor_ratio"])
        self.radius = _wider(self.radius, hidden["r"])
        before = part["photo"].shift(fill_value=self._last)
        self.photos += int(((part["photo"] != before) & (part["photo"] != "")).sum())
        self._last = str(part["photo"].iloc[-1])

    def merge(self, other: Summary) -> None:
        """Adds the counts of other rows, which must be of other photos."""
        for name in ("rows", "hidden", "unplaced", "photos"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.splits.update(other.splits)
        self.licences.update(other.licences)
        self.ratio, self.radius = (
            (min(mine[0], theirs[0]), max(mine[1], theirs[1]))
            for mine, theirs in ((self.ratio, other.ratio), (self.radius, other.radius))
        )


def _wider(span: tuple[float, float], values: pd.Series) -> tuple[float, float]:
    if not len(values):
        return span
    return min(span[0], float(values.min())), max(span[1], float(values.max()))


def escape_markdown(words: str) -> str:
    """Text -> one line of Markdown that displays it without markup, links or HTML.

    Unprintable characters are removed, such as control characters and those that reverse the
    writing direction.

    >>> print(escape_markdown("CC BY-SA 4.0"), escape_markdown("<b>[x](http://h)</b>"))
    CC BY-SA 4.0 &lt;b&gt;\\[x\\]\\(http\\://h\\)&lt;/b&gt;
    """
    line = "".join(c for c in " ".join(words.split()) if c.isprintable()).strip()[:_LONGEST]
    safe = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\b(www)\.", r"\1&#46;", _SIGNS.sub(r"\\\g<0>", safe), flags=re.IGNORECASE)


def _anomaly_text(summary: Summary) -> str:
    """Sentences: how many images have an anomaly, with and without a known place."""
    unplaced = (
        f"{summary.unplaced} of them have an anomaly whose place is\nnot known: "
        "x, y, r and discolor_ratio are empty."
    )
    if summary.unplaced and not summary.hidden:
        return unplaced
    ratios = f"{summary.ratio[0]:g} to {summary.ratio[1]:g}"
    radii = f"{summary.radius[0]:g} to {summary.radius[1]:g} px"
    text = (
        f"{summary.hidden} of them have a region whose RGB values were\nmultiplied by a ratio"
        f"{f' ({ratios}, radius {radii})' if summary.hidden else ''}."
    )
    return f"{text} {unplaced}" if summary.unplaced else text


def card_text(summary: Summary, about: dict[str, Any], table: str) -> str:
    """Summary of the table and content of recipe.json -> text of the dataset card.

    Args:
        summary: counts and ranges of the table.
        about: content of recipe.json.
        table: file name of the table.
    """
    counts = ", ".join(f"{n} {split}" for split in SPLITS if (n := summary.splits[split]))
    names = sorted(name for name in map(escape_markdown, summary.licences) if name)
    licences = ", ".join(names[:MOST_LICENCES])
    if len(names) > MOST_LICENCES:
        licences += f" and {len(names) - MOST_LICENCES} more, see `{table}`"
    anomalies = _anomaly_text(summary)
    sharded = about.get("form") == "shards"
    record, has = ("manifest.json", "have") if sharded else ("recipe.json", "has")
    paths = f'"{table}"' if sharded else f'["{table}", "images/**"]'
    no_region = summary.unplaced and not summary.hidden
    not_together = about.get("recipe", {}).get("keep_duplicates") or "labels" in about
    duplicates = "may be" if not_together else "are never"
    return f"""---
task_categories: [{"image-classification" if no_region else "object-detection"}]
configs:
- config_name: default
  data_files:
  - split: all_rows
    path: {paths}
---
# {"Images with and without an anomaly" if no_region else "Faint anomalies"}{
        f" in {summary.photos} photos" if summary.photos else ""
    }

{summary.rows} images ({counts}). {anomalies} Made by Acuity
({about.get("made_by", "synth generate")}); `{record}` records all parameters and versions.

`{table}` {has} one row per image. x is the column and y the row of the region's centre in px;
pixel centres are at integers. r is the radius in px (half the side of a square), discolor_ratio
the factor, label 1 with an anomaly and 0 without. Near-duplicate photos {duplicates} in different
splits.

Hugging Face `datasets` loads the rows of all splits as `all_rows`; select a split by its column:

```python
from datasets import load_dataset

rows = load_dataset("this/folder", split="all_rows")
test = rows.filter(lambda split: split == "test", input_columns="split")
```

`synth export --format imagefolder` writes a folder that loads as train, validation and test.

Licences of the photos: {licences or "not recorded"}.
"""
