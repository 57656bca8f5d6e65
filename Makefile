# Every target sets up what it needs: a virtual environment in .venv and the package in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A folder with one sub-folder of image files per class.
BENCH_DATA ?= bench/data

# The examples that the documentation runs; the others are shown as they are.
GALLERY ?= plot_|quickstart

# What runs with the lowest versions: conformance, training, files and export.
SMOKE_TESTS := $(addprefix tests/test_,sklearn_contract.py layers.py muon.py compiled.py \
	callbacks.py image_files.py metrics.py persistence.py plotting.py sequence.py skops.py)

.PHONY: demo test test-all test-lowest lint docs html bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# With the tests that are marked slow.
test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m ''

# With the lowest versions that pyproject.toml allows of what it names.
test-lowest: $(VENV)-lowest/.done
	$(VENV)-lowest/bin/python -m pytest -n 2 $(SMOKE_TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: html
	$(BIN)/sphinx-build -W --keep-going -b doctest docs docs/_build/doctest

html: $(VENV)/.docs
	rm -rf docs/api docs/gallery
	$(BIN)/sphinx-build -W --keep-going -D sphinx_gallery_conf.filename_pattern='$(GALLERY)' \
		-b html docs docs/_build/html

# Peers have an environment of their own.
bench: $(VENV)-bench/.done
	$(VENV)-bench/bin/python examples/benchmarks/against_peers.py $(BENCH_DATA)
	$(VENV)-bench/bin/python examples/benchmarks/time_to_accuracy.py $(BENCH_DATA)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("skcnn needs Python 3.11 or newer; name one with make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.%: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(VENV)-bench/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --editable '.[bench]'
	touch $@

# uv, unlike pip, can resolve to the lowest versions.
$(VENV)-lowest/.done: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		--resolution lowest-direct --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-lowest docs/_build
