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

# The Pythons that test-wheel looks for: versions, or paths of interpreters.
WHEEL_PYTHONS ?= 3.11 3.12 3.13
# An index with nightly wheels of scikit-learn; without it, its newest pre-release is tested.
NIGHTLY_INDEX ?=

.PHONY: demo test test-all test-integrations test-lowest test-nightly test-wheel coverage lint docs html \
	draft dist check-tag bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# With the tests that are marked slow.
test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m ''

# With the trackers, servers and meta-estimators of other packages, in an environment of their own.
test-integrations: $(VENV)-integrations/.done
	$(VENV)-integrations/bin/python -m pytest -n 2 --dist worksteal tests/integrations

# With the lowest versions that pyproject.toml allows of what it names.
test-lowest: $(VENV)-lowest/.done
	$(VENV)-lowest/bin/python -m pytest -n 2 $(SMOKE_TESTS)

# With development versions of scikit-learn and Keras, which are newly installed every time; a
# .dev0 lets uv take them, and leaves all other packages as they are.
test-nightly: $(VENV)-nightly/.done
	$(VENV)-nightly/bin/uv pip install --quiet --python $(VENV)-nightly/bin/python \
		--upgrade-package scikit-learn --index-strategy unsafe-best-match \
		$(addprefix --extra-index-url ,$(NIGHTLY_INDEX)) 'scikit-learn>=1.7.dev0'
	$(VENV)-nightly/bin/uv pip uninstall --quiet --python $(VENV)-nightly/bin/python keras keras-nightly
	$(VENV)-nightly/bin/uv pip install --quiet --python $(VENV)-nightly/bin/python \
		--upgrade-package keras-nightly 'keras-nightly>=3.13.dev0'
	$(VENV)-nightly/bin/python -c 'import keras, sklearn; print("scikit-learn", sklearn.__version__, "Keras", keras.__version__)'
	$(VENV)-nightly/bin/python -m pytest -n 2 $(SMOKE_TESTS)

# All tests, with the share of lines and branches that they run; what is left out is in pyproject.toml.
coverage: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m '' --cov --cov-report=term-missing:skip-covered

# The files for PyPI. --strict also refuses a README that PyPI would not render.
dist: $(VENV)-dist/.done
	rm -rf dist
	$(VENV)-dist/bin/python -m build --quiet
	$(VENV)-dist/bin/twine check --strict dist/*

# Before a release: whether TAG names the version of the package.
check-tag:
	grep -qx '__version__ = "$(TAG:v%=%)"' skcnn/__init__.py
	grep -qx 'version: $(TAG:v%=%)' CITATION.cff
	grep -qx '$(TAG:v%=%)' docs/changelog.rst

# The wheel in a new environment of each Python that is found, away from the sources.
test-wheel: dist
	@tested=; for version in $(WHEEL_PYTHONS); do \
		python=$$($(VENV)-dist/bin/uv python find --no-project --no-python-downloads $$version 2>/dev/null) \
			|| { echo "Python $$version was not found"; continue; }; \
		$(VENV)-dist/bin/uv venv --quiet --clear --python "$$python" $(VENV)-wheel \
		&& $(VENV)-dist/bin/uv pip install --quiet --python $(VENV)-wheel/bin/python dist/*.whl \
		&& $(VENV)-wheel/bin/python tests/smoke.py || exit 1; \
		tested="$$tested $$version"; \
	done; \
	echo "wheel tested with Python:$${tested:- none}"; test -n "$$tested"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

SPHINX = $(BIN)/sphinx-build -W --keep-going -d docs/_build/doctrees \
	-D sphinx_gallery_conf.filename_pattern='$(GALLERY)'

# Links to other sites are not followed.
docs: html
	$(SPHINX) -b doctest docs docs/_build/doctest
	$(SPHINX) -D linkcheck_ignore='https?:' -b linkcheck docs docs/_build/linkcheck

html: $(VENV)/.docs
	rm -rf docs/api docs/gallery
	$(SPHINX) -b html docs docs/_build/html

# The pages in two minutes, without examples, pictures and output.
draft: $(VENV)/.docs
	SKCNN_DRAFT=1 $(BIN)/sphinx-build -W --keep-going -D plot_gallery=0 -b html docs docs/_build/draft

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

$(VENV)-integrations/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-integrations
	$(VENV)-integrations/bin/python -m pip install --quiet --editable '.[integrations]'
	touch $@

# uv, unlike pip, can resolve to the lowest versions.
$(VENV)-lowest/.done: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		--resolution lowest-direct --editable '.[test]'
	touch $@

$(VENV)-nightly/.done: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-nightly
	$(VENV)-nightly/bin/python -m pip install --quiet uv
	$(VENV)-nightly/bin/uv pip install --quiet --python $(VENV)-nightly/bin/python --editable '.[test]'
	touch $@

$(VENV)-dist/.done: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install --quiet build twine uv
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-dist $(VENV)-integrations $(VENV)-lowest $(VENV)-nightly $(VENV)-wheel dist docs/_build
