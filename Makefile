# The commands of the project. Each sets up what it needs, once: an environment is made again only when the versions change.
#
#   make quickstart   from a fresh machine to a tuned, proven model: runs/quickstart/report.html
#   make test         lint, types, tests (quick)          make test-full    the longer tests too
#   make check        lint, types and the tests that a change needs, in a minute
#   make bench        the benchmarks, both sides          make lint         ruff alone, with the fixes that it knows
#   make docs         the documentation site, strict      make release      build the wheel and try it alone
#   make test-oldest  the tests with the oldest versions of other packages that we allow
#   make test-newest  the tests with the newest ones      make pins         the same, then take these as the exact versions

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
OLDEST := .venv-oldest
NEWEST := .venv-newest
DOCS := .venv-docs
VERSIONS := pyproject.toml src/tunesmith/core/constraints.txt
INSTALL := -m pip install --disable-pip-version-check --quiet --progress-bar off
PINNED := $(INSTALL) -c src/tunesmith/core/constraints.txt
QUICK := -m pytest -m "not full" -n 2 --dist worksteal
# Only for the chat templates of real models that it carries; the tests read them, nothing imports it.
TEMPLATES := --no-deps trl

.PHONY: quickstart setup check test test-full test-oldest test-newest pins lint bench docs release clean
.DEFAULT_GOAL := quickstart

$(VENV)/.installed: $(VERSIONS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PINNED) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python $(PINNED) -e ".[dev]"
	$(BIN)/python $(PINNED) $(TEMPLATES)
	touch $@

setup: $(VENV)/.installed-dev

quickstart: $(VENV)/.installed
	$(BIN)/tunesmith quickstart

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python $(QUICK)

# What has changed since the last commit (or BASE=main): its own tests, and those of the house.
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/changed.py $(BASE) | xargs $(BIN)/python -m pytest -m "not full"

test-full: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(PYTHON) tools/pins.py oldest > $(OLDEST)/requirements.txt
	$(OLDEST)/bin/python $(INSTALL) -r $(OLDEST)/requirements.txt
	$(OLDEST)/bin/python $(INSTALL) --no-deps -e .
	$(OLDEST)/bin/python $(PINNED) $(TEMPLATES)
	$(OLDEST)/bin/python $(QUICK)

test-newest:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(PYTHON) tools/pins.py newest > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python $(INSTALL) -r $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python $(INSTALL) --no-deps -e .
	$(NEWEST)/bin/python $(INSTALL) $(TEMPLATES)
	$(NEWEST)/bin/python $(QUICK)

# Run on a supported Python with the processor build of torch, and commit what it changed.
pins: test-newest
	$(PYTHON) tools/pins.py write $(NEWEST)/bin/python

$(PEERS)/.installed: Makefile $(VERSIONS)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PINNED) torch transformers trl peft "datatrove>=0.4" lm_eval orjson spacy nltk playwright
	touch $@

# Each file runs both sides, the peers in their own environment, and ends with one line of JSON.
bench: setup $(PEERS)/.installed
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

$(DOCS)/.installed: Makefile
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(INSTALL) "mkdocs>=1.6,<2" "mkdocs-material>=9.8,<10"
	touch $@

docs: setup $(DOCS)/.installed
	$(BIN)/python tools/reference.py --check
	$(DOCS)/bin/mkdocs build --strict

release:
	$(PYTHON) tools/release.py

clean:
	rm -rf runs build site dist .pytest_cache .mypy_cache .ruff_cache
