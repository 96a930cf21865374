# Two commands matter: `make run` serves the whole service on this machine, `make test` runs the tests.
# Both set up what they need first. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKS := deploy/locks
LOCKED := $(PIP) --only-binary=:all: --require-hashes --requirement $(LOCKS)
CONFIG ?=
PART ?=
SECONDS ?= 600
TABLE ?=
JSON ?=
ARGS ?=

# `calln deploy …` as targets; where the words differ, they stand beside.
DEPLOYS := deploy plan init status doctor logs rollback rotate backup restore destroy
WORDS_OF_deploy := apply
WORDS_OF_rotate := secrets rotate

# What `make interop` drives beside that; NodeSource's nodejs brings npm along, Debian's does not.
INTEROP := .cache/interop
INTEROP_PACKAGES := golang-go golang-github-pion-turn.v2-dev libnice10 nodejs
PION := GO111MODULE=off CGO_ENABLED=0 GOPATH=/usr/share/gocode GOCACHE=$(abspath $(INTEROP))/go go build
PION_CLIENT := github.com/pion/turn/v2/examples/turn-client

# What the tests drive beside our own code: browsers and who they trust, coturn's clients and server, a balancer,
# machines to deploy to and an authority for their certificates.
TEST_PACKAGES := chromium firefox-esr coturn haproxy iproute2 libnss3-tools nftables openssh-server openssl \
	apache2 caddy curl debootstrap nginx-light openssh-client pebble shellcheck systemd-container yamllint

.PHONY: help setup run test check lint format bench plots soak fuzz interop example house promise update lock release \
	clean $(DEPLOYS)

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(BIN)/.set-up ## what `make run` needs: .venv with calln in it

run: setup ## serve page, matching and relay on this machine (CONFIG=config.yaml for your own)
	@exec $(BIN)/calln run $(if $(CONFIG),--config $(CONFIG))

test: $(BIN)/.set-up-tests ## all tests, or those below tests/PART
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder --durations 10 $(if $(PART),tests/$(PART))

check: lint test ## the whole law: format, lint, types, tests

lint: $(BIN)/.set-up-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.set-up-tests ## put every file into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.set-up-tests ## our relay beside coturn in one run, then the server (root; JSON=FILE keeps the figures)
	$(BIN)/python -m tests.bench.core
	$(BIN)/python -m tests.bench.gate
	$(BIN)/python -m tests.bench.relay $(if $(JSON),--json $(JSON))
	$(BIN)/python -m tests.bench.server

plots: $(BIN)/.set-up-tests ## the pictures and the table of docs/performance.md, from docs/performance.json
	$(BIN)/python -m tests.bench.plots

soak: SECONDS = 3600
soak: $(BIN)/.set-up-tests ## an hour of the relay at work: does it grow, lose or slow down? (root; SECONDS=60)
	$(BIN)/python -m tests.bench.soak --seconds $(SECONDS)

fuzz: $(BIN)/.set-up-tests ## every parser and the relay's core with made-up input, SECONDS each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

interop: $(INTEROP)/.set-up ## other people's TURN clients against the relay (TABLE=yes: the table into docs/clients.md)
	$(BIN)/python -m tests.interop $(if $(TABLE),--table)

example: setup ## write config.example.yaml anew from the models
	$(BIN)/python -m config.example > config.example.yaml

house: $(BIN)/.set-up-tests ## draw docs/house.svg: the folders, and what each imports
	@.ci/packages graphviz
	$(BIN)/python -m tests.house

promise: setup ## write what the relay promises into docs/encrypted-only.md, as the privacy page says it
	$(BIN)/python -m server.web.promise docs/encrypted-only.md

update: $(BIN)/.set-up-tests ## the newest versions of other people's code into deploy/locks, and the tests with them
	.ci/lock --upgrade
	$(MAKE) test

lock: $(BIN)/.set-up-tests ## deploy/locks again where pyproject.toml asks for something else
	.ci/lock

release: $(BIN)/.set-up ## what a tag publishes, into dist/: wheel, sdist, their checksums, the section of CHANGELOG
	.ci/release

deploy: ## put Calln on your machines, or bring them up to date (CONFIG=config.yaml, ARGS=--accept-host-key)
plan: ## what `make deploy` would change there
init: ## six questions, whose answers make config.yaml
status: ## which release serves on your machines
doctor: ## try everything from here and on your machines
logs: ## what the services there said (ARGS=--follow)
rollback: ## back to the release before (ARGS=VERSION)
rotate: ## a new secret for server and relay there
backup: ## fetch configuration, secrets and bans from there
restore: ## put a backup there (ARGS=FILE)
destroy: ## take Calln off your machines

$(DEPLOYS): $(BIN)/.set-up-deploy
	@exec $(BIN)/calln deploy $(or $(WORDS_OF_$@),$@) $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

clean: ## forget the virtual environment and the caches
	rm -rf $(VENV) dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/.set-up: pyproject.toml $(LOCKS)/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(LOCKED)/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/.set-up-deploy: $(LOCKS)/deploy.txt $(BIN)/.set-up
	@echo "Adding what deploying needs to $(VENV) ..."
	@$(LOCKED)/deploy.txt
	@touch $@

$(BIN)/.set-up-tests: $(LOCKS)/test.txt .ci/packages $(BIN)/.set-up
	@.ci/packages $(TEST_PACKAGES)
	@echo "Adding what the tests need to $(VENV) ..."
	@$(LOCKED)/test.txt
	@touch $@

$(INTEROP)/.set-up: $(LOCKS)/interop.txt $(BIN)/.set-up-tests $(wildcard tests/interop/clients/*.*s tests/interop/clients/*.json)
	@.ci/packages $(INTEROP_PACKAGES)
	@command -v npm >/dev/null || .ci/packages npm
	@echo "Fetching and building the foreign clients ..."
	@$(LOCKED)/interop.txt
	@mkdir -p $(INTEROP)
	@cp tests/interop/clients/*.*s tests/interop/clients/*.json $(INTEROP)
	@cd $(INTEROP) && npm ci --no-fund --no-audit --loglevel=error
	@$(PION) -o $(INTEROP)/pion-udp $(PION_CLIENT)/udp
	@$(PION) -o $(INTEROP)/pion-tcp $(PION_CLIENT)/tcp
	@touch $@
