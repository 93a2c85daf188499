# Sets up .venv by itself, from PyPI, with the first of Python 3.11 to 3.14 that is there (the detector
# `tabular` needs 3.11 or 3.12). `make PYTHON=/path/to/python3.12 ...` names another.
.DEFAULT_GOAL := help
.PHONY: help demo test test-servers test-slow test-faults check reference docs bench-demo bench-serving bench-gate bench-rollout bench-validation bench-triage bench-drift bench-backtest bench-parity bench-version-one bench-loop bench-twenty bench-thousand

VENV  := .venv
STAMP := $(VENV)/.installed
BIN   := $(VENV)/bin

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Heal a model on a real stream, on the real stack, and write a report
	$(BIN)/perennial demo

# Two tests at a time take both cores: threads of OpenMP beside them would only spin and wait.
# Whoever is done takes from the end of what the other has left, so that files stay together.
TWO := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test: $(STAMP) ## Run the tests of the logic (TESTS=tests/drift: some of them)
	$(TWO) -m "not slow and not servers" $(TESTS)

test-servers: $(STAMP) ## Run the tests of flows, worker and servers (TESTS=tests/flows: some of them)
	$(TWO) -m "servers and not slow" $(TESTS)

test-slow: $(STAMP) ## Run the tests that start the whole stack
	$(BIN)/pytest -m slow

test-faults: $(STAMP) ## Kill and starve the stack in ROUNDS=30 seeded rounds (SEED=...)
	$(BIN)/python -m tests.faults

bench-demo: $(STAMP) ## Measure the loop: the figures of the demo
	$(BIN)/python -m benchmarks.bench_demo

bench-serving: $(STAMP) ## Measure the server beside MLServer, MLflow and BentoML (needs wrk)
	$(BIN)/python -m benchmarks.serving --out .bench/serving

bench-gate: $(STAMP) ## Measure the gate: leaks found on real streams, false alarms, slices
	$(BIN)/python -m benchmarks.bench_gate

bench-rollout: $(STAMP) ## Measure the rollout: its test by simulation, its verdicts on the real stack
	$(BIN)/python -m benchmarks.rollout

bench-validation: $(STAMP) ## Measure the validation beside Great Expectations and pandera
	$(BIN)/python -m benchmarks.bench_validation

bench-triage: $(STAMP) ## Measure what is held of broken windows, and of sound ones
	$(BIN)/python -m benchmarks.bench_triage

bench-drift: $(STAMP) ## Measure the detectors beside alibi-detect and Evidently: false alarms, delay, cost
	$(BIN)/python -m benchmarks.bench_drift

bench-backtest: $(STAMP) ## Measure the policy on the past of real streams, and on made ones (ARGS="--only bike")
	$(BIN)/python -m benchmarks.bench_backtest $(ARGS)

bench-parity: $(STAMP) ## Measure whether a backtest decides as production does, window by window
	$(BIN)/python -m benchmarks.bench_parity

bench-version-one: $(STAMP) ## Measure whether version 1 is as good as its rows allow
	$(BIN)/python -m benchmarks.bench_version_one

bench-loop: $(STAMP) ## Measure from a run's creation to its first line, and what a heal waits for
	$(BIN)/python -m benchmarks.bench_loop

bench-twenty: $(STAMP) ## Measure twenty pipelines on one-minute schedules for MINUTES=10
	$(BIN)/python -m benchmarks.bench_twenty

bench-thousand: $(STAMP) ## Measure a worker's memory over RUNS=1000 runs
	$(BIN)/python -m benchmarks.bench_thousand

reference: $(STAMP) ## Write docs/reference.md from the code
	$(BIN)/python -m tests.reference

docs: $(VENV)/.docs ## Build the pages of docs/ into .docs/, with every link checked
	$(BIN)/sphinx-build -W --keep-going -q -c docs . .docs
	@echo "built: .docs/docs/index.html"

check: $(STAMP) ## Format, lint, types, direction of the imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# A .venv that fits stays as it is, with what is in it.
$(STAMP): pyproject.toml constraints.txt
	@found=; able=; fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; \
	if ! $(BIN)/python -c "$$fits" 2>/dev/null; then \
		for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3); do \
			$$python -c "$$fits" 2>/dev/null || continue; \
			found=$$python; \
			if $$python -c 'import ensurepip, venv' 2>/dev/null; then able=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Perennial needs Python 3.11, 3.12, 3.13 or 3.14, and finds none of them as $(or $(PYTHON),python3.11 to python3.14 or python3): install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
			exit 1; \
		fi; \
		if [ -z "$$able" ]; then \
			echo "$$found cannot make virtual environments: it lacks venv or ensurepip (on Debian: apt install $$($$found -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))" >&2; \
			exit 1; \
		fi; \
		$$able -m venv --clear $(VENV); \
	fi
	@echo "Installing into $(VENV), $$($(BIN)/python -V): on first use some 3 GB are downloaded, 2.5 GB of them torch and its CUDA libraries."
	@echo "A torch that $(VENV) holds already stays: to do without CUDA, put PyTorch's CPU build (0.2 GB) there beforehand."
	$(BIN)/python -m pip install -e '.[dev,examples]' -c constraints.txt
	@touch $@

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install -q -e '.[docs]' -c constraints.txt
	@touch $@
