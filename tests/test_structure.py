"""The structure of the packages: imports point one way, and no modules import each other."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From top to bottom: a module may import its own room and the rooms below it.
ROOMS = {
    "synth": (
        "synth.__main__", "synth.cli", "synth.export_commands", "synth.import_command",
        "synth.scraping", "synth.exporting", "synth", "synth.generator", "synth.sharding",
        "synth.row_files", "synth.replay",
        "synth.importer", "synth.label_importer", "synth.label_splits", "synth.label_layouts",
        "synth.import_files", "synth.preview", "synth.renderer", "synth.scenes",
        "synth.output_file", "synth.photo_totals", "synth.console", "synth.dataset",
        "synth.card", "synth.rows", "synth.dataset_files", "synth.shards", "synth.shard_reader",
        "synth.photos",
        "synth.generate_log", "synth.engine_names", "synth.recipe", "synth.folders",
        "synth.photo_search", "synth.files", "synth.decoding", "synth.near_duplicates",
        "synth.plain_ground",
        "synth.image_repair", "synth.colour", "synth.coordinate_units", "synth.tables",
        "synth.csv_text", "synth.csv_cells", "synth.number_kinds", "synth.random_values",
        "synth.record_log", "synth.run_request", "synth.locks", "synth.json_files",
        "synth.json_shapes", "synth.file_names", "synth.storage", "synth.paths", "synth.memory",
        "synth.ray_cluster", "synth.workers",
        "synth.interrupts", "synth.text_escapes", "synth.limits", "synth.anomaly",
        "synth.errors",
    ),
    "localize": (
        "localize.__main__", "localize.cli", "localize", "localize.seed_training",
        "localize.findings", "localize.api", "localize.onnx_export", "localize.gate",
        "localize.play", "localize.sharpness", "localize.external_predictions",
        "localize.learning_curves", "localize.curve_trainings", "localize.comparison",
        "localize.report", "localize.participants", "localize.evaluation", "localize.ray_pool",
        "localize.registry", "localize.onnx", "localize.method_table", "localize.external",
        "localize.methods.transfer", "localize.methods.autoencoder", "localize.methods.heatmap",
        "localize.methods.ringvote", "localize.methods.patchcore", "localize.methods.backbones",
        "localize.methods", "localize.methods.hough", "localize.training", "localize.data",
        "localize.localizer", "localize.onnx.sidecar", "localize.onnx.options",
        "localize.options", "localize.run_files", "localize.names",
    ),
}  # fmt: skip


def modules(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules -> their files."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports(package: str) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, anywhere in its code."""
    known = modules(package)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    found[name].add(full if full in known else node.module)
            elif isinstance(node, ast.Import):
                found[name].update(alias.name for alias in node.names)
        found[name] = {each for each in found[name] if each in known and each != name}
    return found


@pytest.mark.parametrize("package", ["synth", "localize"])
def test_no_modules_import_each_other(package: str) -> None:
    try:
        TopologicalSorter(imports(package)).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_imports_point_down(package: str) -> None:
    rooms = ROOMS[package]

    def room(module: str) -> int:
        fitting = [each for each in rooms if f"{module}.".startswith(f"{each}.")]
        exact = [each for each in fitting if each != package or module == package]
        assert exact, f"{module} has no room: add it to ROOMS"
        return rooms.index(max(exact, key=len))

    upwards = [
        f"{name} imports {other}"
        for name, others in imports(package).items()
        for other in others
        if room(other) < room(name)
    ]
    assert not upwards
