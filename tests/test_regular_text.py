"""Text that pandas reads gives the same table as text that is read row by row."""

import numpy as np
import pytest

from accent_lib.datasets import tables
from accent_lib.datasets.tables import read_table
from accent_lib.errors import AccentError

ROWS = "ann{0}Emma{0}5\nbob{0}1e2{0}4.5\nann{0}Emma{0}5\n"
NAMES = "user{0}item{0}rating\n"
# Text, what separates its fields, and whether pandas reads it.
TEXTS = {
    **{f"by {sep!r}": (ROWS.format(sep), sep, True) for sep in (",", ";", "\t", "|", "::", "@@", "§", "x")},
    **{f"names, by {sep!r}": (NAMES.format(sep) + ROWS.format(sep), sep, True) for sep in (",", "\t", "::")},
    "white space": (" 1  2 \t5\n3 4   5 \n", " ", True),
    "white space of other kinds": ("1\u00a02 5\n3\u20034 5\n", " ", False),
    "no line end": (ROWS.format(",")[:-1], ",", True),
    "line ends of windows": (ROWS.format(",").replace("\n", "\r\n"), ",", True),
    "blank lines at the end": (ROWS.format(",") + "\n\n", ",", True),
    "blank lines elsewhere": ("\n" + ROWS.format(",") + "\n1,2,3\n", ",", False),
    "blanks at the end": (ROWS.format(",") + "  \n", ",", False),
    "a row of blanks": ("1,2,3\n, ,\n4,5,6\n", ",", False),
    "a row of nothing": ("1::2::3\n::::\n4::5::6\n", "::", False),
    "blanks and letters": (" 1 , Émma  B\t,\u20035\n\u00a02,日本 , 4\n", ",", True),
    "empty fields": ("1,,3\n,5,6\n7,8,\n", ",", True),
    "missing ones": ("nan,NULL,3\nNA,None,6\n", ",", True),
    "quotation marks": ('"1", "Emma" ,3\n'.replace(" ,", ",") + '2,"",""\n', ",", True),
    "marks and blanks inside": ('" 1 ","a b",3\n2,c,4\n', ",", True),
    "marks of other separators": ('"1"\ta"b\t"\n""\t"x""y"\t"z\n', "\t", True),
    "a separator in marks": ('1,"a, b",3\n2,c,4\n', ",", False),
    "a line end in marks": ('1,2,"a\n3,4,b"\n5,6,7\n', ",", False),
    "a mark in a word": ('1,a"b,3\n2,c,4\n', ",", False),
    "a mark in marks": ('1;"a""b";3\n2;c;4\n', ";", False),
    "a tab before a mark": ('1,\t"a",3\n2,c,4\n', ",", False),
    "a byte order mark": ("\ufeff" + ROWS.format(","), ",", True),
    "two byte order marks": ("\ufeff\ufeff" + ROWS.format(","), ",", False),
    "signs of control": ("1,a\x0bb,3\n2\x01,c\x85d,4\u2028\n", ",", True),
    "the sign that stands for a separator": ("1::a\x01b::3\n2::c::4\n", "::", False),
    "a separator three times": ("1:::2::3\n4::5:::6\n", "::", True),
    "one column": ("1\n2\n3\n", ",", False),
    "one blank field": (" , 1\n2, \n", ",", True),
    "a quotation mark for a separator": ('1"2"3\n4"5"6\n', '"', True),
}  # fmt: skip


def everything(path, sep):
    """The table as plain values: names, texts, lines."""
    table = read_table(path, lambda where, names: names[::-1], sep, given=(0,))
    texts = {name: list(values) for name, values in table.columns.items()}
    assert all(type(text) is str for column in texts.values() for text in column)
    return table.names, texts, table.lines.tolist(), table.said


@pytest.mark.parametrize("characters", [tables.CHARACTERS, 1, 9])
@pytest.mark.parametrize("case", TEXTS)
def test_both_ways_give_the_same(case, characters, tmp_path, monkeypatch):
    text, sep, _ = TEXTS[case]
    path = tmp_path / "ratings.txt"
    path.write_bytes(text.encode())
    monkeypatch.setattr(tables, "CHARACTERS", characters)
    found = everything(path, sep)
    monkeypatch.setattr(tables, "_regular_columns", lambda *arguments: {})
    assert found == everything(path, sep)


@pytest.mark.parametrize("case", TEXTS)
def test_pandas_reads_what_it_can(case, tmp_path, monkeypatch):
    text, sep, is_regular = TEXTS[case]
    path = tmp_path / "ratings.txt"
    path.write_bytes(text.encode())
    seen, slow = [], tables._columns
    monkeypatch.setattr(tables, "_columns", lambda *arguments: seen.append(1) or slow(*arguments))
    everything(path, sep)
    assert not seen == is_regular


def test_texts_made_at_random(tmp_path, monkeypatch):
    """Of signs that mean something, so that most texts are wrong somewhere: then both ways say the same."""
    generator, path, quick = np.random.default_rng(3), tmp_path / "ratings.txt", tables._regular_columns
    regular = 0
    for _ in range(3000):
        sep = (",", "\t", "::", " ")[generator.integers(4)]
        odd = generator.choice([0, 0.02, 0.1])
        signs, shares = ["a", "1", " ", '"'], [0.6 - odd, 0.4 - odd, odd, odd]
        lines = [
            sep.join("".join(generator.choice(signs, generator.integers(4), p=shares)) for _ in range(n))
            for n in generator.choice([2, 1, 3], 6, p=[0.98, 0.01, 0.01])
        ]
        path.write_text("\n".join([f"1{sep}2", *lines, *generator.choice(["", " "], generator.integers(3))]))
        told = []
        for read in (quick, lambda *arguments: {}):
            monkeypatch.setattr(tables, "_regular_columns", read)
            try:
                told.append(everything(path, sep))
            except AccentError as error:
                told.append(str(error))
        assert told[0] == told[1], lines
        regular += bool(quick(path, "utf-8", None if sep == " " else sep, False, [0, 1], [1]))
    assert 500 < regular < 2500


def test_an_id_is_the_same_text_in_every_block(tmp_path, monkeypatch):
    path = tmp_path / "ratings.txt"
    path.write_text("".join(f"user {n % 3},film {n % 7},{n % 5}\n" for n in range(200)), "utf-8")
    monkeypatch.setattr(tables, "CHARACTERS", 100)
    columns = read_table(path, lambda where, names: names).columns
    assert [len(columns[name].categories) for name in (0, 1, 2)] == [3, 7, 5]
