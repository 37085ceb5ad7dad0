"""Learning curves: methods are trained on nested subsets of a train split and scored.

:func:`learning_curve` writes a folder and can be interrupted and resumed, as
:func:`localize.comparison.compare`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from localize import registry
from localize.comparison import Say, choose_split, record_request
from localize.curve_trainings import Rows, Training, trainings_by_labels, trainings_by_rows
from localize.data.folder import Folder
from localize.evaluation import curve_tables, provenance
from localize.evaluation import tables as result_tables
from localize.evaluation.curve_tables import ABOUT, METRICS, LearningCurve, Scored
from localize.evaluation.results import FINISHED
from localize.evaluation.scoring import Answers, score
from localize.evaluation.suitability import check_told
from localize.participants import ANSWERS, Participant, logged_answers
from localize.registry import BASELINE, Method
from localize.report.comparison_files import request_of
from synth import folders, paths
from synth.console import ProgressFactory, no_progress
from synth.errors import InputError
from synth.paths import path_of

MARKER = folders.Marker(
    ABOUT, lambda about: about.keys() >= {"dataset", "table_sha256", "rows", "repeats", "versions"}
)


def learning_curve(
    specs: Sequence[str | Path],
    dataset: str | Path,
    out: str | Path,
    *,
    rows: Rows | None = None,
    labels: Rows | None = None,
    repeats: int = 3,
    same_epochs: bool = False,
    retrain: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    step: ProgressFactory = no_progress,
    say: Say = lambda line: None,
    **options: Any,
) -> LearningCurve:
    """Train methods on subsets of the train split and score each on the same test split.

    A subset is drawn photo by photo and contains every smaller one; each repeat draws others and
    trains with another seed. Run folders go to ``out/runs/METHOD/rows-N-repeat-K``. The centre
    guess, and SPECs that need no training, are scored once.

    Args:
        rows: numbers of training images; "all" is the whole split [50, 100, 200, ..., all]. The
            val split is not reduced.
        labels: numbers of labelled images with an anomaly, in place of ``rows``. All clean images
            are used with each number. The labelled images are divided between train and val in
            proportion to the splits. Methods that learn from clean images are trained once.
        repeats: number of subsets of each size.
        same_epochs: keep the number of epochs, so that a smaller subset has fewer training steps.
            Otherwise the rows of a subset are repeated within an epoch until it is as long as with
            the whole split.
        retrain: train methods that have weights included too, instead of scoring these weights.
        step, say: as in :func:`localize.compare`.
        options: each is passed to the methods that have it; ``seed`` is the seed of the subsets
            and of repeat 0.

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    names, out = tuple(map(registry.expand_home, specs)), path_of(out)
    source, train = choose_split(dataset, None), Folder(dataset, "train")
    command = provenance.command(
        "learning-curve", *names, dataset, rows=rows, labels=labels, repeats=repeats,
        same_epochs=same_epochs, retrain=retrain, **options, out=out,
    )  # fmt: skip
    request = request_of(source, options) | {"same_epochs": same_epochs, "retrain": retrain}
    about = {**request, "methods_given": list(names), "command": command}
    if resume and not overwrite and (finished := _read_finished(out, about)):
        say(FINISHED)
        return finished
    learners, fixed = _sort_specs(names, retrain)
    seed = _check_numbers(repeats, options.get("seed", 0))
    trainings = _plan(learners, train, rows, labels, repeats, seed)
    method_entries = [registry.method(name) for name in names if not _is_run(name)]
    options_of = registry.options_by_method(method_entries, options)
    for entry in learners:  # an error in an option is reported before the first training
        registry.create(entry.name, **options_of[entry.name])
    time_limit = options.get("time_limit")
    loaded = {spec: registry.load(spec, time_limit=time_limit) for spec in fixed}
    for spec, localizer in loaded.items():
        check_told(spec, localizer.told, source)
    participants = [
        Participant(registry.label(registry.name_of(spec), localizer), localizer, spec)
        for spec, localizer in loaded.items()
    ]
    _check_names([each.name for each in participants], [entry.name for entry in learners])
    with folders.stage(
        out,
        MARKER,
        reads=paths.inputs(dataset, list(names), *options.values()),
        overwrite=overwrite,
        resume=resume,
        scratch=[ANSWERS],
    ) as building:
        record_request(building, request, ABOUT)
        (building / ANSWERS).mkdir(exist_ok=True)
        latest = {each.name: each for each in participants}
        scored = [_score_once(each, source, building, step) for each in participants]
        for number, training in enumerate(trainings, 1):
            say(f"training {number} of {len(trainings)}: {training.title}")
            run = building / "runs" / registry.folder_of(training.entry.name) / training.name
            _train(training, options_of[training.entry.name], train, same_epochs, run)
            participant = _load(training, run, time_limit)
            scored.append(_score_training(training, participant, source, building, step))
            latest[participant.name] = participant  # the others need not stay in memory
        by = "rows" if labels is None else "labels"
        clean_learners = [n for n, each in latest.items() if each.localizer.learns == "clean"]
        without_labels = [] if labels is None else clean_learners
        result = curve_tables.collect(scored, building, without_labels)
        record = {
            **about,
            "rows": sorted({each.rows for each in trainings}),
            "by": by,
            "repeats": repeats,
            "seed": seed,
            "train_images": len(train),
            "methods": provenance.method_entries(
                {name: each.localizer for name, each in latest.items()},
                {name: each.run for name, each in latest.items() if each.run},
            ),
            "bootstrap": {**provenance.BOOTSTRAP, "over": "repeats and photos"},
            "versions": provenance.versions(),
        }
        _write(result, record)
    return replace(result, folder=out)


def _plan(
    learners: Sequence[Method],
    train: Folder,
    rows: Rows | None,
    labels: Rows | None,
    repeats: int,
    seed: int,
) -> list[Training]:
    """All trainings, method by method, the smallest subsets first."""
    if labels is None:
        by_method = (trainings_by_rows(each, train, rows, repeats, seed) for each in learners)
    elif rows is not None:
        raise InputError("rows and labels are two kinds of learning curves: give one of them")
    else:
        val = Folder(train.folder, "val")
        by_method = (
            trainings_by_labels(each, train, val, labels, repeats, seed) for each in learners
        )
    return [each for trainings in by_method for each in trainings]


def _is_run(spec: str) -> bool:
    return registry.is_folder(Path(spec))


def _sort_specs(specs: Sequence[str], retrain: bool) -> tuple[list[Method], list[str]]:
    """SPECs -> the methods to train, and the SPECs to score once; the centre guess is the first.

    Raises:
        InputError: no SPEC is to be trained, or a model of anomalib, which does not take subsets.
    """
    learners, fixed = [], [BASELINE]
    for spec in specs:
        if _is_run(spec):
            fixed.append(spec)
            continue
        entry = registry.method(spec)
        if spec.startswith(registry.ANOMALIB):
            raise InputError(f"{spec} always learns from the whole train split: leave it out")
        if entry.learns == "nothing" or (entry.weights and not retrain):
            fixed += [spec] if spec != BASELINE else []
        else:
            learners.append(entry)
    if not learners:
        raise InputError(
            f"{', '.join(specs) or 'nothing'}: none of it is trained: name a method that learns "
            "(localize methods), or pass --retrain to train methods that have weights included"
        )
    return learners, fixed


def _check_numbers(repeats: int, seed: int) -> int:
    """The seed, after a check of both numbers."""
    if repeats < 1:
        raise InputError(f"repeats is {repeats}: give a whole number from 1 up")
    if seed < 0:
        raise InputError(f"seed is {seed}: give a whole number from 0 up")
    return seed


def _check_names(*groups: Sequence[str]) -> None:
    """Raise InputError if two methods have one name in the tables."""
    names = [name for group in groups for name in group]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two methods are called '{name}': rename a folder or function")


def _train(
    training: Training, options: Mapping[str, Any], train: Folder, same_epochs: bool, run: Path
) -> None:
    """Train on a subset, unless an interrupted run has done it."""
    from localize.training.runs import is_trained  # which loads torch

    if not is_trained(run):
        training.run(options, train, Folder(train.folder, "val"), same_epochs, run)


def _load(training: Training, run: Path, time_limit: float | None) -> Participant:
    """The localizer in a run folder, under the name of its method."""
    localizer = registry.load(run, time_limit=time_limit)
    return Participant(registry.label(training.entry.name, localizer), localizer, run)


def _score_training(
    training: Training, participant: Participant, source: Folder, folder: Path,
    step: ProgressFactory,
) -> Scored:  # fmt: skip
    """The answers of a trained localizer, and its row of scores."""
    file = f"{participant.name} {training.name}"
    with step(training.title) as progress:
        answers = logged_answers(participant, source, folder, file, progress)
    return answers, training.row() | _score(answers, source)


def _score_once(
    participant: Participant, source: Folder, folder: Path, step: ProgressFactory
) -> Scored:
    """The answers of a localizer that was not trained on the dataset, and its row of scores."""
    with step(participant.name) as progress:
        answers = logged_answers(participant, source, folder, participant.name, progress)
    return answers, {"rows": 0, "photos": 0, "repeat": 0, "seed": None} | _score(answers, source)


def _score(answers: Answers, source: Folder) -> dict[str, Any]:
    """The name of a method and its scores; the maps, which are large, are dropped first."""
    answers.maps.clear()
    row = score(answers, source, parameters=None)
    return {name: row.get(name, float("nan")) for name in ("method", *METRICS)}


def _read_finished(out: Path, about: dict[str, Any]) -> LearningCurve | None:
    """The results in ``out``, if they are those of a finished run of the same command."""
    if not (out / ABOUT).is_file() or not folders.is_finished(out, [ANSWERS]):
        return None
    record = result_tables.read_record(out / ABOUT)
    if any(record.get(key) != value for key, value in about.items()):
        return None
    return curve_tables.read(out)


def _write(result: LearningCurve, record: dict[str, Any]) -> None:
    """Write the tables, the record, the figures and the page."""
    from localize.report import curve_plots, page

    curve_tables.write(result)
    folders.write(result.folder / ABOUT, json.dumps(record, indent=2) + "\n")
    curve_plots.draw(result.summary, result.folder, record["by"])
    page.write(result.folder)
