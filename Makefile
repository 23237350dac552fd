# make run, make test: each sets up everything it needs. Python 3.11 or newer and PyPI are enough for `make run`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run setup test test-unit test-real lint format bench redaction lock clean help faults faults-alerts

run: setup ## start Edgepath with its demo: edgepath up --demo
	$(BIN)/edgepath up --demo

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## build the environment from requirements.lock; leaves .venv/bin/edgepath

# May be interrupted and run again: .ready is written last. uv takes a fifth of pip's time; where it cannot reach what pip
# can (it does not read pip.conf), pip does it.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Edgepath needs Python 3.11 or newer; this is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "[1/5] a Python environment in $(VENV)"
	@test -x $(BIN)/python || rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { echo "Cannot make it; Debian keeps venv apart: apt-get install python3-venv" >&2; exit 1; }
	@echo "[2/5] uv, which installs the rest"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@$(PIP) install --quiet --retries 2 --require-hashes -r $(VENV)/uv.lock || { \
		echo "Cannot fetch packages: is PyPI (or your mirror, see pip's configuration) reachable? Then run make again." >&2; exit 1; }
	@echo "[3/5] what requirements.lock names: about 400 MB to download the first time, 1.2 GB on disk"
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes -r requirements.lock || { \
		echo "uv could not; trying pip, which takes some minutes" >&2; \
		$(PIP) install --quiet --require-hashes -r requirements.lock; } || { \
		echo "Cannot install; what was fetched is kept. Run make again." >&2; exit 1; }
	@echo "[4/5] edgepath itself"
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@echo "[5/5] the engine's compiled code, once for a version: half a minute"
	@$(BIN)/python -m telemetry.pipeline.warm
	@touch $@
	@echo "ready: $(BIN)/edgepath"

# The parts are in a session of their own, so that Ctrl-C here ends whatever they have started, compilers too.
test: setup ## every test, with a real Kafka, ClickHouse, Envoy and browser; these are fetched while the unit tests run
	@mkdir -p build
	@setsid nice $(BIN)/python -m tests.real.parts > build/parts.log 2>&1 & parts=$$!; \
	trap 'kill -- -$$parts 2> /dev/null; :' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	$(MAKE) test-unit && $(MAKE) test-real || exit; \
	wait $$parts || { echo "not every real part could be had:" >&2; cat build/parts.log >&2; exit 1; }

test-unit: setup ## the tests that need nothing but this process, in parallel
	$(BIN)/python -m pytest -m "not real" -n auto --maxprocesses 4

test-real: setup ## the tests with real parts, two at a time: they wait more than they work
	$(BIN)/python -m pytest tests/real tests/faults -m real -n 2 --dist loadfile --no-loadscope-reorder

faults: setup ## break consumers, Kafka, ClickHouse and the network for an hour; SEED=n ONLY=name repeats a case
	$(BIN)/python -m tests.faults

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

faults-alerts: setup ## 100 incidents with faults in the alerting: none missed, one page each; COUNT=n for fewer
	$(BIN)/python -m tests.faults_alerts $(COUNT)

bench: setup ## measure; ratios against a baseline in the same run
	$(BIN)/python -m tests.bench

redaction: setup ## every disguised card number through SDK and receiver: how many pass, how many innocent values change
	$(BIN)/python -m tests.redaction

lock: setup ## write requirements.lock anew from pyproject.toml; UPGRADE=1 takes newer releases
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --group dev --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --no-emit-package edgepath $(if $(UPGRADE),--upgrade) pyproject.toml -o requirements.lock

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
