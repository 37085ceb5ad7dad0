"""The files of a comparison's folder: tables, figures, ``comparison.json`` and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from localize.data.folder import Folder
from localize.evaluation import by_ratio, calls, provenance, tables
from localize.evaluation.baseline import centre_distance
from localize.evaluation.location import location_rows
from localize.evaluation.results import Comparison
from synth import dataset as datasets
from synth import folders
from synth.errors import InputError
from synth.files import Files
from synth.paths import name_of
from synth.text_escapes import escape_unprintable

ABOUT = "comparison.json"
MARKER = folders.Marker(
    ABOUT, lambda about: about.keys() >= {"dataset", "table_sha256", "split", "versions"}
)


def request_of(source: Folder, options: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a comparison in JSON types: the dataset, its split, the options."""
    request = {
        "dataset": escape_unprintable(name_of(str(source.folder))),
        "table_sha256": datasets.fingerprint(source.files),
        "split": source.split,
        "options": {name: value for name, value in options.items() if name != "progress"},
    }
    same: dict[str, Any] = json.loads(json.dumps(request))
    return same


def write(
    result: Comparison,
    source: Folder,
    options: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write all files of a comparison into its folder.

    Args:
        source: the images that were scored.
        options: of the methods, as given.
        more: further entries of ``comparison.json``: ``methods``, ``command``.
    """
    from localize.report import page

    more = dict(more or {})
    located = location_rows(result.predictions, more.get("methods", {}))
    rates = by_ratio.hit_rates_by_ratio(located)
    _write_tables(result, rates)
    about = {
        **request_of(source, options),
        **more,
        "bootstrap": provenance.BOOTSTRAP,
        "versions": provenance.versions(),
        "dataset_recipe": _recipe(source.files),
    }
    folders.write(result.folder / ABOUT, json.dumps(about, indent=2) + "\n")
    _draw_figures(result, located, rates, source, more.get("methods", {}))
    page.write(result.folder)


def _write_tables(result: Comparison, rates: pd.DataFrame) -> None:
    """The tables as CSV; those without rows are left out."""
    frames = {"predictions": result.predictions, "scores": result.scores}
    if len(result.history):
        frames |= {"history": result.history, "scores-last-epoch": result.last}
    if len(result.clean):
        frames["clean"] = result.clean
    if len(result.errors):
        frames["errors"] = result.errors
    if len(result.seeds):
        frames["seeds"] = result.seeds
    if len(result.false_calls):
        frames[calls.FILE] = result.false_calls
    if len(rates):
        frames[by_ratio.FILE] = rates
    for name, table in frames.items():
        tables.write(table, result.folder / f"{name}.csv")


def _recipe(files: Files) -> dict[str, Any] | None:
    """The recipe of a dataset, where it has one."""
    try:
        return datasets.recipe_of(files)
    except InputError:
        return None


def _draw_figures(
    result: Comparison,
    located: pd.DataFrame,
    rates: pd.DataFrame,
    source: Folder,
    methods: Mapping[str, Mapping[str, Any]],
) -> None:
    """The figures as PNG and SVG; those with photos, which an SVG makes larger, as PNG alone.

    Figures of places are not drawn if no image has a known place.

    Args:
        located: of :func:`localize.evaluation.location.location_rows`.
    """
    from localize.report import closeups, detection_plots, plots, ratio_plot

    folder = result.folder
    # A method that learns from clean images has a loss on the validation split and no distance.
    distances = result.history.groupby("method")["val_distance"].transform("count")
    if len(history := result.history[distances > 0]):
        guess = centre_distance(Folder(source.folder, "val"))
        plots.save(plots.validation_curves(history, guess), folder / "validation")
    if len(located):
        of_places = result.scores[result.scores["method"].isin(located["method"])]
        plots.save(plots.mean_distances(of_places, result.seeds), folder / "distance")
        plots.save(plots.hit_rate_curves(located), folder / "found")
    if len(rates):
        plots.save(ratio_plot.hit_rate_by_ratio(rates), folder / by_ratio.FILE)
    if len(result.clean) and result.scores["image_auroc"].notna().any():
        plots.save(
            detection_plots.roc_curves(result.predictions, result.clean), folder / "presence"
        )
    if calibrated := provenance.log_odds_methods(methods, result.clean):
        figure = detection_plots.reliability_diagrams(
            result.predictions, result.clean, calibrated, list(located["method"].unique())
        )
        plots.save(figure, folder / "reliability")
    if len(located):
        plots.save(plots.contact_sheet(located, source), folder / "contact", ("png",))
    if misses := closeups.missed_regions(located, source):
        plots.save(misses, folder / "misses", ("png",))
