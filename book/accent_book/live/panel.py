"""The explorer for a live notebook: a panel that explains any user of a trained model on the spot.

It needs ipywidgets (the extra ``live`` of this package), which nothing else here does.
"""

import io
from html import escape

from accent_book.figures.legend import BLUE, GREEN, METHOD_NAMES, SKY, VERMILION
from accent_book.live.own_ratings import explain_ratings
from accent_lib.errors import AccentError
from accent_lib.explanations import METHODS, VARIANTS, Closeup, closeup, methods_for
from accent_lib.models import NCF


def panel(model, data, user: int = 0, k: int = 10, method: str = "accent", unit: str = "") -> "Panel":
    """A panel that explains any user of a trained model, shown where it stands at the end of a cell.

    Parameters
    ----------
    model : Recommender
        Trained on `data`.
    data : Interactions
    user, k, method
        What is shown first.
    unit : str
        Of the scores; by default "stars" for NCF, and none for others.

    Raises
    ------
    AccentError
        If ipywidgets is missing.

    Notes
    -----
    For an NCF the panel also takes ratings of one's own, a file to be uploaded or a path, in the form of
    :func:`accent_book.live.own_ratings.read_ratings`; whoever brought them is then the last of the users.
    """
    return Panel(model, data, user, k, method, unit)


class Panel:
    """What :func:`panel` makes.

    Attributes
    ----------
    user, k, method, variant, upload, path : Widget
        The controls; their ``value`` is what is chosen.
    shown : Widget
        Sentence, steps and history as HTML.
    closeup : Closeup
        What is shown.
    """

    def __init__(self, model, data, user, k, method, unit):
        try:
            import ipywidgets
        except ImportError:
            raise AccentError("The panel needs ipywidgets: pip install ipywidgets.") from None
        self._trained = self._own = model, data
        unit = unit or ("stars" if isinstance(model, NCF) else "")
        self._unit = f" ({unit})" if unit else ""
        self._quiet, self.closeup = False, None
        wide = {"description_width": "initial"}
        methods = [(METHOD_NAMES[name], name) for name in methods_for(model, METHODS | VARIANTS)]
        variants = ["shared", "paper"] if getattr(model, "reads_history", False) else ["paper", "objective"]
        self.user = ipywidgets.BoundedIntText(user, min=0, max=model.n_users - 1, description="User")
        self.k = ipywidgets.IntSlider(
            k, min=2, max=50, description="Films in the slate (k)", style=wide, continuous_update=False
        )
        self.method = ipywidgets.Dropdown(options=methods, value=method, description="Method")
        self.variant = ipywidgets.Dropdown(options=variants, description="Influence")
        self.upload = ipywidgets.FileUpload(accept=".csv", description="My ratings (CSV)")
        self.path = ipywidgets.Text(
            description="or its path", placeholder="my_ratings.csv", style=wide, continuous_update=False
        )
        self.shown = ipywidgets.HTML()
        rows = [[self.user, self.k], [self.method, self.variant]]
        if isinstance(model, NCF):
            rows.append([self.upload, self.path])
        self._box = ipywidgets.VBox([*map(ipywidgets.HBox, rows), self.shown])
        for control in (self.user, self.k, self.method, self.variant):
            control.observe(lambda change: self._show(), "value")
        self.upload.observe(lambda change: self._bring_upload(), "value")
        self.path.observe(lambda change: self.bring(self.path.value), "value")
        self._show()

    def _repr_mimebundle_(self, **options):
        return self._box._repr_mimebundle_(**options)

    def bring(self, path) -> None:
        """Add somebody's own ratings as the last user, and show her; those brought before are forgotten."""
        if path == "":
            return
        try:
            own = explain_ratings(path, *self._trained, **self._chosen())
        except AccentError as error:
            self._complain(error)
            return
        self._own, self._quiet = (own.model, own.data), True
        self.user.max = own.data.n_users - 1
        self.user.value = own.closeup.user
        self._quiet = False
        self._draw(own.closeup, own.data)

    def _bring_upload(self):
        if self.upload.value:
            self.bring(io.BytesIO(bytes(self.upload.value[0]["content"])))

    def _chosen(self):
        return {"k": self.k.value, "method": self.method.value, "variant": self.variant.value}

    def _show(self):
        if self._quiet:
            return
        try:
            # To the others, whoever brought ratings never was there.
            model, data = self._trained if self.user.value < self._trained[1].n_users else self._own
            self._draw(closeup(model, self.user.value, **self._chosen()), data)
        except AccentError as error:
            self._complain(error)

    def _complain(self, error):
        self.closeup = None
        self.shown.value = f'<p role="alert"><strong>{escape(str(error))}</strong></p>'

    def _draw(self, hers, data):
        self.closeup = hers
        sentence = escape(hers.sentence(data.titles))
        self.shown.value = (
            f'<p role="status" style="font-size: 1.15em; max-width: 48em">{sentence}</p>'
            + _steps(hers, data.titles, self._unit)
            + _history(hers, data, self._unit)
        )


def _steps(hers: Closeup, titles, unit):
    """The gap after each removal, as a table with bars."""
    low, high = min(0.0, *hers.gaps), max(0.0, *hers.gaps)
    removed = hers.explanation.removed if hers.explanation else ()
    names = ["nothing removed", *(f"without {titles[hers.history[action]]}" for action in removed)]
    rows, before = [], hers.gaps[0]
    for name, gap in zip(names, hers.gaps, strict=True):
        closed = [] if before == gap else [(before, gap, SKY if gap < before else VERMILION)]
        bars = [*closed, (0.0, gap, BLUE if gap >= 0 else GREEN)]
        rows.append((name, [f"{gap:+.3f}"], _bars(bars, low, high)))
        before = gap
    rec, rival = titles[hers.items[0]], titles[hers.items[hers.rival]]
    return _table(f"Gap between {rec} and {rival}", ["actions removed", f"gap left{unit}"], rows)


def _history(hers: Closeup, data, unit):
    """Every action with its influence on the gap, strongest first, as a table with bars."""
    on_gap, low, high = hers.on_gap, min(0.0, *hers.on_gap), max(0.0, *hers.on_gap)
    removed = set(hers.explanation.removed) if hers.explanation else set()
    stars = dict(zip(*(data.train[data.rows(hers.user)][name] for name in ("item", "rating")), strict=True))
    rows = []
    for action in sorted(range(len(on_gap)), key=lambda action: -on_gap[action]):
        item = int(hers.history[action])
        name = data.titles[item] + (" (removed)" if action in removed else "")
        bar = _bars([(0.0, on_gap[action], BLUE if on_gap[action] >= 0 else VERMILION)], low, high)
        rows.append((name, [f"{stars[item]:g}", f"{on_gap[action]:+.3f}"], bar))
    caption = "The history, and what each removal would take from this gap"
    return _table(caption, ["action", "stars", f"on the gap{unit}"], rows)


def _bars(pieces, low, high):
    at = lambda value: 100 * (value - low) / ((high - low) or 1)  # noqa: E731
    drawn = "".join(
        f'<span style="position: absolute; top: 0; bottom: 0; background: {colour}; '
        f'left: {at(min(ends)):.2f}%; width: {at(max(ends)) - at(min(ends)):.2f}%"></span>'
        for *ends, colour in pieces
    )
    style = "display: block; position: relative; height: 0.6em; min-width: 16em"
    return f'<span aria-hidden="true" style="{style}">{drawn}</span>'


def _table(caption, heads, rows):
    cell = 'style="padding: 0.1em 0.8em 0.1em 0; text-align: {}; vertical-align: top"'
    left, right = cell.format("left"), cell.format("right")
    head = "".join(f'<th scope="col" {right if i else left}>{escape(h)}</th>' for i, h in enumerate(heads))
    body = "".join(
        f'<tr><th scope="row" {left}><span style="font-weight: normal">{escape(name)}</span>{bar}</th>'
        + "".join(f"<td {right}>{text}</td>" for text in texts)
        + "</tr>"
        for name, texts, bar in rows
    )
    return (
        '<div style="max-height: 30em; overflow: auto; margin-bottom: 1em" tabindex="0"><table>'
        f"<caption {left}>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
