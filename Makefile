# make run, make test: each sets up everything it needs. Python 3.11 or newer and PyPI are enough for `make run`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run setup test lint bench lock clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: setup ## start Edgepath with its demo: `edgepath up --demo`
	$(BIN)/edgepath up --demo

setup: $(VENV)/.ready ## build the environment from requirements.lock; leaves .venv/bin/edgepath

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Edgepath needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: setup ## every test, with real Kafka, ClickHouse, Envoy and browser
	$(BIN)/python -m pytest

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## measure; ratios against a baseline in the same run
	$(BIN)/python -m tests.bench

lock: ## write requirements.lock anew from pyproject.toml
	uv pip compile --universal --python-version 3.11 --all-extras --group dev --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --no-emit-package edgepath pyproject.toml -o requirements.lock

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
