"""A small table of one's own: the ratings of a book club, invented, of books that exist.

``python -m accent_book.experiments.club`` writes ``data/club/club.csv`` and ``data/club/books.csv``.
Titles, authors, years and genres are facts; the readers, and what they think, are made up: each likes some
genres and some authors, rates from 1 to 10, and is not quite sure.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from accent_book.runs import notebooks
from accent_book.runs.manifest import kept

BOOKS = """
Pride and Prejudice|Jane Austen|1813|classic, romance
Emma|Jane Austen|1815|classic, romance
Persuasion|Jane Austen|1817|classic, romance
Sense and Sensibility|Jane Austen|1811|classic, romance
Jane Eyre|Charlotte Brontë|1847|classic, romance
Wuthering Heights|Emily Brontë|1847|classic, romance
Great Expectations|Charles Dickens|1861|classic
David Copperfield|Charles Dickens|1850|classic
A Tale of Two Cities|Charles Dickens|1859|classic, historical
Bleak House|Charles Dickens|1853|classic
Middlemarch|George Eliot|1871|classic
Anna Karenina|Leo Tolstoy|1878|classic, romance
War and Peace|Leo Tolstoy|1869|classic, historical
Crime and Punishment|Fyodor Dostoevsky|1866|classic, crime
The Brothers Karamazov|Fyodor Dostoevsky|1880|classic
Madame Bovary|Gustave Flaubert|1856|classic, romance
Dracula|Bram Stoker|1897|classic, horror
Frankenstein|Mary Shelley|1818|classic, horror
The Picture of Dorian Gray|Oscar Wilde|1890|classic, horror
Moby-Dick|Herman Melville|1851|classic
The Hound of the Baskervilles|Arthur Conan Doyle|1902|crime, classic
A Study in Scarlet|Arthur Conan Doyle|1887|crime, classic
The Sign of Four|Arthur Conan Doyle|1890|crime, classic
Murder on the Orient Express|Agatha Christie|1934|crime
Death on the Nile|Agatha Christie|1937|crime
The Murder of Roger Ackroyd|Agatha Christie|1926|crime
And Then There Were None|Agatha Christie|1939|crime
The Big Sleep|Raymond Chandler|1939|crime
The Long Goodbye|Raymond Chandler|1953|crime
Farewell, My Lovely|Raymond Chandler|1940|crime
The Maltese Falcon|Dashiell Hammett|1930|crime
The Talented Mr. Ripley|Patricia Highsmith|1955|crime
Strangers on a Train|Patricia Highsmith|1950|crime
The Spy Who Came in from the Cold|John le Carré|1963|crime
Tinker Tailor Soldier Spy|John le Carré|1974|crime
The Name of the Rose|Umberto Eco|1980|crime, historical
The Girl with the Dragon Tattoo|Stieg Larsson|2005|crime
Gone Girl|Gillian Flynn|2012|crime
Dune|Frank Herbert|1965|science fiction
Foundation|Isaac Asimov|1951|science fiction
I, Robot|Isaac Asimov|1950|science fiction
The Caves of Steel|Isaac Asimov|1954|science fiction, crime
Do Androids Dream of Electric Sheep?|Philip K. Dick|1968|science fiction
Ubik|Philip K. Dick|1969|science fiction
The Man in the High Castle|Philip K. Dick|1962|science fiction, historical
The Left Hand of Darkness|Ursula K. Le Guin|1969|science fiction
The Dispossessed|Ursula K. Le Guin|1974|science fiction
A Wizard of Earthsea|Ursula K. Le Guin|1968|fantasy
Neuromancer|William Gibson|1984|science fiction
Snow Crash|Neal Stephenson|1992|science fiction
Hyperion|Dan Simmons|1989|science fiction
The Time Machine|H. G. Wells|1895|science fiction, classic
The War of the Worlds|H. G. Wells|1898|science fiction, classic
Nineteen Eighty-Four|George Orwell|1949|science fiction, modern
Brave New World|Aldous Huxley|1932|science fiction, modern
Fahrenheit 451|Ray Bradbury|1953|science fiction
The Martian|Andy Weir|2011|science fiction
The Hobbit|J. R. R. Tolkien|1937|fantasy
The Fellowship of the Ring|J. R. R. Tolkien|1954|fantasy
The Two Towers|J. R. R. Tolkien|1954|fantasy
The Return of the King|J. R. R. Tolkien|1955|fantasy
Guards! Guards!|Terry Pratchett|1989|fantasy, comic
Mort|Terry Pratchett|1987|fantasy, comic
Small Gods|Terry Pratchett|1992|fantasy, comic
Good Omens|Terry Pratchett, Neil Gaiman|1990|fantasy, comic
American Gods|Neil Gaiman|2001|fantasy
Stardust|Neil Gaiman|1999|fantasy, romance
A Game of Thrones|George R. R. Martin|1996|fantasy
A Clash of Kings|George R. R. Martin|1998|fantasy
The Name of the Wind|Patrick Rothfuss|2007|fantasy
Jonathan Strange & Mr Norrell|Susanna Clarke|2004|fantasy, historical
Piranesi|Susanna Clarke|2020|fantasy
The Hitchhiker's Guide to the Galaxy|Douglas Adams|1979|science fiction, comic
Dirk Gently's Holistic Detective Agency|Douglas Adams|1987|comic, crime
Three Men in a Boat|Jerome K. Jerome|1889|comic, classic
Right Ho, Jeeves|P. G. Wodehouse|1934|comic
The Code of the Woosters|P. G. Wodehouse|1938|comic
Catch-22|Joseph Heller|1961|comic, modern
The Great Gatsby|F. Scott Fitzgerald|1925|modern
Mrs Dalloway|Virginia Woolf|1925|modern
To the Lighthouse|Virginia Woolf|1927|modern
Orlando|Virginia Woolf|1928|modern, historical
The Trial|Franz Kafka|1925|modern
The Stranger|Albert Camus|1942|modern
The Plague|Albert Camus|1947|modern
One Hundred Years of Solitude|Gabriel García Márquez|1967|modern
Love in the Time of Cholera|Gabriel García Márquez|1985|modern, romance
Beloved|Toni Morrison|1987|modern, historical
Song of Solomon|Toni Morrison|1977|modern
The Remains of the Day|Kazuo Ishiguro|1989|modern, historical
Never Let Me Go|Kazuo Ishiguro|2005|modern, science fiction
Klara and the Sun|Kazuo Ishiguro|2021|modern, science fiction
Atonement|Ian McEwan|2001|modern, romance
White Teeth|Zadie Smith|2000|modern, comic
Wolf Hall|Hilary Mantel|2009|historical, modern
Bring Up the Bodies|Hilary Mantel|2012|historical, modern
The Pillars of the Earth|Ken Follett|1989|historical
The Shining|Stephen King|1977|horror
It|Stephen King|1986|horror
Misery|Stephen King|1987|horror, crime
Carrie|Stephen King|1974|horror
The Haunting of Hill House|Shirley Jackson|1959|horror
We Have Always Lived in the Castle|Shirley Jackson|1962|horror, modern
Rebecca|Daphne du Maurier|1938|romance, crime
Outlander|Diana Gabaldon|1991|romance, historical
""".strip()
READERS = """
Ada Agnes Ahmed Aiko Alba Alma Amir Anna Anton Arjun Aster Basil Bea Bilal Boris Bruno Camille Carlos Cato
Chloe Clara Cyrus Dana Daria Diego Dora Edith Edwin Elif Elsa Emil Erik Esme Esther Farid Felix Finn Fleur
Gita Greta Gus Hana Hattie Henrik Hugo Ida Idris Imani Ines Iris Ivan Jada Jamal Jonas Juno Kai Karim Kezia
Kofi Lars Leila Lena Leo Lila Luca Magnus Maya Mei Mila Milo Mira Nadia Nia Nils Noor Odette Olga Omar Oskar
Otto Paul Pia Priya Quinn Rafi Ravi Rhea Rosa Ruth Salma Samir Selma Simon Sofia Tariq Tess Theo Tova Uma
Vera Viktor Wanda Xenia Yara Yusuf Zane Zara Zoe
""".split()
SEED = 7


def books() -> pd.DataFrame:
    """Columns ``book``, ``author``, ``year``, ``genres``, one row a book."""
    rows = [line.split("|") for line in BOOKS.splitlines()]
    table = pd.DataFrame(rows, columns=["book", "author", "year", "genres"])
    return table.assign(**{name: table[name].str.replace(", ", "|") for name in ("author", "genres")})


def ratings(about: pd.DataFrame, seed: int = SEED) -> pd.DataFrame:
    """Columns ``reader``, ``book``, ``rating`` (1 to 10) and ``date``, in the order of the dates."""
    n_readers, n_books = len(READERS), len(about)
    genres, authors = (about[name].str.get_dummies("|").to_numpy(float) for name in ("genres", "author"))
    draw = _Draws(seed)
    likes = draw((n_readers, genres.shape[1]))[:, :, None] * genres.T  # (readers, genres, books)
    of_genres = likes.sum(1) / genres.sum(1)
    of_authors = draw((n_readers, authors.shape[1])) @ (authors / authors.sum(1, keepdims=True)).T
    opinion = 6 + 0.6 * draw(n_books) + 0.8 * draw((n_readers, 1)) + 2.6 * of_genres + 0.8 * of_authors
    stars = np.clip(np.floor(opinion + 0.5 * draw((n_readers, n_books)) + 0.5), 1, 10).astype(int)
    # Readers pick what they like a little more often, and some read more than others.
    eager = 40 + 10 * np.abs(draw(n_readers))
    wanted = 0.3 * opinion + 1.2 * draw((n_readers, n_books))
    rows = []
    for reader in range(n_readers):
        for place in np.argsort(-wanted[reader], kind="stable")[: int(eager[reader])]:
            rows.append((READERS[reader], about["book"][place], stars[reader, place]))
    table = pd.DataFrame(rows, columns=["reader", "book", "rating"])
    days = np.argsort(draw(len(table)), kind="stable")
    dates = pd.Timestamp("2024-01-07") + pd.to_timedelta(days // 3, "D")
    return table.assign(date=dates.strftime("%Y-%m-%d")).sort_values(["date", "reader"], kind="stable")


class _Draws:
    """Nearly normal numbers from hashes: the sums of twelve uniform ones, the same on every machine."""

    def __init__(self, seed):
        self.seed, self.calls = seed, 0

    def __call__(self, shape):
        size = int(np.prod(shape))
        stream = hashlib.shake_256(f"{self.seed} {self.calls}".encode()).digest(24 * size)
        self.calls += 1
        uniform = np.frombuffer(stream, "<u2").reshape(size, 12).astype(np.int64)
        return ((uniform.sum(1) - 6 * 2**16) / 2**16).reshape(shape)


def write(folder: Path) -> None:
    """Write both tables."""
    about = books()
    for name, table in (("club", ratings(about)), ("books", about)):
        with kept(folder / f"{name}.csv") as file:
            table.to_csv(file, index=False, lineterminator="\n")


if __name__ == "__main__":
    write(notebooks.project_root() / "data" / "club")
