"""The machinery that makes the book of the notebooks; the method itself is `accent_lib`.

A notebook imports ``runs`` (its run folder, and what earlier notebooks left there) and ``figures``. The rest
works around notebooks, and a change in it leaves their outputs as they are: ``runner`` executes them,
``publish`` makes pages, slides and student notebooks, ``live`` explains on the spot, and ``experiments``
makes the tables of ``data/results``.
"""
