# One command each; all of them make the environment (.venv) first, once, and again when
# pyproject.toml or constraints.txt change. Everything is relative, so a path with spaces works.

PYTHON ?= python3
CORES ?= all
# Further arguments: make run ARGS="--configfile configs/pbmc.yaml", make unit ARGS="-k nnls -x"
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
SPECS := pyproject.toml constraints.txt
# One more than a small machine has cores, since some tests wait; more gain nothing, since the fits
# use threads of their own. What is left at the end is shared out anew.
WORKERS := -m pytest -n 3 --dist worksteal
PYTEST := $(PY) $(WORKERS)
OLDEST := .venv-oldest/bin/python
COVERAGE := --cov --cov-report=term
CODE := workflow tests benchmarks
SNAKEFILES := Snakefile workflow/Snakefile workflow/rules

.PHONY: help new run report test test-oldest env fast unit workflow format lint docs docs-check bench clean
.DELETE_ON_ERROR:

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*  ## ' Makefile | sed -E 's/:.*  ## /: /'

# Only what stands behind `make new`, not what the environment happens to call so.
given = $(if $(findstring command,$(origin $1)),"$($1)","")

new: .venv/.run  ## write a config for a file of counts: make new INPUT=my.h5ad [NAME=blood] [CONFIG=my.yaml]
	@$(PY) -m nmf_workflow.new $(call given,INPUT) --name $(call given,NAME) --config $(call given,CONFIG)

run: .venv/.run  ## run the workflow on config.yaml (or ARGS="--configfile yours.yaml")
	$(PY) -m snakemake --cores $(CORES) $(ARGS)

report: .venv/.run  ## the pages for people, results/{sample}/{run}/report.html, of all samples and runs
	$(PY) -m snakemake reports --cores $(CORES) $(ARGS)

test: .venv/.test  ## all tests, and how much of the library they reach
	$(PYTEST) $(COVERAGE) $(ARGS)

fast: .venv/.test  ## tests of the library that take seconds: after each change
	$(PYTEST) tests/unit -m "not slow" $(ARGS)

test-oldest: .venv-oldest/.test  ## the tests of `make fast` on the lowest versions that pyproject.toml allows
	$(OLDEST) $(WORKERS) -W ignore tests/unit -m "not slow" $(ARGS)

env: .venv/.test  ## the environment with all that the tests need

unit: .venv/.test  ## tests of the library
	$(PYTEST) tests/unit $(ARGS)

workflow: .venv/.test  ## tests of the workflow
	$(PYTEST) tests/workflow $(ARGS)

format: .venv/.test  ## rewrite the code in the project's format
	$(PY) -m ruff check --fix $(CODE)
	$(PY) -m ruff format $(CODE)
	$(PY) -m snakefmt $(SNAKEFILES)

lint: .venv/.test  ## check format, style and types, change nothing
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m snakefmt --check $(SNAKEFILES)
	$(PY) -m codespell_lib
	$(PY) -m mypy
	$(PY) -m snakemake --lint

docs: .venv/.test  ## write docs/config.md from the schema, and build the pages into docs/_build/html
	$(PY) -m nmf_workflow.docs
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html

docs-check: .venv/.test  ## fail if docs/config.md is not what the schema says
	$(PY) -m nmf_workflow.docs --check

bench: .venv/.bench  ## all benchmarks (long); results in benchmarks/out
	$(PY) -m benchmarks $(ARGS)

clean:  ## remove the environments and the compiled loops
	rm -rf .venv .venv-oldest workflow/lib/neuralNMF/kernels/__pycache__

# Stamps: their time stands for the installation.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: $(SPECS) | .venv/bin/python
	$(PIP) -e .
	@touch $@

.venv/.test: $(SPECS) | .venv/bin/python
	$(PIP) -e '.[test]'
	@touch $@ .venv/.run

.venv/.bench: $(SPECS) | .venv/bin/python
	$(PIP) -e '.[test,bench]'
	@touch $@ .venv/.test .venv/.run

# An environment of its own, since its versions are others. Old packages warn of what newer ones
# have changed, so there only failures count.
.venv-oldest/.test: $(SPECS) tests/lowest.py
	$(PYTHON) -m venv --clear .venv-oldest
	$(OLDEST) tests/lowest.py > .venv-oldest/lowest.txt
	$(OLDEST) -m pip install --quiet --disable-pip-version-check -c .venv-oldest/lowest.txt -e '.[test]'
	@touch $@
