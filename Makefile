# `make demo` and `make test` are all you need; each makes .venv by itself, and a second call installs nothing.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONWARNINGS ?= ignore

.PHONY: help demo test docs notebooks export clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t12

# the environment is remade only when what it is made from changes
.venv/.installed: settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "Installing into .venv (torch is large; this takes a few minutes, once)"
	@if command -v uv >/dev/null; then uv venv -q --allow-existing --python $(PYTHON) .venv && uv pip install -q --python $(BIN)/python -e '.[dev,docs]'; \
	else $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -q --progress-bar off -e '.[dev,docs]'; fi
	@touch $@

demo: .venv/.installed  ## run the quickstart notebook in a fresh kernel; DATA=clothing_small or a CSV runs it on that
	@QUICKSTART_DATA="$(or $(DATA),sample:pattern)" $(BIN)/python docs/demo.py

test: .venv/.installed  ## notebooks clean and exported, ruff, nbdev-test, pytest
	@$(BIN)/python tests/run_all.py

docs: .venv/.installed  ## build the site into docs/_build/html, and README.md from nbs/index.ipynb
	@$(BIN)/python docs/stage.py
	@$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs docs/_src docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: .venv/.installed  ## run every notebook in a fresh kernel and store its outputs
	@$(BIN)/python docs/run_nbs.py

export: .venv/.installed  ## write the library from the notebooks, and clean those
	@$(BIN)/nbdev-export && $(BIN)/nbdev-clean

clean:  ## remove what was built; .venv stays
	rm -rf docs/_build docs/_src docs/_md _proc runs build dist *.egg-info .ruff_cache .pytest_cache
