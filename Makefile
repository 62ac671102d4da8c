# Every target does its own set-up: a machine with Python 3.10 or newer needs nothing else.
#   make demo    a scripted agent reads the Python standard library through a 32k window (about a minute)
#   make test    all tests
#   make test-adapters-heavy  the tests of adapters whose framework is too large for `make test` (365 MB)
#   make stress  threads and processes at one store for STRESS_S seconds each, and whether what they saw has an order
#   make busy    the tests beside BUSY processes that do nothing but work
#   make slow    the tests where every clock that Python reads runs at half speed
#   make lint    ruff, its formatter and mypy, as CI runs them
#   make perf    the measurements behind the figures in docs
#   make docs    the API reference, from the docstrings
# PYTHON=/path/to/python chooses the interpreter that makes .venv; WORKERS is the number of test processes.

VENV    := .venv
BIN     := $(VENV)/bin
WORKERS ?= 2
STRESS_S ?= 20
BUSY ?= 4
# The stamps follow pyproject.toml: set-up runs again only when the dependencies may have changed.
BASE    := $(VENV)/.stamp-base
DEV     := $(VENV)/.stamp-dev
PERF    := $(VENV)/.stamp-perf
HEAVY   := $(VENV)/.stamp-heavy
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

.PHONY: demo test test-adapters-heavy stress busy slow lint perf docs clean
.DEFAULT_GOAL := test

demo: $(BASE)
	$(BIN)/ctxmem demo

test: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) -q

test-adapters-heavy: $(HEAVY)
	$(BIN)/python -m pytest -q tests/adapters/test_claude_agent.py

stress: $(DEV)
	CTXMEM_STRESS_S=$(STRESS_S) $(BIN)/python -m pytest -q -s tests/stress

busy: $(DEV)
	@set -e; others=; trap 'kill $$others' EXIT; \
	for n in $$(seq $(BUSY)); do $(BIN)/python -c 'while True: pass' & others="$$others $$!"; done; \
	$(BIN)/python -m pytest -n $(WORKERS) -q

slow: $(DEV)
	PYTHONPATH=tests/slowclock $(BIN)/python -m pytest -n $(WORKERS) -q

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

perf: $(PERF)
	@set -e; for script in perf/bench_*.py; do \
	  test -e "$$script" || { echo "There is nothing in perf/ to run yet."; exit 1; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

docs: $(BASE)
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(BIN)/python:
	@set -e; for python in "$${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "No Python 3.10 or newer with venv was found: install one (Debian: apt install python3 python3-venv) or set PYTHON=." >&2; exit 1

$(BASE): pyproject.toml | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(BASE)

$(HEAVY): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[claude-agent,dev]'
	@touch $@ $(DEV) $(BASE)

$(PERF): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[dev,perf]'
	@touch $@ $(DEV) $(BASE)
