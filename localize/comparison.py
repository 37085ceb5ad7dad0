"""Comparisons of localizers on a dataset: predictions, scores, figures, a report.

:func:`evaluate` scores localizers that are trained already, :func:`compare` trains methods first.
Both write a folder (:mod:`localize.report.comparison_files`) and can be interrupted and resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from localize import registry
from localize.data.folder import Folder
from localize.evaluation import call_scores, provenance
from localize.evaluation.results import FINISHED, Comparison, collect_results, read_comparison
from localize.evaluation.scoring import score
from localize.evaluation.seeds import merge_seeds, seed_numbers
from localize.evaluation.suitability import check_told, usable_methods
from localize.evaluation.suitability import choose_split as choose_split
from localize.localizer import HISTORY, Localizer
from localize.participants import ANSWERS, Participant, answer_on_ray, logged_answers
from localize.ray_pool import RayEngine
from localize.registry import BASELINE, METHODS, Method
from localize.report.comparison_files import ABOUT, MARKER, request_of, write
from synth import folders, paths
from synth.console import ProgressFactory, no_progress
from synth.errors import InputError
from synth.json_files import read_object
from synth.paths import path_of
from synth.run_request import check_same_request

Say = Callable[[str], None]

DEFAULT_METHODS = tuple(name for name, entry in METHODS.items() if entry.in_default_compare)
HISTORY_FILE = "history.csv"  # in the run folder of a method that learns by epochs


def evaluate(
    specs: Sequence[str | Path],
    dataset: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    false_calls: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    step: ProgressFactory = no_progress,
    say: Say = lambda line: None,
    time_limit: float | None = None,
    ray: RayEngine | None = None,
) -> Comparison:
    """Score localizers on one split of a dataset; write predictions, scores and figures.

    The centre guess is always scored with them. ``resume`` continues an interrupted run: answers
    that it recorded are not computed again. A model of anomalib is trained on the dataset first.

    Args:
        false_calls: wanted rate of false calls, at which scores become calls; None: no calls.
        step: makes a progress bar with a title.
        say: called with lines of text about the progress.
        time_limit: limit for one image in seconds, for localizers in their own process [60].
        ray: the Ray cluster on which the localizers answer; None: this process.

    Raises:
        InputError: a SPEC, the dataset or the cluster cannot be used; nothing is written.
    """
    names, out = [registry.expand_home(spec) for spec in specs], path_of(out)
    source = choose_split(dataset, split)
    recorded = call_scores.option(source, false_calls)
    command = provenance.command("evaluate", *names, dataset, split=split, **recorded, out=out)
    request = request_of(source, recorded)
    if resume and not overwrite and (finished := _read_finished(out, request, command, say)):
        return finished
    if ray:
        ray.check()
    # All SPECs are loaded before any is trained, so that an error in one is reported at once.
    untrained = {
        spec: registry.create(spec) for spec in names if spec.startswith(registry.ANOMALIB)
    }
    loaded = {
        spec: registry.load(spec, time_limit=time_limit) for spec in names if spec not in untrained
    }
    for spec, localizer in (untrained | loaded).items():
        check_told(spec, localizer.told, source)
    participants = {BASELINE: Participant(BASELINE, registry.load(BASELINE), BASELINE)}
    limit = {"time_limit": time_limit}
    with folders.stage(
        out,
        MARKER,
        reads=paths.inputs(dataset, list(names)),
        overwrite=overwrite,
        resume=resume,
        scratch=[ANSWERS],
    ) as building:
        record_request(building, request)
        for spec in names:
            loaded_from: str | Path = spec
            if spec in untrained:
                loaded_from = run = building / "runs" / registry.folder_of(spec)
                _train(untrained[spec], spec, dataset, run, say)
                loaded[spec] = registry.load(run, time_limit=time_limit)
            name = registry.label(registry.name_of(spec), loaded[spec])
            if name in participants and name != BASELINE:
                raise InputError(f"two methods are called '{name}': rename a folder or function")
            participants[name] = Participant(name, loaded[spec], loaded_from, load_options=limit)
        result = _score_and_write(
            list(participants.values()), source, building, recorded, command, step, ray
        )
    return replace(result, folder=out)


def compare(
    dataset: str | Path,
    out: str | Path,
    methods: Sequence[str] = DEFAULT_METHODS,
    *,
    split: str | None = None,
    seeds: int = 1,
    false_calls: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    step: ProgressFactory = no_progress,
    say: Say = lambda line: None,
    ray: RayEngine | None = None,
    **options: Any,
) -> Comparison:
    """Train methods on a dataset and score them; write predictions, scores and figures.

    Run folders go to ``out/runs/METHOD``. ``resume`` continues an interrupted run. By default, all
    methods are compared; those that learn from clean images only if the dataset has some, and those
    that are told r and the ratio or learn from places only if it has places.

    Args:
        seeds: how often each method that is trained on labelled images is trained, with the seeds
            ``seed``, ``seed`` + 1, ...; the tables show the mean over the seeds
            (:mod:`localize.evaluation.seeds`). Their run folders are ``out/runs/METHOD-seed-N``.
        false_calls, ray: see :func:`evaluate`; methods are trained on this machine.
        options: each is passed to the methods that have it: ``epochs_scale``, ``input``, ...

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    methods, out = tuple(map(registry.expand_home, methods)), path_of(out)
    entries = [registry.method(name) for name in dict.fromkeys((registry.BASELINE, *methods))]
    source = choose_split(dataset, split)
    method_names = None if methods == DEFAULT_METHODS else methods
    recorded = options | ({"seeds": seeds} if seeds != 1 else {})
    recorded |= call_scores.option(source, false_calls)
    command = provenance.command(
        "compare", dataset, methods=method_names, split=split, **recorded, out=out
    )
    request = request_of(source, recorded)
    if resume and not overwrite and (finished := _read_finished(out, request, command, say)):
        return finished
    if ray:
        ray.check()
    entries = usable_methods(entries, source, say if methods == DEFAULT_METHODS else None)
    options_of = registry.options_by_method(entries, options)
    time_limit = options.get("time_limit")
    limit = {"time_limit": time_limit}
    untrained = {
        (entry.name, seed): registry.create(entry.name, **options_of[entry.name] | given)
        for entry in entries
        if entry.learns != "nothing"
        for seed, given in _seed_options(entry, seeds, options_of[entry.name])
    }
    if seeds != 1 and all(seed is None for _, seed in untrained):
        raise InputError("seeds: none of the methods is trained on labelled images: leave it out")
    participants = []
    with folders.stage(
        out,
        MARKER,
        reads=paths.inputs(dataset, list(methods), *options.values()),
        overwrite=overwrite,
        resume=resume,
        scratch=[ANSWERS],
    ) as building:
        record_request(building, request)
        for entry in entries:
            if entry.learns == "nothing" or entry.weights:
                localizer = registry.load(entry.name, time_limit=time_limit)
                name = registry.name_of(entry.name)
                participants.append(Participant(name, localizer, entry.name, load_options=limit))
                continue
            for seed in [seed for name, seed in untrained if name == entry.name]:
                suffix = "" if seed is None else f"-seed-{seed}"
                run = building / "runs" / registry.folder_of(entry.name + suffix)
                title = entry.name + suffix.replace("-", " ")
                _train(untrained.pop((entry.name, seed)), title, dataset, run, say)
                localizer = registry.load(run, time_limit=time_limit)
                name = registry.label(entry.name, localizer)
                participants.append(Participant(name, localizer, run, seed, limit))
        result = _score_and_write(participants, source, building, recorded, command, step, ray)
    return replace(result, folder=out)


def _seed_options(
    entry: Method, seeds: int, options: dict[str, Any]
) -> list[tuple[int | None, dict[str, Any]]]:
    """The seeds that a method is trained with, each as an option; None and {} for one seed."""
    numbers = seed_numbers(seeds, options)
    if seeds == 1 or not entry.takes_seeds or entry.weights:
        return [(None, {})]
    return [(seed, {"seed": seed}) for seed in numbers]


def _read_finished(
    out: Path, request: dict[str, Any], command: list[str], say: Say
) -> Comparison | None:
    """The results in ``out``, if they are those of a finished run with the same request."""
    finished = read_comparison(out, ABOUT, request, command, [ANSWERS])
    if finished:
        say(FINISHED)
    return finished


def record_request(building: Path, request: dict[str, Any], name: str = ABOUT) -> None:
    """Write the request into a new folder; check that an unfinished one has the same request.

    Args:
        name: of the file.
    """
    path = building / name
    if not path.is_file():
        folders.write(path, json.dumps(request, indent=2) + "\n")
        return
    earlier = read_object(path, f"pass --overwrite to drop the unfinished run in {building}")
    check_same_request({name: earlier.get(name) for name in request}, request, building)


def _train(localizer: Localizer, name: str, dataset: str | Path, run: Path, say: Say) -> None:
    """Train a method, unless an interrupted run of the comparison has trained it already."""
    from localize.training.runs import is_trained  # which loads torch

    if is_trained(run):
        say(f"{name}: trained already")
        return
    say(f"{name}: training")
    localizer.fit(Folder(dataset, "train"), Folder(dataset, "val"), run)


def _score_and_write(
    participants: Sequence[Participant],
    source: Folder,
    building: Path,
    options: dict[str, Any],
    command: list[str],
    step: ProgressFactory,
    ray: RayEngine | None,
) -> Comparison:
    """Score all participants and write the files of the comparison into ``building``."""
    result = _score(participants, source, building, step, ray)
    result = call_scores.add(result, options.get("false_calls"))
    seed_of = {each.label: (each.name, each.seed) for each in participants if each.seed is not None}
    result = merge_seeds(result, seed_of)
    localizers = {each.name: each.localizer for each in participants}
    runs = {each.name: each.run for each in participants if each.run}
    about = {"methods": provenance.method_entries(localizers, runs), "command": command}
    write(result, source, options, about)
    return result


def _score(
    participants: Sequence[Participant],
    source: Folder,
    folder: Path,
    step: ProgressFactory,
    ray: RayEngine | None,
) -> Comparison:
    """The answers and scores of all participants.

    Methods with epochs are scored a second time with the weights of their last epoch.
    """
    (folder / ANSWERS).mkdir(exist_ok=True)
    last = {each.label: _last_epoch(each) for each in participants if _has_epochs(each)}
    files = {each.label: each for each in participants} | {f"{n} last": p for n, p in last.items()}
    if ray:
        with step("answers") as progress:
            answer_on_ray(ray, files, source, folder, progress)
    answers, scores, last_scores, histories = [], [], [], []
    for each in participants:
        with step(each.label) as progress:
            answers.append(logged_answers(each, source, folder, each.label, progress))
        scores.append(score(answers[-1], source, each.localizer.parameters))
        answers[-1].maps.clear()  # scored, and large
        if each.run and each.label in last:
            again = last[each.label]
            last_answers = logged_answers(again, source, folder, f"{each.label} last", None)
            last_scores.append(score(last_answers, source, again.localizer.parameters))
            histories.append(_history(each.label, each.run))
    return collect_results(answers, scores, folder, histories, last_scores)


def _has_epochs(participant: Participant) -> bool:
    return participant.run is not None and (participant.run / HISTORY_FILE).is_file()


def _last_epoch(participant: Participant) -> Participant:
    """The same participant with the weights of its last epoch."""
    localizer = registry.load(participant.loaded_from, which="last")
    return replace(participant, localizer=localizer, load_options={"which": "last"})


def _history(name: str, run: Path) -> pd.DataFrame:
    """The epochs of a run as a table with the name of the method."""
    from localize.training.runs import read_history  # which loads torch

    epochs = pd.DataFrame(read_history(run), columns=list(HISTORY)).astype({"epoch": int})
    epochs.insert(0, "method", name)
    return epochs
