# The commands of the project. Each sets up what it needs, once: .venv is made again only when pyproject.toml changes.
#
#   make quickstart   from a fresh machine to a tuned, proven model: runs/quickstart/report.html
#   make test         lint, types, tests (quick)          make test-full   the longer tests too
#   make bench        the benchmarks, both sides          make lint        ruff alone, with the fixes that it knows

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS_STAMP := $(PEERS)/.installed

.PHONY: quickstart setup test test-full lint bench clean
.DEFAULT_GOAL := quickstart

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off -e ".[dev]"
	# Only for the chat templates of real models that it carries; the tests read them, nothing imports it.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off --no-deps "trl>=1.0,<2"
	touch $@

setup: $(STAMP)

quickstart: $(STAMP)
	$(BIN)/tunesmith quickstart

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not full"

test-full: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(PEERS_STAMP): Makefile
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar off \
		"torch>=2.9,<2.14" "transformers>=5.0,<6" "trl>=1.0,<2" "peft>=0.15" "datatrove>=0.4" "lm_eval>=0.4.9" orjson spacy nltk playwright
	touch $@

# Each file runs both sides, the peers in their own environment, and ends with one line of JSON.
bench: $(STAMP) $(PEERS_STAMP)
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf runs build .pytest_cache .mypy_cache .ruff_cache
