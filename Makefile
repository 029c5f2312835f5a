# All from a fresh clone with Python 3.11 to 3.13 and make: `make book`, `make test`; `make` lists the rest.

PROFILE ?= sample
PYTHON ?= python3
# Where the environment is kept. `make book VENV=` installs nothing: it uses what is active (conda, a container).
# Then PYTHON must be the active one, as `python` is in conda: `make book VENV= PYTHON=python`.
VENV ?= .venv
# Where to take torch from; empty: where pip takes everything from. See "PyTorch for the CPU" in README.md.
TORCH_INDEX ?=
PYTEST_ARGS ?=
PORT ?= 8000

ifeq ($(strip $(VENV)),)
BIN :=
RUN := $(PYTHON) -m
READY :=
else
BIN := $(VENV)/bin/
RUN := $(VENV)/bin/python -m
READY := $(VENV)/installed
endif

.NOTPARALLEL:
.PHONY: help book build run student slides pdf status test lint format bench serve clean
.DEFAULT_GOAL := help

help: ## list these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1@/' | awk -F@ '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo "PROFILE is one of notebooks/profiles (now: $(PROFILE)), for instance: make book PROFILE=ml-100k"

# Rewritten only when everything is installed, so an interrupted installation is taken up again.
$(VENV)/installed: requirements.lock pyproject.toml book/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "This needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d: install one and say for instance make PYTHON=python3.12 ..." % v)'
	@echo "Installing into $(VENV) (once; again only when requirements.lock or a pyproject.toml change)"
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep '^torch==' requirements.lock)
	$(RUN) pip install --quiet --disable-pip-version-check -r requirements.lock
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --editable . --editable book
	@touch $@

book: run build ## run the notebooks of PROFILE and build the book

run: $(READY) ## run the notebooks of PROFILE into book/chapters
	$(RUN) accent_book run --profile $(PROFILE)

# --all: pages quote figures of other pages, and a warning must not vanish because its page was built before.
build: $(READY) ## build the book from the notebooks that were run
	$(BIN)jupyter-book build . --all -W --keep-going -n
	@echo "Book (profile of the last run; made from book/ and _toc.yml): $(CURDIR)/_build/html/index.html"
	@echo "Executed notebooks: $(CURDIR)/book/chapters   Their data, models and tables: $(CURDIR)/runs"
	@echo "Read it in a browser with: make serve"

slides: $(READY) ## make slides of a lecture from the notebooks that were run
	$(RUN) accent_book slides

pdf: $(READY) ## print the built book into one PDF; takes Chromium or Chrome
	$(RUN) accent_book pdf

status: $(READY) ## tell what the run of PROFILE holds
	$(RUN) accent_book status --profile $(PROFILE)

student: $(READY) ## write the chapters without the solutions, for students, into _build/student
	$(RUN) accent_book student

test: lint ## check style, library, notebooks and book
	@echo "Tests: tests/   What they need that is not there is made in a temporary folder; your runs/ stay as they are."
	$(RUN) pytest --junitxml=_build/tests.xml $(PYTEST_ARGS)

lint: $(READY) ## check style only
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: $(READY) ## put style and launch cells in order and strip notebooks of their outputs
	$(RUN) accent_book launch
	$(RUN) ruff check --fix .
	$(RUN) ruff format .
	$(BIN)nbstripout --keep-id notebooks/*.ipynb

# The others are experiments, not timings, and long; data/results/README.md says what they make.
TIMINGS = $(wildcard bench/influence.py bench/libraries.py bench/rcf.py bench/retraining.py bench/scaling.py)
bench: $(READY) ## measure speed (bench/), about ten minutes
	@for file in $(TIMINGS); do \
		echo "$$file"; $(RUN) "$$(echo $${file%.py} | tr / .)" || exit 1; done

serve: $(READY) ## show the book at http://localhost:PORT
	@test -f _build/html/index.html || { echo "There is no book yet: make book"; exit 1; }
	$(RUN) http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean: ## remove the built book, student notebooks and caches; runs/ and .venv stay
	rm -rf _build book/chapters book/_static/explorer.html .pytest_cache .ruff_cache .hypothesis build accent_recommender.egg-info book/build book/accent_book.egg-info
