# Two commands: `make demo` and `make test`. Both set up what they need, once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow test-all docs browser slurm benchmark clean help

help:
	@echo "make demo       set up, then the main job: SP against µP on real text (minutes)"
	@echo "make test       set up, then lint, types, import contracts, tests, examples, wheel"
	@echo "make test-slow  tests that train for long, kill processes, drive a browser, try 10,000 inputs"
	@echo "make test-all   both"
	@echo "make docs       set up, then the documentation site: docs/_build/html/index.html"
	@echo "make browser    install Chromium from Debian's packages, for the browser test"
	@echo "make slurm      install SLURM from Debian's packages, for the tests of its executor"
	@echo "make benchmark  measure trainer and sweep"

# One environment, remade when the pins change. torch comes as pinned, never a second one.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv: a few minutes, once. Most of it is the download of PyTorch."
	rm -rf .venv
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/mutransfer demo

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tools/generated_docs.py --check
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow"
	sh tests/wheel.sh $(BIN)/python

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m slow

test-all: test test-slow

# Pages of rules and schemas are generated first; a warning of Sphinx is an error.
docs: $(READY)
	$(BIN)/python tools/generated_docs.py
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "The site is docs/_build/html/index.html"

browser:
	apt-get update -qq && apt-get install -y -qq chromium

# No service starts by itself, and nothing in /etc changes: the tests start what they need.
slurm:
	apt-get update -qq && apt-get install -y -qq --no-install-recommends \
		slurmctld slurmd slurm-client munge

benchmark: $(READY)
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/sweep.py

clean:
	rm -rf .venv dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
