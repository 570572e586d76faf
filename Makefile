# `make demo` runs the main job, `make test` the tests; both make an environment in .venv first.
# Choose another interpreter with `make test PYTHON=/path/to/python`.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for each in python3.12 python3.13 python3.11 python3; do \
	$$each -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$each && break; done)

# Workers share the cores already: several threads of linear algebra in each are many times slower than one.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

# Bytecode is kept, also where the environment says not to: tests start hundreds of processes, each of which would compile
# the whole package from its text.
export PYTHONDONTWRITEBYTECODE :=

# A worker that dies ends the run with the test in which it died: started anew, pytest-xdist may end in an error of its own.
WORKERS := --max-worker-restart=0

# Tests that failed (status 1, and nothing else) are run once more, one after another, when all others have ended: decision 0009.
FAILED_AGAIN = test $$? -eq 1 || exit 2; echo "once more, by themselves: the tests that failed"; \
	$(ONE_THREAD) $(BIN)/python -m pytest --last-failed --last-failed-no-failures=none

# What is not about the tests themselves goes on at the same time: the linters, and the compilation of kernels.
MAKEFLAGS += --jobs=2

.PHONY: demo test test-slow coverage lint compiled collected docs bench clean mutants

demo: $(VENV)/.installed
	$(BIN)/inmateria run digits --on nanowire --over mqtt

test: $(VENV)/.installed-test lint compiled collected
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" -n 3 $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST) \
		|| { $(FAILED_AGAIN) -m "not slow" $(PYTEST); }

test-slow: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow -n 2 $(WORKERS) $(PYTEST) || { $(FAILED_AGAIN) -m slow $(PYTEST); }

# The tests of `make test` once more, with every line counted; fails below the floor in pyproject.toml. Compiled kernels do
# not count their lines, and processes that tests start do.
coverage: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" -n 2 $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(PYTEST)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# Every kernel, once: workers that need the same one at the same time would each compile it.
compiled: $(VENV)/.installed-test
	$(BIN)/inmateria compile

# Every module of tests, once: pytest rewrites its assertions, and workers that begin at the same time would each do so.
# What is wrong with a module is said by the tests themselves.
collected: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -m "not slow" --collect-only --quiet $(PYTEST) >/dev/null || true

# The documentation as a site in build/site; a warning is an error, and nothing in it is loaded from elsewhere.
docs: $(VENV)/.installed-test
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/site
	$(BIN)/python docs/loads_nothing.py build/site

# Faults put into limits, lease, dose, journal and numbers, one at a time: a test must notice each. About half an hour.
mutants: $(VENV)/.installed-test
	$(BIN)/python tests/mutants.py

# Every benchmark in turn; each prints a table (and one line of JSON with --json).
bench: $(VENV)/.installed-bench
	for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each || [ $$? = 77 ] || exit 1; done

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,bench]"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov build docs/gallery docs/reference/api
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later with venv was found; install one (on Debian: python3-venv) or give PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing inmateria and what it needs into $(VENV) (about a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	@echo "Installing inmateria and what its tests need into $(VENV) (about a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,docs]"
	@# Whose NARMA ours is held to; without what it draws with, which is built for minutes and not used here.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "openprc>=0.1.1"
	@touch $@ $(VENV)/.installed
