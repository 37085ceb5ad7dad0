"""The reader of tables from users: accepted formats, and errors with the row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth import InputError, csv_text, number_kinds, tables
from synth.file_names import FileNames

Read = Callable[..., tables.Table]
NEEDED = ("file_name", "x", "licence")
PLAIN = "file_name,x,licence\na.png,12.5,CC BY\nb.png,3,\n"
WANTED = [["a.png", "12.5", "CC BY"], ["b.png", "3", ""]]


@pytest.fixture
def table(tmp_path: Path) -> Read:
    """A function: the content of a file, text or bytes -> the table read from it."""

    def read(content: str | bytes, needed: tuple[str, ...] = NEEDED) -> tables.Table:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "t.csv").write_bytes(data)
        return tables.read(tmp_path / "t.csv", needed)

    return read


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.removesuffix("\n"),
        PLAIN.replace("\n", "\n\n") + "\n,,\n",
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", ", "),
        PLAIN.replace(",", " , "),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("licence", "licence,,"),
        PLAIN.replace("CC BY\n", "CC BY,,\n"),
        PLAIN.replace("file_name,x,licence", "File Name,X, License "),
        PLAIN.replace("file_name,x,licence", '"filename","x","LICENCE"'),
        PLAIN.replace("CC BY", '"CC BY"'),
        PLAIN.replace(",CC BY", ', "CC BY" '),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        "sep=,\n" + PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-32"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    ],
)
def test_formats_of_spreadsheets_are_read(table: Read, content: str | bytes) -> None:
    found = table(content)
    assert found.columns == NEEDED
    assert found.rows == WANTED
    assert found.numbers({"x": number_kinds.PIXELS})["x"] == [12.5, 3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read, it lacks the column file_name, x, licence: it is empty"),
        (" \r\n\r\n", "it is empty"),
        ("file_name x licence\na 1 b\n", "it has file_name x licence; separate its cells"),
        ("a,b,c\n1,2,3\n", "lacks the column file_name, x, licence: it has a, b, c"),
        (PLAIN.replace("licence", "x"), "the column x twice"),
        ("file_name,X,licence, x\n", None),
        ("file_name,X, X ,licence\n", "the column X twice"),
        ("file_name,xx,License,LICENSE\n", "columns License and LICENSE"),
        (PLAIN + "c.png,1,2,3\n", "row 2, line 4: 4 cells, the header has 3: quote a cell"),
        (PLAIN + "\nc.png,1\n", "row 2, line 5: 2 cells, the header has 3: licence is missing"),
        (PLAIN + "c.png,1,5,CC BY\n", "4 cells, the header has 3"),
        (PLAIN + 'c.png,1,"CC\n', "a quote is not closed"),
        (PLAIN.encode() + b"c.png,1,\xfc\n", "UTF-8 (line 4): save it as CSV in UTF-8"),
        (PLAIN.encode("utf-16-le"), "NUL byte"),
        (PLAIN + "c.png,1,\0\n", "line 4: there is a NUL byte"),
        (b"\xff\xfea", "cannot be read as text in UTF-16"),
    ],
)
def test_impossible_values_are_refused(
    table: Read, content: str | bytes, words: str | None
) -> None:
    if words is None:
        assert table(content).columns[1] == "X", "another column than x, which is there too"
        return
    with pytest.raises(InputError) as caught:
        table(content)
    assert words in str(caught.value)
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table at"):
        tables.read(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="cannot be read"):
        tables.read(tmp_path)


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("-1.5e2", number_kinds.PIXELS, -150),
        ("+.5", number_kinds.PIXELS, 0.5),
        ("", number_kinds.PIXELS, math.nan),
        ("-inf", number_kinds.INFINITE, -math.inf),
        ("Infinity", number_kinds.STEP, math.inf),
        ("0", number_kinds.SHARE, 0),
        ("nan", number_kinds.Number(nan=True), math.nan),
        ("banana", number_kinds.PIXELS, None),
        ("1e308", number_kinds.PIXELS, None),
        ("inf", number_kinds.PIXELS, None),
        ("nan", number_kinds.PIXELS, None),
        ("9" * 5000, number_kinds.PIXELS, None),
        ("9" * 5000, number_kinds.INFINITE, math.inf),
        ("9" * 5000, number_kinds.FINITE, None),
        ("1_000", number_kinds.PIXELS, None),
        ("0x10", number_kinds.PIXELS, None),
        ("\u0661", number_kinds.PIXELS, None),
        ("--1", number_kinds.PIXELS, None),
        ("5%", number_kinds.PIXELS, None),
        ("-1", number_kinds.SIZE, None),
        ("0", number_kinds.POSITIVE, None),
        ("1.5", number_kinds.SHARE, None),
        ("", number_kinds.Number(empty=False), None),
    ],
)
def test_numbers_are_checked(
    table: Read, cell: str, kind: number_kinds.Number, value: float | None
) -> None:
    found = table(f"file_name,x,licence\na.png,1,\nb.png,{cell},\n")
    kinds = {"x": kind}
    if value is not None:
        assert found.numbers(kinds)["x"][1] == pytest.approx(value, nan_ok=True)
        return
    with pytest.raises(InputError) as caught:
        found.numbers(kinds, "make it again")
    line = str(caught.value)
    assert f"row 1, line 3 (b.png): x is '{cell[:20]}" in line
    assert line.endswith(": make it again")
    assert len(line) < 400


def test_decimal_commas(table: Read) -> None:
    """Read as decimal points if the delimiter is not a comma, never as thousands separators."""
    kinds = dict.fromkeys(("x", "y"), number_kinds.PIXELS)
    found = table("file_name;x;y\na;1,5;20\nb;2,25;-3,5e1\n", ("file_name", "x", "y"))
    assert found.numbers(kinds) == {"x": [1.5, 2.25], "y": [20, -35]}
    assert "separated by semicolons, not by commas; decimal commas" in found.note(kinds)
    for content, words in (
        (
            "file_name;x;y\na;1,5;2.5\n",
            "y is '2.5', with a decimal point, and x in line 2 is '1,5'",
        ),
        ("file_name;x;y\na;1.234,5;2\n", "x is '1.234,5', not a number"),
        ('file_name,x,y\na,"1,5",2\n', "x is '1,5', not a number"),
    ):
        with pytest.raises(InputError) as caught:
            table(content, ("file_name", "x", "y")).numbers(kinds)
        assert words in str(caught.value)


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
            min_size=2,
            max_size=2,
        ),
        max_size=5,
    ),
    st.sampled_from(list(csv_text.DELIMITERS)),
)
def test_the_output_of_csv_writer_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["file_name", "note"], *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    found = tables.read(path, ("file_name", "note"))
    stripped = [[cell.strip() for cell in row] for row in rows]
    assert found.rows == [row for row in stripped if any(row)]


def test_a_frame_is_the_same_on_both_ways(tmp_path: Path) -> None:
    """The fast reader with pandas and the general reader give the same cells."""
    text = 'file_name,x,note\na.png,1,NA\n"b\nc.png",,"x, ""y"""\n d.png,3,\n'
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "odd.csv").write_text(text.replace("file_name", " File name"))
    plain, odd = (
        tables.frame(tmp_path / name, ("file_name", "x"), ("file_name", "x"))
        for name in ("plain.csv", "odd.csv")
    )
    assert plain["file_name"].tolist() == ["a.png", "b\nc.png", " d.png"]
    pd.testing.assert_frame_equal(plain.map(str.strip), odd)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.png", "a.png"),
        (" ./a.png ", "a.png"),
        (".\\sub\\b.png", "sub/b.png"),
        ("sub//b.png", "sub/b.png"),
        ("mine/sub/b.png", "sub/b.png"),
        ("/PLACE/mine/a.png", "a.png"),
        ("e\u0301.png", "e\u0301.png"),
        ("\u00e9.png", "e\u0301.png"),
        ("sub/u\u0308.png", "sub/\u00fc.png"),
        ("b.png", None),
        ("yours/a.png", None),
        ("../mine/a.png", None),
        ("A.png", None),
        ("", None),
        ("o\u0308.png", "o\u0308.png"),
        ("./\u00f6.png", None),
    ],
)
def test_names_are_matched(tmp_path: Path, name: str, found: str | None) -> None:
    """Two names of the last photo differ in their normal form only, so neither is chosen."""
    names = ["a.png", "sub/b.png", "e\u0301.png", "sub/\u00fc.png", "\u00f6.png", "o\u0308.png"]
    known = FileNames(names, tmp_path / "mine")
    assert known.find(name.replace("/PLACE", str(tmp_path))) == found
