# `make` alone lists the verbs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint bench fuzz soak clean

help:
	@echo "make demo [MEDIA=folder]  set up, then go from films to match cuts (your own, or three small ones)"
	@echo "make test                 set up, then run all tests"
	@echo "make lint                 ruff and mypy --strict"
	@echo "make bench                every benchmark, each with its table"
	@echo "make fuzz [CASES=2000]    damaged media: every case stored or refused"
	@echo "make soak [SECONDS=300]   eight processes on one store, killed at random: nothing is lost"
	@echo "make clean                remove the environment and the demo"

# The environment is made again when what it holds has changed. uv is installed first, since it is
# quick; the versions are those of constraints.txt.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	@$(BIN)/copal demo $(if $(MEDIA),--media "$(MEDIA)")

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	@for module in tests/bench/*.py; do \
		case $$module in */__init__.py|*/_*.py|*/soak.py) continue;; esac; \
		echo "== $$module"; $(BIN)/python $$module || exit 1; \
	done

fuzz: $(READY)
	$(BIN)/python tests/fuzz/media.py --cases $(or $(CASES),2000)

soak: $(READY)
	$(BIN)/python tests/bench/soak.py --seconds $(or $(SECONDS),300)

clean:
	rm -rf $(VENV) demo
