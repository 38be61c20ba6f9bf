# What a stranger would guess: `make run`, `make test`; `make help` lists the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run help test test-all setup lint format bench results screenshots clean

run: $(VENV)/.installed  ## Set everything up, do the main job on the sample suite, and serve the app
	$(BIN)/ftft demo
	$(BIN)/ftft serve

help:  ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1	/p' $(MAKEFILE_LIST) | expand -t 20

# One more than there are processors, up to four: a quarter of a test's time is waiting for a browser or a training.
TESTERS = $(shell $(BIN)/python -c 'import os; print(min(os.cpu_count() + 1, 4))')

PYTEST = $(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev  ## Set everything up, and run the tests
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.installed-dev  ## The same, and those that take minutes each: the README's tour, kills, long stories
	$(PYTEST)

setup: $(VENV)/.installed-dev  ## Make the virtual environment with everything

lint: $(VENV)/.installed-dev  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The others train for long, or need a workspace with runs: each says at its top what it is given.
BENCHMARKS := benchmarks/counting.py benchmarks/interval_coverage.py benchmarks/scores.py benchmarks/training.py

bench: $(VENV)/.installed-dev  ## Measure speed; every benchmark prints JSON
	@for benchmark in $(BENCHMARKS); do echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; done

results: $(VENV)/.installed-dev  ## Make the tables and figures of docs/results.md again from docs/results; nothing is trained
	$(BIN)/python benchmarks/results.py

screenshots: $(VENV)/.installed-dev  ## Take a picture of every page, after `make run`; the best go to docs/images
	$(BIN)/python docs/screenshots.py

clean:  ## Remove the virtual environment and caches; the workspace stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "FTFT needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what FTFT needs into $(VENV) (a few minutes, once)"
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PIP) -r requirements-dev.txt
	@touch $@
