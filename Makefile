# `make book`, `make test`; `make` alone lists the rest. What the jobs do stands in make.py, which works without make, too.
# Variables go there through the environment: `make book PROFILE=ml-100k`.

# What the environment is made with. `make book VENV= PYTHON=python` makes none and uses what is active (conda, a container).
PYTHON ?= python3

JOBS = help book build run slides pdf release status student test lint format bench serve clean
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: $(JOBS)

$(JOBS):
	@$(PYTHON) make.py $@
