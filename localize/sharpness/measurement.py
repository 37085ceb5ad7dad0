"""Measures thresholds: runs the trials, fits the curves, writes tables and figures."""

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
from localize.evaluation import calls, provenance, tables, verdicts
from localize.evaluation.suitability import check_gives_place
from localize.ray_pool import RayEngine
from localize.report.sharpness_pod import RECORDS
from localize.sharpness import (
    adaptive,
    external_trials,
    paired,
    remote,
    run_pod,
    runner,
    thresholds,
    trial_calls,
)
from localize.sharpness.design import Design, TrialImage, grid_trials, render_trial
from localize.sharpness.psychometric import Curve
from localize.sharpness.results import Measurement
from localize.sharpness.runner import TRIALS, TrialRunner
from synth import folders, paths, photos
from synth.console import ProgressFactory, no_progress
from synth.errors import InputError, Skipped
from synth.paths import path_of
from synth.storage import Place, place_of
from synth.text_escapes import escape_surrogates
from synth.workers import require_main_guard

ABOUT = "sharpness.json"  # the record, in every result folder
MARKER = folders.Marker(ABOUT, lambda record: record.keys() >= {"specs", "design", "versions"})
ANSWER_LOG = "journal.jsonl"  # in an unfinished result folder


def measure(
    specs: Sequence[str | Path],
    photo_folder: str | Place,
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
    ray: RayEngine | None = None,
) -> Measurement:
    """Measures how small a change in photos methods detect; writes tables and figures to ``out``.

    The centre guess is always included. The result depends on the photos, the design and its
    seed only, not on ``workers``. With ``resume`` an interrupted run continues.

    Args:
        trials: CSV files of external trials, for instance of people; each is a further method.
        curve: the form of the psychometric curve, ``weibull`` or ``logistic``.
        workers: number of processes; 0 for one per processor, at most 8.
        time_limit: seconds per image, for a SPEC ``file.py:function`` [60].
        ray: the Ray cluster that runs the trials; None: processes of this machine.

    Raises:
        InputError: a SPEC, the photos, the design or the cluster cannot be used; nothing is
            written.
    """
    design = design or Design()
    folder, out = place_of(photo_folder), path_of(out)
    require_main_guard()
    if curve not in get_args(Curve):
        raise InputError(f"curve '{curve}' is unknown: use {' or '.join(get_args(Curve))}")
    if workers < 0:
        raise InputError(
            f"workers is {workers}: give a number of processes, or 0 for one per processor"
        )
    if ray:
        if design.adaptive:
            raise InputError(
                "--adaptive runs on this machine, as the answers to some trials determine the "
                "next ones: leave out --engine ray, or --adaptive"
            )
        ray = replace(ray, workers=workers)
        ray.check()
    if not specs and not trials:
        raise InputError("nothing to measure: give a method (SPEC) or a file with --trials")
    trial_runner = _load_methods(specs, folder, design, time_limit)
    external: list[pd.DataFrame] = []
    for path in trials:
        names = {name for table in external for name in table["method"]}
        external.append(external_trials.read(path, design, names | set(trial_runner.specs)))
    reads = paths.inputs(folder, list(specs), list(trials))
    with folders.stage(
        out, MARKER, reads=reads, overwrite=overwrite, resume=resume, scratch=[ANSWER_LOG]
    ) as building:
        usable, skipped = _survey_photos(folder, design)
        trial_calls.check(design, list(usable))
        request = {
            "specs": {name: str(spec) for name, spec in trial_runner.specs.items()},
            "design": design.to_dict(),
            "photos_sha256": hashlib.sha256(json.dumps(usable).encode()).hexdigest(),
        }
        processes = workers or min(os.cpu_count() or 1, 8)
        tasks = (
            remote.ray_tasks(trial_runner, ray)
            if ray
            else runner.local_tasks(trial_runner, processes)
        )
        with step("trials") as progress:
            rows = runner.run_trials(
                trial_runner, list(usable), building / ANSWER_LOG, request, tasks, progress
            )  # fmt: skip
        columns = [*TRIALS, *(() if design.false_calls is None else trial_calls.COLUMNS[:1])]
        own = pd.DataFrame(rows, columns=columns)
        table = pd.concat([own, *external], ignore_index=True) if external else own
        result = _analyse(table, design, curve, step, building)
        result.about.update({**request, "curve": curve})
        result.about.update(_record(trial_runner, usable, skipped, table))
        _write(result)
        _draw(result, trial_runner, list(usable))
    return replace(result, folder=out)


def _analyse(
    table: pd.DataFrame, design: Design, curve: Curve, step: ProgressFactory, folder: Path
) -> Measurement:
    """All trials -> the tables of the run; its record is empty."""
    false_calls = pd.DataFrame()
    if design.false_calls is not None:
        table, false_calls = trial_calls.add(table, design.false_calls)
    fitted = {}
    for answer in trial_calls.ANSWERS:
        own = trial_calls.trials_of_answer(table, answer)
        with step(f"thresholds ({answer})" if answer != "place" else "thresholds") as progress:
            fitted[answer] = thresholds.threshold_table(own, curve, not design.adaptive, progress)
    with step("probability of detection") as progress:
        pod = run_pod.analyse(table, progress)
    rates, pairs = thresholds.rate_table(table), paired.pair_table(table, fitted["place"], curve)
    return Measurement(
        table, rates, fitted["place"], pairs, {}, folder, false_calls, fitted["detected"],
        fitted["called"], run_pod.table(pod), pod,
    )  # fmt: skip


def _load_methods(
    specs: Sequence[str | Path], folder: Place, design: Design, time_limit: float | None
) -> TrialRunner:
    """Loads all methods, so that an invalid SPEC is reported before any trial."""
    trial_runner = TrialRunner({}, folder, design, time_limit)
    for spec in dict.fromkeys([registry.BASELINE, *map(registry.expand_home, specs)]):
        localizer = registry.load(spec, time_limit=time_limit)
        name = registry.label(registry.name_of(spec), localizer)
        check_gives_place(name, localizer.gives, "sharpness")
        if name in trial_runner.specs:
            raise InputError(f"two methods are called '{name}': rename one of the run folders")
        trial_runner.specs[name] = spec
        trial_runner.localizers[name] = localizer
    return trial_runner


def _survey_photos(folder: Place, design: Design) -> tuple[dict[str, str], dict[str, str]]:
    """Photos that fit all trials, name -> digest; the others, name -> reason."""
    usable: dict[str, str] = {}
    skipped: dict[str, str] = {}
    survey = photos.require_photos(photos.search(folder), folder)
    for name in survey.names:
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
    return usable, skipped | survey.passed_over


def _record(
    trial_runner: TrialRunner, usable: dict[str, str], skipped: dict[str, str], table: pd.DataFrame
) -> dict[str, Any]:
    """The record of a run: methods, photos, definitions of the columns, versions."""
    runs = {
        name: Path(spec)
        for name, spec in trial_runner.specs.items()
        if registry.is_folder(Path(spec))
    }
    methods: dict[str, dict[str, Any]] = provenance.method_entries(trial_runner.localizers, runs)
    for name, localizer in trial_runner.localizers.items():
        methods[name] |= {
            "parameters": localizer.parameters,
            "note": localizer.note,
        }
    for name in dict.fromkeys(table["method"]):
        methods.setdefault(name, {"note": provenance.EXTERNAL_TRIALS})
    return {
        "methods": methods,
        "mode": "adaptive" if trial_runner.design.adaptive else "grid",
        "photos": len(usable),
        "skipped": skipped,
        "errors": {
            name: int(count)
            for name, count in table[table["error"].fillna("") != ""]["method"]
            .value_counts()
            .items()
        },
        "definitions": _definitions(trial_runner.design),
        "versions": provenance.versions(),
    }


def _definitions(design: Design) -> dict[str, str]:
    """Definitions of the terms and columns, for the report."""
    return {
        "hit": f"distance <= max({design.within:g} px, {design.share:g} r)",
        "threshold": "ratio at which the hit rate is halfway between guess and 1 - lapse; "
        "side both: fitted to |log ratio| of both sides together, as a ratio above 1",
        "guess": "observed hit rate at ratio exactly 1",
        "factor": "|log ratio| at the threshold of the second method divided by that of the "
        "first; its interval uses the same bootstrap samples of photos for both",
        "slope": "exponent of the Weibull curve, or steepness of the logistic curve, as a "
        "function of log |log ratio|",
        "contrast_percent": "Weber contrast of luminance for the threshold at the mean grey level "
        "of the regions, by the sRGB transfer function, without clipping",
        "verdict": f"{verdicts.NO_THRESHOLD}: the hit rate does not rise significantly with the "
        f"step (Armitage's trend test, one-sided, p = 0.001); {verdicts.TOO_FEW}: the same, with "
        f"fewer than {thresholds.MIN_TRIALS} trials with a change; {verdicts.ABOVE} / "
        f"{verdicts.BELOW}: the fitted threshold lies there; {verdicts.FALLS}: the highest hit "
        "rate is below that of the threshold",
        "rises_to": "if the hit rate falls significantly with larger steps (the same test), the "
        "ratio of the highest hit rate; the curve is fitted to the trials up to it",
        "intervals": f"95 %, bootstrap over photos, {thresholds.DRAWS} samples, seed 0; a "
        "limit beyond the ratios tried is 1, 0 or inf",
    }


def _write(result: Measurement) -> None:
    """Writes the tables and the record."""
    for name in ("trials", "rates", "thresholds", "pairs"):
        tables.write(getattr(result, name), result.folder / f"{name}.csv")
    models, parts, records = run_pod.details(result.analyses)
    for name, table in (
        (calls.FILE, result.false_calls),
        ("thresholds-detected", result.detected),
        ("thresholds-called", result.called),
        ("pod", result.pod),
        ("pod-models", models),
        ("pod-parts", parts),
    ):
        if len(table):
            tables.write(table, result.folder / f"{name}.csv")
    folders.write(result.folder / RECORDS, json.dumps({"analyses": records}, indent=2) + "\n")
    folders.write(result.folder / ABOUT, json.dumps(result.about, indent=2) + "\n")


def _draw(result: Measurement, trial_runner: TrialRunner, names: Sequence[str]) -> None:
    """Writes the figures and the report."""
    from localize.report import page, plots, sharpness_pod
    from localize.sharpness import charts, sheets
    from localize.sharpness.pod import charts as pod_charts

    curves = charts.psychometric_curves(result)
    if len(result.detected):
        plots.save(curves, result.folder / "psychometric-place")
        detected = trial_calls.trials_of_answer(result.trials, "detected")
        called = replace(result, trials=detected, thresholds=result.detected)
        curves = charts.psychometric_curves(called, result.false_calls)
    plots.save(curves, result.folder / "psychometric")
    plots.save(charts.acuity_chart(result), result.folder / "acuity")
    plots.save(charts.hit_rate_maps(result), result.folder / "rates")
    for method, panels in run_pod.panels(result.analyses).items():
        plots.save(
            pod_charts.side_panels(panels), result.folder / sharpness_pod.figure_name(method)
        )
    own = result.trials[result.trials["method"].isin(list(trial_runner.specs))]
    for name, figure in sheets.draw_sheets(
        own, result.thresholds, _trial_renderer(trial_runner, names)
    ).items():
        # Photos in an SVG are larger than the PNG and no sharper.
        plots.save(figure, result.folder / name, ("png",))
    page.write(result.folder)


def _trial_renderer(
    trial_runner: TrialRunner, names: Sequence[str]
) -> Callable[[Mapping[Any, Any]], TrialImage]:
    """A function that renders the image of a row of ``trials.csv`` again."""
    design = trial_runner.design
    trials = [] if design.adaptive else grid_trials(design, names)
    file_of = {escape_surrogates(name): name for name in names}  # name in the table -> name on disk

    def render(row: Mapping[Any, Any]) -> TrialImage:
        number = int(row["trial"])
        trial = adaptive.trial_of_row(row) if design.adaptive else trials[number]
        return render_trial(
            design, trial, photos.read(trial_runner.folder, file_of.get(trial.photo, trial.photo))
        )

    return render
