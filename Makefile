# `make` alone says what there is. Needs Python 3.11 or later and GNU make; the first target sets the rest up in .venv.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SILENT:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
RUN := .venv/bin/python
READY := .venv/.ready
PIP := $(RUN) -m pip --quiet --disable-pip-version-check --no-input
PYTEST := $(RUN) -m pytest $(PYTEST_ARGS)
KAFKA := $(RUN) deploy/kafka/broker.py
QUICK := not kafka and not simulation

.PHONY: help setup test test-fast lint format demo demo-kafka kafka-up kafka-down bench bench-peers scale simulate torture requirements schemas reference lock clean

help: ## Say what there is.
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## Set up .venv from requirements.lock (every other target does it when needed; PYTHON=python3.13 chooses).

test: lint ## Run everything: linters, all tests (a real Kafka is started), the list of requirements.
	deploy/setup.sh
	failed=0; $(PYTEST) -m "$(QUICK)" -n 2 || failed=1; $(PYTEST) -m "not ($(QUICK))" || failed=1; exit $$failed
	report=$$($(RUN) -m tests.support.requirements) && echo "$$report" | tail -n 1

test-fast: $(READY) ## Run the tests that need no Kafka and no simulations, in a few minutes.
	$(PYTEST) -m "$(QUICK)" -n 2

lint: $(READY) ## Check style, format and types.
	$(RUN) -m ruff check --quiet .
	$(RUN) -m ruff format --check --quiet . || { echo "Some files are not formatted: make format" >&2; exit 1; }
	$(RUN) -m mypy --no-error-summary

format: $(READY) ## Format the code, and mend what can be mended.
	$(RUN) -m ruff check --quiet --fix-only .
	$(RUN) -m ruff format --quiet .

demo: $(READY) ## Run the order desk on the embedded log; its worker is killed once.
	$(RUN) -m examples.orders.demo

demo-kafka: $(READY) ## Run the order desk on a real Kafka; two workers, each killed once.
	deploy/setup.sh
	$(RUN) -m examples.orders.demo --backend kafka

kafka-up: $(READY) ## Start a local Kafka on 127.0.0.1:19092 (WEFT_KAFKA_PORT changes the port).
	deploy/setup.sh
	$(KAFKA) up

kafka-down: $(READY) ## Stop that Kafka and delete its data.
	$(KAFKA) down

bench: $(READY) ## Run all benchmarks and write their table (or BENCH_ARGS="--backend kafka --only W1,W2 --scale 0.1").
	deploy/setup.sh
	$(RUN) benchmarks/run.py $(or $(BENCH_ARGS),--write-table)
	$(if $(BENCH_ARGS),,$(MAKE) scale)

bench-peers: $(READY) ## Run Weft and its peers side by side; installs them in .weft-peers (PEERS_ARGS="--only dbos --scale 0.1").
	deploy/setup.sh
	$(RUN) benchmarks/peers/run.py $(PEERS_ARGS)

scale: $(READY) ## Simulate 3, 30 and 300 brokers from what was measured, and write the tables of docs/scale.md (two minutes).
	$(RUN) -m benchmarks.scale --write > /dev/null

simulate: $(READY) ## Run simulated systems with faults (SEED=n repeats one, RUNS=n, MUTANT=name breaks a rule).
	$(RUN) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(if $(MUTANT),--mutant $(MUTANT)) \
	  $(if $(WORKLOADS),--workloads $(WORKLOADS)) $(if $(filter undefined,$(origin ARMED)),,--armed "$(ARMED)")

torture: $(READY) ## Kill, freeze and restart brokers and workers under load, then check everything (MINUTES=10 SEED=n).
	deploy/setup.sh
	$(RUN) -m tests.torture --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

requirements: $(READY) ## Show which tests show which requirement.
	$(RUN) -m tests.support.requirements

schemas: $(READY) ## Write docs/schemas/ anew from the records.
	$(RUN) -m tests.support.schemas

reference: $(READY) ## Write docs/reference/ and the parts of docs/comparison.md that are made, anew from the code.
	$(RUN) -m tests.support.reference
	$(RUN) -m tests.support.comparison

lock: $(READY) ## Resolve requirements.lock anew from pyproject.toml (needs uv).
	PATH="$(CURDIR)/.venv/bin:$$PATH"; command -v uv >/dev/null || { echo "lock: uv is needed: install it first" >&2; exit 1; }; \
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url $(LOCK_ARGS) \
	  pyproject.toml --group dev -o requirements.lock

clean: ## Remove what the other targets made: .venv, caches, the local Kafka, the peers.
	if [ -d .weft-kafka ]; then $(PYTHON) deploy/kafka/broker.py down 2>/dev/null || true; fi
	rm -rf .venv .weft-kafka .weft-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Done once, and again when what is installed has changed. Dependencies come with their hashes, so pip checks them.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing, or older than Python 3.11. Name one that is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make environments: ensurepip is missing (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	echo "Setting up .venv ..." >&2
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@
