# Two commands matter: `make run` serves the whole service on this machine, `make test` runs the tests.
# Both set up what they need first. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=
PART ?=
SECONDS ?= 600

# What the tests drive beside our own code: browsers and who they trust, coturn's clients and server, a balancer.
TEST_PACKAGES := chromium firefox-esr coturn haproxy iproute2 libnss3-tools nftables openssl

.PHONY: help setup run test check lint format bench soak fuzz example clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(BIN)/.set-up ## what `make run` needs: .venv with calln in it

run: setup ## serve page, matching and relay on this machine (CONFIG=config.yaml for your own)
	@exec $(BIN)/calln run $(if $(CONFIG),--config $(CONFIG))

test: $(BIN)/.set-up-tests ## all tests, or those below tests/PART
	$(BIN)/python -m pytest $(if $(PART),tests/$(PART))

check: lint test ## the whole law: format, lint, types, tests

lint: $(BIN)/.set-up-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.set-up-tests ## put every file into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.set-up-tests ## our relay beside coturn in one run, then the server (root)
	$(BIN)/python -m tests.bench.core
	$(BIN)/python -m tests.bench.relay
	$(BIN)/python -m tests.bench.server

soak: SECONDS = 3600
soak: $(BIN)/.set-up-tests ## an hour of the relay at work: does it grow, lose or slow down? (root; SECONDS=60)
	$(BIN)/python -m tests.bench.soak --seconds $(SECONDS)

fuzz: $(BIN)/.set-up-tests ## every parser and the relay's core with made-up input, SECONDS each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

example: setup ## write config.example.yaml anew from the models
	$(BIN)/python -m deploy.manual > config.example.yaml

clean: ## forget the virtual environment and the caches
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/.set-up: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(BIN)/.set-up-tests: pyproject.toml .ci/packages $(BIN)/.set-up
	@.ci/packages $(TEST_PACKAGES)
	@echo "Adding what the tests need to $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
