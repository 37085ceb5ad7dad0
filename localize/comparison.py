"""Methods x dataset -> predictions, scores, history: where all tables arise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize import registry
from localize.data.folder import Folder
from localize.evaluation import metrics, provenance, tables
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.results import FINISHED, Comparison, collect_results, read_comparison
from localize.evaluation.scoring import Answers, predict, score
from localize.localizer import HISTORY, RUN_FILE, Localizer, Source
from localize.names import file_stem
from synth import dataset as datasets
from synth import folders, paths
from synth.console import Progress, Step, silent
from synth.errors import InputError
from synth.json_files import read_object
from synth.paths import name_of, path_of
from synth.terminal import visible

DEFAULT_METHODS = tuple(name for name, entry in registry.METHODS.items() if entry.compared)
HISTORY_FILE = "history.csv"  # in the run folder of a method that learns by epochs
ABOUT = "comparison.json"  # in every folder that we write
MARKER = folders.Marker(
    ABOUT, lambda about: about.keys() >= {"dataset", "table_sha256", "split", "versions"}
)
ANSWERS = "answers"  # in an unfinished one: a journal a method


def choose_split(dataset: str | Path, wanted: str | None) -> Folder:
    """The split to score: the one wanted, else test, else val where there is no test."""
    for split in (wanted,) if wanted else ("test", "val"):
        source = Folder(dataset, split)
        if len(source):
            return source
    what = f"split {wanted}" if wanted else "test or val split"
    raise InputError(f"{dataset} has no image with an anomaly in its {what}: choose --split all")


def evaluate(
    specs: Sequence[str | Path],
    dataset: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    step: Step = silent,
    say: Callable[[str], None] = lambda line: None,
    time_limit: float | None = None,
) -> Comparison:
    """Score methods on one split of a dataset; write predictions, scores and pictures.

    The constant-centre guess is always scored with them. A run that was interrupted goes on
    with ``resume``: what has been answered is not asked again.

    Args:
        time_limit: seconds for an image, of what runs in a process of its own [60].

    Raises:
        InputError: a SPEC or the dataset cannot be used; nothing is written.
    """
    specs, out = [registry.expand(spec) for spec in specs], path_of(out)
    source = choose_split(dataset, split)
    asked = provenance.command("evaluate", *specs, dataset, split=split, out=out)
    request = _request(source, {})
    if resume and not overwrite and (done := _finished_comparison(out, request, asked, say)):
        return done
    methods: dict[str, Localizer] = {registry.BASELINE: registry.load(registry.BASELINE)}
    answering: dict[str, str | Path] = {registry.BASELINE: registry.BASELINE}
    # What must be trained first is trained last: whatever else is wrong is known by then.
    learners = {str(spec) for spec in specs if str(spec).startswith(registry.ANOMALIB)}
    created = {spec: registry.create(spec) for spec in learners}
    ready = {
        spec: registry.load(spec, time_limit=time_limit)
        for spec in map(str, specs)
        if spec not in learners
    }
    with folders.staged(
        Path(out),
        MARKER,
        reads=paths.inputs(dataset, list(specs)),
        overwrite=overwrite,
        resume=resume,
        scratch=[ANSWERS],
    ) as building:
        _same_request(building, request)
        for spec in map(str, specs):
            answers: str | Path = spec
            if spec in learners:
                answers = run = building / "runs" / registry.folder_of(spec)
                _train(created[spec], spec, dataset, run, say)
                ready[spec] = registry.load(run, time_limit=time_limit)
            name = registry.shown(registry.name_of(spec), ready[spec])
            if name in methods and name != registry.BASELINE:
                raise InputError(f"two methods are called '{name}': rename a folder or function")
            methods[name], answering[name] = ready[spec], answers
        runs = _runs(answering)
        result = _scored(methods, source, answering, building, step)
        about = {"methods": provenance.method_entries(methods, runs), "command": asked}
        write(result, source, {}, about)
    return replace(result, folder=Path(out))


def compare(
    dataset: str | Path,
    out: str | Path,
    methods: Sequence[str] = DEFAULT_METHODS,
    *,
    split: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    step: Step = silent,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Comparison:
    """Train, score and draw methods on a dataset.

    Runs go to ``out/runs/METHOD``. A run that was interrupted goes on with ``resume``. Where
    all methods are compared, those that learn from clean pictures need some to be there.

    Args:
        options: for the methods that take them: ``epochs_scale``, ``input``, ``device``, ...

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    methods, out = tuple(map(registry.expand, methods)), path_of(out)
    entries = [registry.method(name) for name in dict.fromkeys((registry.BASELINE, *methods))]
    source = choose_split(dataset, split)
    chosen = None if tuple(methods) == DEFAULT_METHODS else tuple(methods)
    asked = provenance.command("compare", dataset, methods=chosen, split=split, **options, out=out)
    request = _request(source, options)
    if resume and not overwrite and (done := _finished_comparison(out, request, asked, say)):
        return done
    if tuple(methods) == DEFAULT_METHODS and not Folder(dataset, "train").negatives():
        for entry in [entry for entry in entries if entry.learns == "clean"]:
            say(f"{entry.name}: left out, there are no clean pictures (synth generate --twins)")
            entries.remove(entry)
    options_of = registry.choose(entries, options)
    time_limit = options.get("time_limit")
    created = {
        entry.name: registry.create(entry.name, **options_of[entry.name])
        for entry in entries
        if entry.learns != "nothing"
    }
    ready: dict[str, Localizer] = {}
    answering: dict[str, str | Path] = {}
    with folders.staged(
        Path(out),
        MARKER,
        reads=paths.inputs(dataset, list(methods), *options.values()),
        overwrite=overwrite,
        resume=resume,
        scratch=[ANSWERS],
    ) as building:
        _same_request(building, request)
        for entry in entries:
            if entry.learns == "nothing" or entry.weights:
                localizer = registry.load(entry.name, time_limit=time_limit)
                name = registry.name_of(entry.name)
                ready[name], answering[name] = localizer, entry.name
                continue
            run = building / "runs" / registry.folder_of(entry.name)
            _train(created[entry.name], entry.name, dataset, run, say)
            localizer = registry.load(run, time_limit=time_limit)
            name = registry.shown(entry.name, localizer)
            ready[name], answering[name] = localizer, run
        runs = _runs(answering)
        result = _scored(ready, source, answering, building, step)
        about = {"methods": provenance.method_entries(ready, runs), "command": asked}
        write(result, source, options, about)
    return replace(result, folder=Path(out))


def _finished_comparison(
    out: str | Path, request: dict[str, Any], command: list[str], say: Callable[[str], None]
) -> Comparison | None:
    """The tables of a run that is over already and was asked for the same; says so."""
    done = read_comparison(Path(out), ABOUT, request, command, [ANSWERS])
    if done:
        say(FINISHED)
    return done


def _train(
    localizer: Localizer, name: str, dataset: str | Path, run: Path, say: Callable[[str], None]
) -> None:
    """Train a method, unless a run that was stopped has."""
    if (run / RUN_FILE).is_file():
        say(f"{name}: trained already")
        return
    say(f"{name}: training")
    localizer.fit(Folder(dataset, "train"), Folder(dataset, "val"), run)


def _request(source: Folder, options: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, in JSON types: a resumed run must ask for the same."""
    table = datasets.table_of(source.folder).read_bytes()
    request = {
        "dataset": visible(name_of(source.folder)),
        "table_sha256": hashlib.sha256(table).hexdigest(),
        "split": source.split,
        "options": {name: value for name, value in options.items() if name != "progress"},
    }
    same: dict[str, Any] = json.loads(json.dumps(request))
    return same


def _same_request(building: Path, request: dict[str, Any]) -> None:
    """Note the request in a new folder; refuse another one in an unfinished folder."""
    path = building / ABOUT
    if not path.is_file():
        folders.write(path, json.dumps(request, indent=2) + "\n")
        return
    earlier = read_object(path, f"pass --overwrite to drop the unfinished run in {building}")
    differ = [name for name, value in request.items() if earlier.get(name) != value]
    if differ:
        raise InputError(
            f"{building} was begun with another {', '.join(differ)}: "
            "resume with the same, or pass --overwrite"
        )


def _runs(answering: Mapping[str, str | Path]) -> dict[str, Path]:
    """The run folders among what methods were loaded from."""
    of = {name: Path(spec) for name, spec in answering.items()}
    return {name: path for name, path in of.items() if registry.is_folder(path)}


def _scored(
    methods: dict[str, Localizer],
    source: Folder,
    answering: Mapping[str, str | Path],
    folder: Path,
    step: Step,
) -> Comparison:
    """Ask every method, and what has epochs once more with its last epoch's weights.

    Args:
        answering: the SPEC of each method, or the run folder that it was loaded from.
    """

    def asked(localizer: Localizer, name: str, file: str, progress: Progress | None) -> Answers:
        request = {f"code or weights of {name}": provenance.fingerprint(answering[name])}
        path = folder / ANSWERS / f"{file_stem(file)}.jsonl"
        with closing(AnswerLog(path, request)) as journal:
            return predict(localizer, name, source, progress, journal)

    (folder / ANSWERS).mkdir(exist_ok=True)
    runs = _runs(answering)
    answers, scores, last, history = [], [], [], []
    for name, localizer in methods.items():
        with step(name) as progress:
            answers.append(asked(localizer, name, name, progress))
        scores.append(score(answers[-1], source, localizer.parameters))
        answers[-1].maps.clear()  # scored, and large
        if name in runs and (runs[name] / HISTORY_FILE).is_file():
            final = registry.load(runs[name], which="last")
            again = asked(final, name, f"{name} last", None)
            last.append(score(again, source, final.parameters))
            from localize.training.runs import read_history  # which loads torch

            rows = read_history(runs[name])
            epochs = pd.DataFrame(rows, columns=list(HISTORY)).astype({"epoch": int})
            epochs.insert(0, "method", name)
            history.append(epochs)
    return collect_results(answers, scores, folder, history, last)


def write(
    result: Comparison,
    source: Folder,
    options: dict[str, Any],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Tables, pictures, what made them and the report, into the comparison's folder.

    Args:
        more: what else to note: ``methods`` (provenance.method_entries), ``command``.
    """
    from localize.report import closeups, detection_plots, page, plots

    more = dict(more or {})
    folder = result.folder
    frames = {"predictions": result.predictions, "scores": result.scores}
    if len(result.history):
        frames |= {"history": result.history, "scores-last-epoch": result.last}
    if len(result.clean):
        frames["clean"] = result.clean
    if len(result.errors):
        frames["errors"] = result.errors
    for name, table in frames.items():
        tables.write(table, folder / f"{name}.csv")
    try:
        recipe = read_object(source.folder / datasets.RECIPE)
    except InputError:
        recipe = None
    about = {
        **_request(source, options),
        **more,
        "bootstrap": provenance.BOOTSTRAP,
        "versions": provenance.versions(),
        "dataset_recipe": recipe,
    }
    folders.write(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    if len(result.history):
        plots.save(
            plots.validation_curves(result.history, centre_distance(source.folder)),
            folder / "validation",
        )
    plots.save(plots.mean_distances(result.scores), folder / "distance")
    plots.save(plots.hit_rate_curves(result.predictions), folder / "found")
    if len(result.clean) and result.scores["image_auroc"].notna().any():
        plots.save(
            detection_plots.roc_curves(result.predictions, result.clean), folder / "presence"
        )
    if odds := provenance.log_odds_methods(more.get("methods", {}), result.clean):
        shown = detection_plots.reliability_diagrams(result.predictions, result.clean, odds)
        plots.save(shown, folder / "reliability")
    # Photos in an SVG are larger than the PNG and no sharper.
    plots.save(plots.contact_sheet(result.predictions, source), folder / "contact", ("png",))
    if missed := closeups.missed_regions(result.predictions, source):
        plots.save(missed, folder / "misses", ("png",))
    page.write(folder)


def centre_distance(dataset: str | Path, split: str = "val") -> float:
    """The same of a split of a dataset as :func:`centre_distance_of` of any source."""
    return centre_distance_of(Folder(dataset, split))


def centre_distance_of(source: Source) -> float:
    """The mean distance in px of the constant-centre guess; NaN if there is nothing to guess."""
    truths = [source.truth(index) for index in range(len(source))]
    if not truths:
        return float("nan")
    centre = (np.array([size for _, size in truths], float) - 1) / 2
    distances = metrics.distance(centre, np.array([(truth.x, truth.y) for truth, _ in truths]))
    return float(distances.mean())
