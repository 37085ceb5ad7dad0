"""The dataset card: what a dataset holds, in a README that the Hugging Face hub reads too."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synth.recipe import SPLITS

if TYPE_CHECKING:
    import pandas as pd

MOST_LICENCES = 50  # named in a card
_LONGEST = 300  # characters of one
_SIGNS = re.compile(r"[\\`*_{}\[\]()#!|~$^:@]")  # that mean something to Markdown, or make a link


@dataclass
class Summary:
    """What is worth saying of a table that was read part by part."""

    rows: int = 0
    hidden: int = 0
    photos: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    licences: set[str] = field(default_factory=set)
    ratio: tuple[float, float] = (math.inf, -math.inf)
    radius: tuple[float, float] = (math.inf, -math.inf)
    _last: str = ""

    def add(self, part: pd.DataFrame) -> None:
        """Count the next rows in; the rows of a photo follow one another."""
        hidden = part[part["label"] == 1]
        self.rows += len(part)
        self.hidden += len(hidden)
        self.splits.update(part["split"])
        self.licences.update(set(part["licence"]) - {""})
        self.ratio = _wider(self.ratio, hidden["discolor_ratio"])
        self.radius = _wider(self.radius, hidden["r"])
        before = part["photo"].shift(fill_value=self._last)
        self.photos += int(((part["photo"] != before) & (part["photo"] != "")).sum())
        self._last = str(part["photo"].iloc[-1])


def _wider(span: tuple[float, float], values: pd.Series) -> tuple[float, float]:
    if not len(values):
        return span
    return min(span[0], float(values.min())), max(span[1], float(values.max()))


def escape_markdown(words: str) -> str:
    """Any text -> Markdown that shows it as it is, on one line: no markup, no link, no HTML.

    Characters that are not printed are left out: control characters, those that turn the
    direction of writing.

    >>> print(escape_markdown("CC BY-SA 4.0"), escape_markdown("<b>[x](http://h)</b>"))
    CC BY-SA 4.0 &lt;b&gt;\\[x\\]\\(http\\://h\\)&lt;/b&gt;
    """
    line = "".join(c for c in " ".join(words.split()) if c.isprintable()).strip()[:_LONGEST]
    safe = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\b(www)\.", r"\1&#46;", _SIGNS.sub(r"\\\g<0>", safe), flags=re.IGNORECASE)


def card_text(summary: Summary, about: dict[str, Any], table: str) -> str:
    """What a table holds and what made it -> the card; ``table`` is the table's file name."""
    counts = ", ".join(f"{n} {split}" for split in SPLITS if (n := summary.splits[split]))
    ratios = f"{summary.ratio[0]:g} to {summary.ratio[1]:g}"
    radii = f"{summary.radius[0]:g} to {summary.radius[1]:g} px"
    names = sorted(name for name in map(escape_markdown, summary.licences) if name)
    licences = ", ".join(names[:MOST_LICENCES])
    if len(names) > MOST_LICENCES:
        licences += f" and {len(names) - MOST_LICENCES} more, see `{table}`"
    parts = "may part" if about.get("recipe", {}).get("keep_duplicates") else "never parts"
    return f"""---
task_categories: [object-detection]
configs:
- config_name: default
  data_files:
  - split: all_rows
    path: ["{table}", "images/**"]
---
# Faint anomalies{f" in {summary.photos} photos" if summary.photos else ""}

{summary.rows} pictures ({counts}), {summary.hidden} of them with a region whose RGB values were
multiplied by a ratio{f" ({ratios}, radius {radii})" if summary.hidden else ""}. Made by Acuity
({about.get("made_by", "synth generate")}); `recipe.json` holds every choice, seed and version.

`{table}` has one row per picture. x is the column and y the row of the region's centre in px,
pixel centres at integers; r is the radius (half the side of a square); discolor_ratio is the
factor; label is 1 with an anomaly and 0 without; split {parts} near-duplicate photos.

Hugging Face `datasets` loads the rows of all splits as `all_rows`; the column split parts them:

```python
from datasets import load_dataset

rows = load_dataset("this/folder", split="all_rows")
test = rows.filter(lambda split: split == "test", input_columns="split")
```

`synth export --format imagefolder` writes a folder that loads as train, validation and test.

Licences of the photos: {licences or "not recorded"}.
"""
