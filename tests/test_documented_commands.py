"""Checks that the commands in Markdown pages have existing flags and run, on tiny data.

Commands are in blocks fenced as ``console``. A line that begins with ``$ `` is a command. A line
after one that ends in a backslash continues it. All other lines are output. The line above a
block is ``<!-- run -->`` or ``<!-- no-run: reason -->``. The commands of a page that are marked to
run are run in order, in a folder with the files that :func:`prepared` makes.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer.main
from PIL import Image
from typer.exceptions import TyperException

import localize.cli.main
import synth.cli
from synth import Anomaly, Recipe, apply, console, generate, scenes

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "data/README.md", "localize/weights/README.md")
    for page in ROOT.glob(pattern)
    if not {"_build", "generated"} & set(page.parts)  # what `make docs` writes
)
SLOW = {"docs/howto/deploy.md"}  # pages that take more than 20 s
APPS = {"synth": synth.cli.app, "localize": localize.cli.main.app}
SHELL = {"ls", "cat", "cd", "head", "mkdir"}
OTHER_NAMES = {"bash", "sh", "shell", "zsh", "shell-session"}  # of fences with commands

# By the beginning of a command: flags that are added to it, so that it runs in seconds.
TRAINED = {"--epochs-scale": "0.02", "--input": "32x32"}
VOTED = {
    "--epochs": "1", "--epochs-scale": "0.02", "--batch": "1", "--calibration-images": "50",
    "--width": "8",
}  # fmt: skip
TINY: dict[str, dict[str, str]] = {
    "synth scenes": {"--count": "2", "--size": "64x64"},
    "synth generate": {
        "--size": "128x128", "--radius": "12:24", "--per-photo": "4",
        "--split": "0.5:0.25:0.25", "--workers": "1",
    },
    "localize train cnn": TRAINED,
    "localize train unet": TRAINED,
    "localize train autoencoder": {"--epochs": "1", "--crops": "16"},
    "localize train ringvote": VOTED,
    "localize learning-curve": {**TRAINED, "--repeats": "1"},
    "localize sharpness": {
        "--per-cell": "1", "--ratios": "1.05,1.3", "--size": "192x192", "--workers": "1",
    },
}  # fmt: skip
TINY_WHERE_GIVEN = {"--adaptive": "12", "--rows": "2,all", "--labels": "2,all"}
FORMS = {  # patterns of values that the added flags replace, so that they would not be checked
    "size": r"\d+x\d+|keep",
    "input": r"\d+x\d+",
    "radius": r"[\d.]+:([\d.]+|edge)",
    "rows": r"(\d+|all)(,(\d+|all))*",
    "labels": r"(\d+|all)(,(\d+|all))*",
    "split": r"[\d.]+(:[\d.]+){2}|test|val|train|all",
    "ratios": r"[\d.]+:[\d.]+:\d+|[\d.]+(,[\d.]+)+",
}
# Numbers of images for training on endless images, of bootstrap samples and of directions of a
# confidence region, which no flag changes.
CONSTANTS = {
    "localize.data.endless.VAL_IMAGES": 2,
    "localize.data.batches.EPOCH": 4,
    "localize.methods.ringvote.method.EPOCH": 2,
    "localize.methods.ringvote.method.VAL_IMAGES": 2,
    "localize.methods.ringvote.platt.SIZES": ((400, 320),),
    "localize.sharpness.thresholds.DRAWS": 50,
    "localize.sharpness.pod.contour.DIRECTIONS": 90,
    "localize.sharpness.pod.contour.LAPSE_DIRECTIONS": 24,
}


class Fault(Exception):
    """A page has a wrong block or command."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        line: number of its first line in the page.
        language: the word after the fence.
        above: the last line before it that is not empty.
        lines: the lines between the fences.
    """

    line: int
    language: str
    above: str
    lines: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether its commands are run."""
        return self.above == "<!-- run -->"

    @property
    def is_marked(self) -> bool:
        """Whether the line above says that its commands are run, or why they are not."""
        return self.runs or re.fullmatch(r"<!-- no-run: \S.* -->", self.above) is not None

    def commands(self) -> list[str]:
        """The command lines; continuation lines are joined to them."""
        commands: list[str] = []
        continues = False
        for line in self.lines:
            if continues:
                commands[-1] += " " + line.strip().removeprefix("> ")
            elif line.startswith("$ "):
                commands.append(line[2:])
            else:
                continue
            continues = commands[-1].endswith("\\")
            commands[-1] = commands[-1].removesuffix("\\").rstrip()
        return commands


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown page.

    Raises:
        Fault: a block has no end.
    """
    fenced = []
    above = ""
    numbered = enumerate(text.splitlines(), 1)
    for start, line in numbered:
        opening = re.match(r"(\s*)(`{3,}|~{3,})\s*([\w-]*)", line)
        if opening is None:
            above = line.strip() or above
            continue
        indent, fence, language = opening.groups()
        lines = []
        for _, inside in numbered:
            if inside.strip() == fence:
                break
            lines.append(inside.removeprefix(indent))
        else:
            raise Fault(f"line {start}: the block does not end")
        fenced.append(Block(start, language, above, tuple(lines)))
        above = ""
    return fenced


def simple_commands(line: str) -> list[list[str]]:
    """A command line -> the words of each of its commands, which `|`, `&&`, `;` etc. separate."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def program_of(words: list[str]) -> list[str]:
    """``python -m synth ...`` -> ``synth ...``; other commands are returned unchanged."""
    if words[:2] == ["python", "-m"] and len(words) > 2 and words[2] in APPS:
        return words[2:]
    return words


def parse(words: list[str]) -> dict[str, Any]:
    """The words of a `synth` or `localize` command -> its parameters; the command is not run.

    Raises:
        Fault: there is no such command or flag, or a value or argument is wrong.
    """
    program, *arguments = words
    if not arguments or arguments[0].startswith("-"):
        return {}
    known: Any = typer.main.get_command(APPS[program])
    name, *rest = arguments
    if name not in known.commands:
        raise Fault(f"{program} has no command {name}")
    if "--help" in rest:
        return {}
    try:
        given: dict[str, Any] = known.commands[name].make_context(name, list(rest)).params
    except TyperException as error:
        raise Fault(f"{shlex.join(words)}: {error.format_message()}") from None
    for field, form in FORMS.items() if name != "pod" else ():  # there --size names a column
        value = given.get(field)
        if isinstance(value, str) and not re.fullmatch(form, value):
            raise Fault(f"{shlex.join(words)}: --{field} cannot be {value}")
    return given


def check(text: str) -> None:
    """Check the marks of a page's blocks and the flags of all its commands.

    Raises:
        Fault: one of them is wrong; the message names the line.
    """
    for block in blocks(text):
        where = f"line {block.line}"
        commands = block.commands()
        if block.language in OTHER_NAMES or (commands and block.language != "console"):
            raise Fault(f"{where}: fence commands as console, each after '$ '")
        if block.language != "console":
            continue
        if not commands:
            raise Fault(f"{where}: a console block without a line that begins with '$ '")
        if not block.is_marked:
            raise Fault(
                f"{where}: write <!-- run --> or <!-- no-run: reason --> above the console block"
            )
        for line in commands:
            simple = [program_of(words) for words in simple_commands(line)]
            if block.runs and len(simple) > 1 and any(words[0] in APPS for words in simple):
                raise Fault(f"{where}: one command a line, or mark the block no-run: {line}")
            for words in simple:
                if words[0] in APPS:
                    try:
                        parse(words)
                    except Fault as fault:
                        raise Fault(f"{where}: {fault}") from None
                if block.runs and words[0] not in {*APPS, *SHELL, "python"}:
                    raise Fault(f"{where}: {words[0]} is not run here: mark the block no-run")


def shrink(words: list[str]) -> list[str]:
    """Adds flags that make a command fast; the last one of two equal flags counts."""
    added: dict[str, str] = {}
    if words[1:2] == ["compare"]:
        methods = parse(words)["methods"]
        if methods is None or re.search(r"\b(cnn|unet)-", methods):
            added |= TRAINED
    for beginning, flags in TINY.items():
        if shlex.join(words).startswith(beginning):
            added |= flags
    added |= {flag: value for flag, value in TINY_WHERE_GIVEN.items() if flag in words}
    return [*words, *(part for flag in added.items() for part in flag)]


def run(text: str, folder: Path) -> None:
    """Runs the commands of a page's marked blocks in ``folder``, a copy of :func:`prepared`.

    Raises:
        Fault: a command fails; the message names it.
    """
    home = folder.resolve()
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in CONSTANTS.items():
            patch.setattr(constant, value)
        patch.chdir(home)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("COLUMNS", "120")
        for block in blocks(text):
            for line in block.commands() if block.runs else ():
                words = program_of(simple_commands(line)[0])
                if words[0] in APPS:
                    code = run_acuity(words, home)
                elif words[0] == "cd":
                    patch.chdir(words[1])
                    code = 0
                elif words[0] == "python":
                    code = subprocess.run([sys.executable, *words[1:]]).returncode
                else:
                    code = subprocess.run(["bash", "-c", line]).returncode
                if code:
                    raise Fault(f"line {block.line}: exit code {code}: {line}")


def run_acuity(words: list[str], home: Path) -> int:
    """Runs a `synth` or `localize` command with the flags of :func:`shrink` -> its exit code.

    Its output of an earlier command is deleted first, because pages show variants of a command.
    """
    words = [
        name
        for word in words
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    given = parse(words)
    for name in ("out", "overlay"):
        if given.get(name) is None or given.get("resume"):
            continue
        if not (out := Path(given[name])).exists():
            continue
        assert home in out.resolve().parents
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    code = console.run(APPS[words[0]], words[0], shrink(words)[1:])
    written = None if given.get("out") is None else Path(given["out"])
    if words[1] == "scenes" and code == 0:  # rendering scenes of this size takes a minute
        shutil.rmtree(written)
        shutil.copytree(home / ".photos", written)
    if written is not None and written.resolve() == home / "set":
        write_predictions(home)
    return code


def write_predictions(folder: Path) -> None:
    """Writes ``predictions.csv`` for the dataset ``set``: the true centres, 3 px to the right."""
    table = pd.read_csv(folder / "set/metadata.csv")
    table = table[table["label"] == 1]
    rows = {"file_name": table["file_name"], "x_pred": table["x"] + 3, "y_pred": table["y"]}
    pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False)


def write_inspection(folder: Path) -> None:
    """Writes ``inspection.csv``: sizes, two inspections, a signal and a maker of 80 targets."""
    rng = np.random.default_rng(1)
    length = rng.uniform(0.5, 6, 80).round(2)
    pod = 1 / (1 + np.exp(-2 * (length - 3)))
    rows = {
        "length": length, "found": (rng.random(80) < pod).astype(int),
        "again": (rng.random(80) < pod).astype(int),
        "amplitude": (100 * length + 60 * rng.standard_normal(80)).round(1),
        "maker": np.where(np.arange(80) % 2, "a", "b"),
    }  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "inspection.csv", index=False)


def write_foreign_table(folder: Path, pictures: list[np.ndarray]) -> None:
    """Writes ``foreign/`` and ``foreign.csv`` as the first project did: x is the row."""
    (folder / "foreign").mkdir()
    with (folder / "foreign.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["x", "y", "r", "discolor_ratio", "img_path"])
        for number, picture in enumerate(pictures):
            row, column, r, ratio = 50 + number, 70, 20, 1.1
            region = np.s_[row - r : row + r, column - r : column + r]
            picture = picture.copy()
            picture[region] = (picture[region] * ratio).astype(int) % 256
            Image.fromarray(picture).save(folder / f"foreign/{number}.jpg", quality=75)
            table.writerow([row, column, r, ratio, f"foreign/{number}.jpg"])


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands of a page run: photos, a dataset, tables, a localizer."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "photos").mkdir()
    small = []
    for path in scenes.write(folder / "scenes", 4, 132, 132, seed=5):
        with Image.open(path) as scene:
            small.append(np.asarray(scene))
            # The preset "default" needs photos of at least 512 x 512 px.
            scene.resize((528, 528)).save(folder / f"photos/{path.stem}.jpg", quality=95)
    shutil.rmtree(folder / "scenes")
    shutil.copytree(folder / "photos", folder / ".photos")
    hidden = apply(small[0], Anomaly(x=70, y=60, r=24, discolor_ratio=1.2))
    Image.fromarray(hidden).save(folder / "photo.jpg", quality=95)
    recipe = Recipe(
        size=(128, 128), per_photo=4, radius=(12, 24), ratio=(1.1, 1.3), twins=True, masks=True,
        split=(0.5, 0.25, 0.25),
    )  # fmt: skip
    generate(folder / "photos", folder / "set", recipe)
    (folder / "mine.py").write_text(
        "def find(image):\n    return image.shape[1] / 2, image.shape[0] / 2\n"
    )
    write_predictions(folder)
    write_foreign_table(folder, small[:3])
    write_inspection(folder)
    shutil.copytree(ROOT / "data/recipes", folder / "data/recipes")
    (folder / "tools").mkdir()
    shutil.copy(ROOT / "tools/comb.py", folder / "tools")
    return folder


@pytest.fixture
def page_folder(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the prepared folder for one page."""
    yield shutil.copytree(prepared, tmp_path / "page")
    shutil.rmtree(tmp_path / "page")


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_are_marked_and_their_flags_exist(page: str) -> None:
    check((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())
        for page in PAGES
        if "<!-- run -->" in (ROOT / page).read_text(encoding="utf-8")
    ],
)
def test_the_commands_of_a_page_run(
    page: str, page_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page != "README.md":  # figures take most of the time of some commands
        monkeypatch.setattr("localize.report.plots.save", lambda *arguments: None)
    run((ROOT / page).read_text(encoding="utf-8"), page_folder)


def examples() -> list[str]:
    """The examples in the help texts of all commands."""
    commands = []
    for app in APPS.values():
        known: Any = typer.main.get_command(app)
        for name, command in known.commands.items():
            in_help = re.findall(r"Example: `(.+?)`", " ".join(command.help.split()))
            assert in_help, f"the help of {name} has no example"
            commands += in_help
    return commands


@pytest.mark.parametrize("example", examples())
def test_the_flags_of_an_example_in_a_help_text_exist(example: str) -> None:
    parse(simple_commands(example)[0])


def page(*commands: str, mark: str = "<!-- run -->", language: str = "console") -> str:
    """A page with one block of commands."""
    lines = "\n".join(f"$ {command}" for command in commands)
    return f"# Page\n\nText.\n\n{mark}\n```{language}\n{lines}\noutput\n```\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (page("localize methods", mark=""), "write <!-- run -->"),
        (page("localize methods", mark="<!-- no-run -->"), "write <!-- run -->"),
        (page("localize methods", mark="<!-- no-run: -->"), "write <!-- run -->"),
        (page("localize methods", language="bash"), "fence commands as console"),
        (page("localize methods", language=""), "fence commands as console"),
        (page(), "without a line that begins with"),
        (page("localize methods").removesuffix("```\n"), "does not end"),
        (page("localize find photo.jpg --sensitive"), "--sensitive"),
        (page("localize find photo.jpg | grep --sensitive x", mark="<!-- no-run: a -->"), ""),
        (page("cat x | localize find --sensitive", mark="<!-- no-run: a -->"), "--sensitive"),
        (page("python -m localize find photo.jpg --sensitive"), "--sensitive"),
        (page("localize find photo.jpg \\\n    --sensitive"), "--sensitive"),
        (textwrap.indent(page("localize find photo.jpg --sensitive"), "  "), "--sensitive"),
        (page("synth export set out --format coc"), "coc"),
        (page("synth generate photos"), "Missing argument"),
        (page("synth generate photos set --size big"), "--size cannot be big"),
        (page("localize seek photo.jpg"), "no command seek"),
        (page("localize methods > methods.txt"), "one command a line"),
        (page("pip install ."), "mark the block no-run"),
        (page("pip install .", mark="<!-- no-run: installs -->"), ""),
        (page("localize find photo.jpg --r 40  # --sensitive"), ""),
        (page("synth --version", "localize find --help"), ""),
    ],
)
def test_wrong_pages_are_refused(text: str, words: str) -> None:
    if not words:
        check(text)
        return
    with pytest.raises(Fault, match=re.escape(words)):
        check(text)


def test_commands_run_in_order_on_tiny_data(
    page_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = page(
        "synth scenes photos --count 500 --size 4000x3000",
        "synth generate photos set --twins --size 400x400 \\\n  --radius 20:60",
        "synth verify set --photos photos   # a comment",
        "localize score predictions.csv set --out scores/mine",
        "python -m localize find photo.jpg --method mine.py:find",
        "mkdir notes",
        "cd notes",
        "ls ../set",
        "synth import ../foreign.csv ../other --images ../foreign --preset seed",
        'python -c "print(6 * 7)"',
    )
    check(text)
    run(text, page_folder)
    with Image.open(next((page_folder / "set/images").iterdir())) as image:
        assert image.size == (128, 128)
    splits = pd.read_csv(page_folder / "set/metadata.csv")["split"]
    assert set(splits) == {"train", "val", "test"}
    scores = pd.read_csv(page_folder / "scores/mine/scores.csv").set_index("method")
    assert scores["hit@5"].iloc[-1] == 1
    assert len(pd.read_csv(page_folder / "other/metadata.csv")) == 3
    out = capfd.readouterr().out
    assert "metadata.csv" in out
    assert out.endswith("42\n")


@pytest.mark.parametrize("command", ["localize find missing.jpg", "cat missing", "python -c 1/0"])
def test_a_command_that_fails_is_named(command: str, page_folder: Path) -> None:
    with pytest.raises(Fault, match=f"exit code .: {re.escape(command)}"):
        run(page("localize methods", command), page_folder)


def test_blocks_that_are_not_marked_do_not_run(page_folder: Path) -> None:
    run(page("cat missing", mark="<!-- no-run: shows an error -->"), page_folder)


@pytest.mark.parametrize(
    "command",
    [
        "localize train ringvote --photos photos --recipe data/recipes/ringvote.json "
        "--batch 16 --epochs 116 --learning-rate 3e-3 --out run",
        "localize train cnn-slow --photos photos --recipe default --out run",
        "localize sharpness boundary --photos photos --adaptive 240 --out chart",
        "localize sharpness centre --photos photos --radii 40 --per-cell 24 --out chart",
        "localize compare set --methods centre,boundary --out results",
    ],
)
def test_long_commands_become_short(
    command: str, page_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localize.report.plots.save", lambda *arguments: None)
    run(page(command), page_folder)
