# Everything a fresh machine needs is made here: a virtual environment, the demo, the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed-dev

.PHONY: help demo test lint types imports unit reliability bench sketch-model constraints clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

demo: $(INSTALLED)  ## install and run the demo: tags, searches and a concept on bundled pictures
	$(BIN)/photoindex demo

test: lint types imports unit  ## everything that must hold

lint: $(INSTALLED_DEV)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)  ## types
	$(BIN)/mypy

imports: $(INSTALLED_DEV)  ## which room may import which
	$(BIN)/lint-imports

unit: $(INSTALLED_DEV)  ## the tests, the full-size models included
	$(BIN)/python -m pytest

reliability: $(INSTALLED_DEV)  ## kill, crowd and soak the real commands: about half an hour
	$(BIN)/python -m pytest --override-ini addopts=-q tests/reliability

bench: $(INSTALLED_DEV)  ## measure speed (about half an hour; ARGS="--model FOLDER vectors" chooses)
	$(BIN)/python tests/bench/run.py $(ARGS)

sketch-model: $(INSTALLED)  ## train the bundled model again (needs the Debian packages named in docs)
	$(BIN)/python -m ram_tagger.sketch.train --out ram_tagger/sketch/model
	$(BIN)/python -m ram_tagger.sketch.measure

constraints: $(INSTALLED_DEV)  ## pin what is installed now
	$(BIN)/pip freeze --exclude-editable --exclude photoindex | LC_ALL=C sort -f > constraints.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(INSTALLED): $(VENV)/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(INSTALLED_DEV): $(VENV)/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,dev]'
	touch $@ $(INSTALLED)
