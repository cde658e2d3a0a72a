# Everything a newcomer needs: `make demo`, `make test`. Python >= 3.11 with venv and pip is all that must be there.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SEEDS ?= 100

.DEFAULT_GOAL := help
.PHONY: help demo test check lock schemas faults bench league clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11")'
	@echo "==> setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: install python3-venv (Debian, Ubuntu) or set PYTHON"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "==> adding the test tools"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.installed ## recorded agent runs through the whole pipeline, ending in answers
	@$(BIN)/waterline demo

check: $(VENV)/.installed-dev ## lint, types, import contracts, generated files
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

test: check ## everything that must hold, in minutes
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not alone"
	@$(BIN)/python -m pytest -m alone

faults: $(VENV)/.installed-dev ## kill -9, stop and poison at random moments: make faults SEEDS=100
	@$(BIN)/python -m tests.faults --seeds $(SEEDS)

bench: $(VENV)/.installed-dev ## ours beside what one would pick instead, as ratios with spread
	@$(BIN)/python -m bench

league: $(VENV)/.installed-dev ## drift detectors on ten streams, ours beside river's (ten minutes): make league QUICK=1
	@$(BIN)/python -m bench.league $(if $(QUICK),--quick)

schemas: $(VENV)/.installed ## write schemas/generated anew from the declarations
	@$(BIN)/python -m waterline.schemas.generate

lock: ## resolve the dependencies anew (needs uv)
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet pyproject.toml --group build -o requirements.lock
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the environment and the local data
	@rm -rf $(VENV) .waterline build dist
