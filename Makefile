# migratable: two commands do everything on a fresh Debian machine.
#
#   make demo    install into .venv, run `migratable check` on the bundled example
#   make test    install, fetch real QEMU releases, run every check and test
#
#   make quick   the checks and tests that take less than two minutes
#   make mutants changes the engine in one place at a time and sees whether a test notices
#   make lint    ruff, mypy --strict, import contracts
#   make docs    build the web pages, with all their links checked
#   make bench   how fast it is, each beside what it is compared with
#   make dist    the wheel and the one-file program migratable.pyz, in dist/
#   make lab     fetch the QEMU releases that are missing
#   make lock    renew requirements/ci.lock
#   make ppc64le see that all that the program needs installs on a pseries host
#   make clean   remove what the above made (the lab, in the user's cache, stays)

SHELL := /bin/sh
PYTHON ?= $(shell sh tools/python.sh)
VENV ?= .venv
BIN := $(VENV)/bin
# Pinned versions of everything; `make test LOCK=` takes the newest instead.
LOCK ?= requirements/ci.lock
JOBS ?= 2
RELEASES ?= $(shell sed -n 's/^ *Release.name="\([0-9.]*\)".*/\1/p' src/migratable/lab/releases.py)
ARCHS ?= x86_64 ppc64 aarch64 s390x riscv64
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
SOURCES := src tests tools benchmarks docs

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test quick mutants install lint style format types imports tests lab docs bench dist lock ppc64le clean help

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.program
	@$(BIN)/python tools/demo.py

test: install lab lint docs tests

# Python's caches are written whatever the shell says: they halve the time to the first test.
quick tests: export PYTHONDONTWRITEBYTECODE :=

quick: install lint
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup -m "not slow and not real"

# MUTANTS=--each 20: a sample. Takes a quarter of an hour; no part of `make test`.
mutants: install
	$(BIN)/python tools/mutate.py --jobs $(JOBS) $(MUTANTS)

tests: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

install: $(VENV)/.ready

lint: style types imports

style: install
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/ruff format --quiet --check $(SOURCES)

types: install
	$(BIN)/mypy --no-error-summary

imports: install
	@$(BIN)/lint-imports >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

format: install
	$(BIN)/ruff check --fix --quiet $(SOURCES)
	$(BIN)/ruff format --quiet $(SOURCES)

# A release that is not available is named; its tests are skipped by name, and fail with CI=true.
lab: install
	$(BIN)/migratable lab install --missing --allow-expired $(RELEASES) $(addprefix --arch ,$(ARCHS)) || \
		echo "make: some QEMU releases are not available; their tests are skipped (with CI=true: fail)" >&2

docs: install
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs build/docs
	@echo "the pages are in build/docs/index.html"

bench: install
	$(BIN)/python -m benchmarks

dist: install
	$(BIN)/python tools/dist.py dist

lock: $(VENV)/.python
	$(PYTHON) tools/lock.py requirements/ci.lock

ppc64le: $(VENV)/.program
	$(BIN)/python tools/ppc64le.py

clean:
	rm -rf $(VENV) build dist site docs/reference/commands docs/reference/rules docs/reference/schemas
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.python:
	@sh tools/python.sh --check "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

# The program alone, as its users install it.
$(VENV)/.program: $(VENV)/.python pyproject.toml
	$(if $(LOCK),$(PIP) install --quiet --constraint $(LOCK) --editable '.[zstd]' || \
		{ echo "make: not all of $(LOCK) can be had; taking the newest that can" >&2; false; } ||) \
	$(PIP) install --quiet --editable '.[zstd]'
	@touch $@

# The program and everything that checks it. The lock names build tools too, so nothing is fetched
# in a version that it does not name.
$(VENV)/.ready: $(VENV)/.python pyproject.toml $(LOCK) tools/lock.py
	$(if $(LOCK),$(PIP) install --quiet --requirement $(LOCK) || \
		{ echo "make: not all of $(LOCK) can be had; taking the newest that can" >&2; false; } ||) \
	$(BIN)/python tools/lock.py --print | $(PIP) install --quiet --requirement /dev/stdin
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.program
