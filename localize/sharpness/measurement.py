"""Measure how sharp localizers see: ask, write the trials down, fit, draw."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from localize import registry
from localize.evaluation import provenance
from localize.sharpness import adaptive, external_trials, paired, runner, thresholds
from localize.sharpness.design import Design, Picture, grid, picture
from localize.sharpness.psychometric import Curve
from localize.sharpness.results import Measurement
from localize.sharpness.runner import TRIALS, Asker
from synth import dataset as datasets
from synth import folders, paths, photos
from synth.console import ProgressFactory, no_progress
from synth.errors import InputError, Skipped
from synth.paths import path_of
from synth.text_escapes import escape_surrogates
from synth.workers import require_main_guard

ABOUT = "sharpness.json"  # in every folder that we write
MARKER = folders.Marker(ABOUT, lambda about: about.keys() >= {"specs", "design", "versions"})
JOURNAL = "journal.jsonl"  # in an unfinished one
BASELINE = registry.BASELINE


def measure(
    specs: Sequence[str | Path],
    photo_folder: str | Path,
    out: str | Path,
    design: Design | None = None,
    *,
    trials: Sequence[str | Path] = (),
    curve: Curve = "weibull",
    workers: int = 0,
    time_limit: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    step: ProgressFactory = no_progress,
) -> Measurement:
    """Ask methods to find ever fainter changes in photos; write tables and pictures to ``out``.

    The constant-centre guess is always asked too. The result depends on the photos, the design
    and its seed alone, not on ``workers``. A run that was interrupted goes on with ``resume``.

    Args:
        trials: CSV files of trials made elsewhere, each one method more.
        curve: the form of the psychometric curve, ``weibull`` or ``logistic``.
        workers: processes; 0: as many as there are processors, up to 8.
        time_limit: seconds an image, for a SPEC ``file.py:function`` [60].

    Raises:
        InputError: a SPEC, the photos or the design cannot be used; nothing is written.
    """
    design = design or Design()
    folder, out = path_of(photo_folder), path_of(out)
    require_main_guard()
    if curve not in get_args(Curve):
        raise InputError(f"curve '{curve}' is unknown: use {' or '.join(get_args(Curve))}")
    if workers < 0:
        raise InputError(f"workers is {workers}: give a number of processes, or 0 for all")
    if not specs and not trials:
        raise InputError("nothing to measure: name a method (SPEC), or a file with --trials")
    asker = _asker(specs, folder, design, time_limit)
    others: list[pd.DataFrame] = []
    for path in trials:
        names = {name for each in others for name in each["method"]}
        others.append(external_trials.read(path, design, names | set(asker.specs)))
    reads = paths.inputs(folder, list(specs), list(trials))
    with folders.stage(
        out, MARKER, reads=reads, overwrite=overwrite, resume=resume, scratch=[JOURNAL]
    ) as building:
        usable, skipped = _survey(folder, design)
        request = {
            "specs": {name: str(spec) for name, spec in asker.specs.items()},
            "design": design.to_dict(),
            "photos_sha256": hashlib.sha256(json.dumps(usable).encode()).hexdigest(),
        }
        many = workers or min(os.cpu_count() or 1, 8)
        with step("trials") as progress:
            rows = runner.run(
                asker, list(usable), building / JOURNAL, request, many, progress
            )  # fmt: skip
        asked = pd.DataFrame(rows, columns=list(TRIALS))
        table = pd.concat([asked, *others], ignore_index=True) if others else asked
        with step("thresholds") as progress:
            found = thresholds.all_thresholds(table, curve, not design.adaptive, progress)
        about = {**request, "curve": curve} | _about(asker, usable, skipped, table)
        rates, compared = thresholds.all_rates(table), paired.all_pairs(table, found, curve)
        result = Measurement(table, rates, found, compared, about, building)
        _write(result)
        _draw(result, asker, list(usable))
    return replace(result, folder=out)


def _asker(
    specs: Sequence[str | Path], folder: Path, design: Design, time_limit: float | None
) -> Asker:
    """Load all methods once: what is wrong with one shows before anything is asked."""
    asker = Asker({}, folder, design, time_limit)
    for spec in dict.fromkeys([BASELINE, *map(registry.expand, specs)]):
        localizer = registry.load(spec, time_limit=time_limit)
        name = registry.label(registry.name_of(spec), localizer)
        if name in asker.specs:
            raise InputError(f"two methods are called '{name}': rename one of the run folders")
        asker.specs[name] = spec
        asker.ready[name] = localizer
    return asker


def _survey(folder: Path, design: Design) -> tuple[dict[str, str], dict[str, str]]:
    """Photos -> digest by name of those that all trials fit in; reason by name of the others."""
    usable: dict[str, str] = {}
    skipped: dict[str, str] = {}
    found = photos.require_photos(photos.search(folder), folder)
    for name in found.names:
        try:
            photo = photos.read(folder, name)
            for condition in design.conditions:
                recipe = design.recipe(design.radii[-1], design.ratios[-1], condition)
                recipe.draw(*photo.picture.size, np.random.default_rng(0))
            usable[name] = photo.sha256
        except Skipped as reason:
            skipped[name] = str(reason)
    if not usable:
        first = next(iter(skipped.values()))
        raise InputError(
            f"none of the {len(skipped)} photos in {folder} can be used; the first: {first}"
        )
    return usable, skipped | found.passed_over


def _about(
    asker: Asker, usable: dict[str, str], skipped: dict[str, str], table: pd.DataFrame
) -> dict[str, Any]:
    """What there is to know of a run beside its tables."""
    runs = {
        name: Path(spec) for name, spec in asker.specs.items() if registry.is_folder(Path(spec))
    }
    methods: dict[str, dict[str, Any]] = provenance.described(asker.ready, runs)
    for name, localizer in asker.ready.items():
        methods[name] |= {
            "parameters": localizer.parameters,
            "note": localizer.note,
        }
    for name in dict.fromkeys(table["method"]):
        methods.setdefault(name, {"note": "trials made elsewhere"})
    return {
        "methods": methods,
        "mode": "adaptive" if asker.design.adaptive else "grid",
        "photos": len(usable),
        "skipped": skipped,
        "errors": {
            name: int(count)
            for name, count in table[table["error"].fillna("") != ""]["method"]
            .value_counts()
            .items()
        },
        "definitions": {
            "hit": f"distance <= max({asker.design.within:g} px, {asker.design.share:g} r)",
            "threshold": "ratio where the hit rate is halfway between guess and 1 - lapse; "
            "side both: |log ratio| of brighter and darker together, as a ratio above 1",
            "guess": "hit rate at ratio exactly 1, counted",
            "factor": "how many times the step |log ratio| of the sharper method the other needs, "
            "on the same bootstrap samples of photos",
            "slope": "exponent of the Weibull curve, or steepness of the logistic one, in log "
            "|log ratio|",
            "contrast_percent": "Weber contrast of luminance through the sRGB curve at the mean "
            "grey level of the regions before the change, before clipping",
            "verdict": f"{thresholds.NEVER}: the hit rate is not shown to rise with the step "
            "(Armitage's trend test, one-sided, 1 in 1000); "
            f"{thresholds.TOO_FEW}: likewise, with fewer than {thresholds.LEAST}; "
            f"{thresholds.ABOVE} / {thresholds.BELOW}: the fitted curve's threshold lies there",
            "intervals": f"95 %, bootstrap over photos, {thresholds.DRAWS} samples, seed 0; a "
            "limit beyond what was tried is 1, 0 or inf",
        },
        "versions": provenance.versions(),
    }


def _write(result: Measurement) -> None:
    """The tables, and what made them."""
    for name in ("trials", "rates", "thresholds", "pairs"):
        table = datasets.to_csv(getattr(result, name))
        folders.write(result.folder / f"{name}.csv", table.replace("\0", ""))
    folders.write(result.folder / ABOUT, json.dumps(result.about, indent=2) + "\n")


def _draw(result: Measurement, asker: Asker, names: Sequence[str]) -> None:
    """Pictures and the report."""
    from localize.report import page, plots
    from localize.sharpness import charts, sheets

    plots.save(charts.psychometric(result), result.folder / "psychometric")
    plots.save(charts.acuity(result), result.folder / "acuity")
    plots.save(charts.hit_rates(result), result.folder / "rates")
    asked = result.trials[result.trials["method"].isin(list(asker.specs))]
    for name, figure in sheets.both(asked, result.thresholds, _painter(asker, names)).items():
        # Photos in an SVG are larger than the PNG and no sharper.
        plots.save(figure, result.folder / name, ("png",))
    page.write(result.folder)


def _painter(asker: Asker, names: Sequence[str]) -> Callable[[Mapping[Any, Any]], Picture]:
    """-> a function that makes the picture of a row of trials again."""
    design = asker.design
    trials = [] if design.adaptive else grid(design, names)
    file_of = {escape_surrogates(name): name for name in names}  # as the table writes it -> on disk

    def paint(row: Mapping[Any, Any]) -> Picture:
        number = int(row["trial"])
        trial = adaptive.again(row) if design.adaptive else trials[number]
        return picture(
            design, trial, photos.read(asker.folder, file_of.get(trial.photo, trial.photo))
        )

    return paint
