"""The book's Markdown (MyST) as plain Markdown, for notebooks that are read in Jupyter."""

import html
import re
from collections import Counter
from dataclasses import dataclass, field

import nbformat
import yaml

from accent_book.publish.paper import paper_figures
from accent_lib.errors import AccentError

UNKNOWN = "…"
# What the sample's things are called, where a chapter that was never run has not said so.
USUAL = {"film": "film", "films": "films", "star": "star", "stars": "stars"}
FENCE = re.compile(r"(\s*)(`{3,}|:{3,}|~{3,})(?:\{([^}]+)\}[ \t]*(.*))?")
OPTION = re.compile(r":([\w-]+):\s*(.*)")
LABEL = re.compile(r"\(([\w-]+)\)=\s*")
# What stands within a line; code and formulas are found so that nothing in them is taken for a link.
INLINE = re.compile(
    r"\{(?P<role>[\w:+.-]+)\}`(?P<content>[^`]*)`"
    r"|(?P<code>(?P<ticks>`+)(?!`).*?(?P=ticks))"
    r"|(?P<formula>\$\$.*?\$\$|\$[^$\n]+\$)"
    r"|(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]*)\)",
    re.DOTALL,
)
TO_A_NOTEBOOK = re.compile(r"\[([^\]]+)\]\([^)\s]*\.ipynb\)")
# Directives that only mark a place; what stands between them is text.
MARKS = ("exercise-end", "solution-start", "solution-end")
# Those whose text is set off under a title.
BOXES = ("admonition", "figure", "image", "prf:algorithm", "prf:definition", "prf:proof", "prf:theorem")


class _Unknown(Exception):
    """Says what has no plain form; where it stands is known further out."""


def read_notebook(path) -> nbformat.NotebookNode:
    """A notebook.

    Raises
    ------
    AccentError
        If it cannot be read, or is none.
    """
    try:
        return nbformat.read(path, as_version=4)
    # Whatever a file that is cut or no notebook makes of its readers.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise AccentError(
            f"{path} cannot be read as a notebook ({told:.100}): run the notebooks again."
        ) from error


@dataclass
class Book:
    """What roles refer to.

    Attributes
    ----------
    glued : dict
        Notebook name to name to text, as its chapter displays it.
    paper : dict
        The paper's figures by name.
    cited : dict
        Key to (authors, year, link).
    labels : dict
        Label to (notebook name, text), such as ``("01_data", "Figure 2")``.
    """

    glued: dict = field(default_factory=dict)
    paper: dict = field(default_factory=dict)
    cited: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)

    @classmethod
    def of(cls, root, sources) -> "Book":
        """Read what there is in the project's folder.

        Parameters
        ----------
        root : Path
        sources : dict
            Notebook name to its cells, unexecuted.
        """
        executed = {path.stem: path for path in sorted((root / "book" / "chapters").glob("*.ipynb"))}
        # The book numbers from page to page, as its table of contents has them after the first page.
        intro = root / "book" / "intro.md"
        count = Counter(Figure=intro.read_text("utf-8").count("{figure}") if intro.exists() else 0)
        toc = root / "_toc.yml"
        pages = re.findall(r"file: \S*?(\w+)$", toc.read_text("utf-8"), re.MULTILINE) if toc.exists() else []
        labels = {}
        for name in sorted(sources, key=lambda name: pages.index(name) if name in pages else len(pages)):
            labels |= {label: (name, text) for label, text in labels_of(sources[name], count).items()}
        return cls(
            {name: glued(read_notebook(path).cells) for name, path in executed.items()},
            paper_figures(yaml.safe_load((root / "book" / "paper.yml").read_text("utf-8"))),
            citations(root / "book" / "references.bib"),
            labels,
        )

    def plain(self, text, notebook) -> str:
        """Rewrite a cell of the book, or a caption, as plain Markdown.

        Parameters
        ----------
        text : str
        notebook : str
            Name of the notebook that the cell belongs to.

        Returns
        -------
        str

        Raises
        ------
        AccentError
            If there is a directive, a role, a figure of the paper or a citation in it that is not known: in
            Jupyter it would be shown as it is written.
        """
        try:
            return re.sub(r"\n{3,}", "\n\n", self._blocks(text.splitlines(), notebook)).strip("\n")
        except _Unknown as unknown:
            begin = text.strip().partition("\n")[0]
            raise AccentError(
                f"{notebook}, the cell or caption that begins with {begin!r}: {unknown} has no form in plain "
                "Markdown; write it otherwise, or add one to accent_book/publish/plain.py."
            ) from None

    def _blocks(self, lines, notebook):
        """Go through directives and what stands between them."""
        done, prose, lines = [], [], list(lines)

        def flush():
            # All of it at once: a role may go over the end of a line.
            done.append(INLINE.sub(lambda match: self._inline(match, notebook), "\n".join(prose)))
            prose.clear()

        while lines:
            line = lines.pop(0)
            opened = FENCE.match(line)
            if LABEL.fullmatch(line):
                continue
            if not opened:
                prose.append(line)
                continue
            flush()
            indent, fence, name, argument = opened.groups()
            closing = next((i for i, text in enumerate(lines) if text.strip() == fence), len(lines))
            body, lines = lines[:closing], lines[closing + 1 :]
            if not name:
                done.append("\n".join([line, *body, indent + fence]))
            elif indent:
                raise _Unknown(f"the directive {{{name}}}, as it is indented,")
            else:
                done.append(self._directive(name, argument, body, notebook))
        flush()
        return "\n".join(done)

    def _directive(self, name, argument, body, notebook):
        options = {}
        while body and OPTION.fullmatch(body[0]):
            key, options[key] = OPTION.fullmatch(body.pop(0)).groups()
        if name in MARKS:
            return ""
        if name == "math":
            return "\n".join(["$$", *body, "$$"])
        if name not in BOXES and name != "exercise-start":
            raise _Unknown(f"the directive {{{name}}}")
        if name in ("figure", "image"):  # The argument is a file, which lies elsewhere.
            argument = ""
        numbered = self.labels.get(options.get("label"), (notebook, ""))[1]
        title = ": ".join(filter(None, [numbered, argument]))
        if name == "exercise-start":
            return f"### {title or 'Exercise'}\n"
        inside = self._blocks(body, notebook).strip("\n")
        title = title or name.rpartition(":")[2].capitalize()
        if "$$" in inside:  # A formula may not go on in a quotation's next line.
            return f"**{title}**\n\n{inside}\n"
        return "\n".join(f"> {line}".rstrip() for line in (f"**{title}**", "", *inside.splitlines()))

    def _inline(self, match, notebook):
        if match["code"] or match["formula"]:
            return match[0]
        if match["role"]:
            return self._role(match["role"], " ".join(match["content"].split()), notebook)
        text = INLINE.sub(lambda inner: self._inline(inner, notebook), match["text"])
        target, _, _ = match["target"].partition("#")
        if re.match(r"\w+:", target):
            return f"[{text}]({match['target']})"
        return f"[{text}]({target}.ipynb)" if re.fullmatch(r"\d\d_\w+", target) else text

    def _role(self, role, content, notebook):
        text, _, target = content.partition("<")
        text, target = text.strip(), target.rstrip(">").strip()
        if role == "glue:text":
            return self._glued(content, notebook)
        if role == "paper" and content in self.paper:
            return self.paper[content]
        if role in ("cite:t", "cite:p") and all(key.strip() in self.cited for key in content.split(",")):
            return self._citation(content, role == "cite:t")
        if role.startswith("py:"):
            return f"`{content.rpartition('.')[2] if content.startswith('~') else content}`"
        if role == "doc":
            return self._inline(INLINE.match(f"[{text}]({target})"), notebook) if target else text
        if role not in ("ref", "numref", "prf:ref"):
            raise _Unknown(f"{{{role}}}`{content}`")
        place, label = self.labels.get(target or text, (notebook, text))
        exercise = label.startswith("Exercise ")  # by its number it can be found in Jupyter
        said = text if target and not exercise else label
        return said if place == notebook else f"[{said}]({place}.ipynb)"

    def _glued(self, content, notebook):
        from myst_nb.core.variables import format_plain_text

        path, _, content = content.rpartition("::")
        name, _, form = content.partition(":")
        of_notebook = self.glued.get(path.rpartition("/")[2].removesuffix(".ipynb") or notebook, {})
        return format_plain_text(of_notebook[name], form) if name in of_notebook else USUAL.get(name, UNKNOWN)

    def _citation(self, keys, in_text):
        said = []
        for key in keys.split(","):
            authors, year, link = self.cited[key.strip()]
            words = f"{authors} ({year})" if in_text else f"{authors}, {year}"
            said.append(f"[{words}]({link})" if link else words)
        return ", ".join(said) if in_text else f"({'; '.join(said)})"


def to_html(text) -> str:
    r"""Plain Markdown as HTML for a page of its own, from which a link to a notebook would lead nowhere.

    Formulas are left to MathJax.

    Examples
    --------
    >>> to_html("See [Training](02_training.ipynb), $a < b$.")
    '<p>See Training, <span class="math inline">\\(a &lt; b\\)</span>.</p>\n'
    """
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content, options):
        left, right = ("\\[", "\\]") if options["display_mode"] else ("\\(", "\\)")
        return left + html.escape(content) + right

    markup = (
        MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=formula).use(amsmath_plugin)
    )
    return markup.render(TO_A_NOTEBOOK.sub(r"\1", text))


def labels_of(cells, count) -> dict[str, str]:
    """What a notebook's labels are called: figures, exercises, theorems and sections.

    Parameters
    ----------
    cells : list of NotebookNode
    count : Counter
        How many of each kind came before this notebook; its own are added.

    Returns
    -------
    dict of str to str
    """
    labels = {}

    def number(kind, label):
        count[kind] += 1
        labels[label] = f"{kind} {count[kind]}"

    for cell in cells:
        if cell.cell_type == "code":
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            if "name" in figure:
                number("Figure", figure["name"])
            continue
        for kind, label in re.findall(
            r"^[`:]{3,}\{([\w:-]+)\}[^\n]*\n:label: (\S+)", cell.source, re.MULTILINE
        ):
            number(kind.removesuffix("-start").rpartition(":")[2].capitalize(), label)
        for label, heading in re.findall(r"^\(([\w-]+)\)=\s*\n#+ (.*)", cell.source, re.MULTILINE):
            labels[label] = heading
    return labels


def glued(cells) -> dict[str, str]:
    """What executed cells glued: name to text."""
    texts = {}
    for cell in cells:
        for output in cell.get("outputs", ()):
            scrap = output.get("metadata", {}).get("scrapbook")
            if scrap:
                text = output["data"].get(f"{scrap['mime_prefix']}text/plain", UNKNOWN)
                texts[scrap["name"]] = "".join(text)
    return texts


def citations(path) -> dict[str, tuple[str, str, str]]:
    """Authors, year and address of each entry of a BibTeX file, by key."""
    from pybtex.database import parse_file

    cited = {}
    for key, entry in parse_file(str(path)).entries.items():
        names = [" ".join(p.prelast_names + p.last_names) for p in entry.persons.get("author", ())]
        names = [re.sub(r"[{}]", "", name) for name in names]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        fields = entry.fields
        link = f"https://doi.org/{fields['doi']}" if "doi" in fields else fields.get("url", "")
        cited[key] = authors, fields.get("year", ""), link
    return cited
