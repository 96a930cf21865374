# Two commands matter: `make run` runs the whole service on this machine, `make test` runs the tests.
# Both install what they need first. `make help` lists all commands.

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

# `calln deploy …` as targets, and the words of the command where they differ.
DEPLOYS := deploy plan init status doctor logs rollback restart rotate backup restore destroy
WORDS_OF_deploy := apply
WORDS_OF_rotate := secrets rotate

# More packages for `make interop`. nodejs from NodeSource contains npm, nodejs from Debian does not.
INTEROP := .cache/interop
INTEROP_PACKAGES := baresip-core gir1.2-gst-plugins-bad-1.0 golang-go golang-github-pion-turn.v2-dev gstreamer1.0-nice \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-good janus libnice10 linphone-cli nodejs python3-gst-1.0
PION := GO111MODULE=off CGO_ENABLED=0 GOPATH=/usr/share/gocode GOCACHE=$(abspath $(INTEROP))/go go build
PION_CLIENT := github.com/pion/turn/v2/examples/turn-client

# The bundler of the page's scripts, and the judge of the page.
PAGE := .cache/page
LIGHTHOUSE := .cache/lighthouse

# Programs that the tests use: browsers and their certificate store, the clients and server of coturn, a load
# balancer, machines to deploy to, and a certificate authority.
TEST_PACKAGES := age chromium firefox-esr coturn haproxy iproute2 libnss3-tools nftables openssh-server openssl \
	apache2 buildah caddy curl debootstrap ejabberd knot lintian nginx-light openssh-client pebble prosody shellcheck \
	systemd-container yamllint

# For `make codecs`: encoders, speech and music.
CODEC_PACKAGES := alsa-utils espeak-ng ffmpeg frozen-bubble-data

# For `make program`: Debian 12's. Debug information stays outside, types (BTF) inside.
PROGRAM_PACKAGES := clang-14 libbpf-dev llvm-14
KERNEL_PACKAGES := busybox-static kmod qemu-system-x86 xz-utils
PROGRAM_SOURCE := turn/engines/kernel
PROGRAM := $(abspath $(PROGRAM_SOURCE))/relay.bpf.o
PROGRAM_FLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -fdebug-compilation-dir=.

# Each process takes whole files, whose tests share machines and browsers.
IN_PROCESSES := --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 10

.PHONY: help setup run test deployments check lint format bench plots soak fuzz interop example page icons lighthouse program kernels house promise words codecs \
	tunnels update newest lock release deb clean $(DEPLOYS)

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(BIN)/.set-up ## install calln and what it needs into .venv

run: setup ## run server and relay on this machine (CONFIG=config.yaml for your own configuration)
	@exec $(BIN)/calln run $(if $(CONFIG),--config $(CONFIG))

test: $(BIN)/.set-up-tests ## run the tests but for the long ones, or only tests/PART (PART=turn)
	$(BIN)/python -m pytest $(IN_PROCESSES) $(if $(PART),tests/$(PART),-m "not long")

deployments: $(BIN)/.set-up-tests ## run the long tests: every kind of deployment, on booted Debians (root)
	$(BIN)/python -m pytest $(IN_PROCESSES) -m long tests/deploy/end_to_end

check: lint test ## run all checks: format, lint, types, tests

lint: $(BIN)/.set-up-tests ## check format, lint and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.set-up-tests ## format all files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.set-up-tests ## measure our relay beside coturn, then the server (root; JSON=FILE keeps the figures)
	$(BIN)/python -m tests.bench.core
	$(BIN)/python -m tests.bench.gate
	$(BIN)/python -m tests.bench.program
	$(BIN)/python -m tests.bench.relay $(if $(JSON),--json $(JSON))
	$(BIN)/python -m tests.bench.deaths
	$(BIN)/python -m tests.bench.server

plots: $(BIN)/.set-up-tests ## draw the pictures and the table of docs/performance.md from docs/performance.json
	$(BIN)/python -m tests.bench.plots

soak: SECONDS = 3600
soak: $(BIN)/.set-up-tests ## run the relay under load for an hour: memory, loss, delay (root; SECONDS=60 for less)
	$(BIN)/python -m tests.bench.soak --seconds $(SECONDS)

fuzz: $(BIN)/.set-up-tests ## test each parser and the core of the relay with random input (SECONDS=60 for less)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

interop: $(INTEROP)/.set-up ## test other TURN clients with the relay (root; TABLE=yes: write the table into docs/clients.md)
	$(BIN)/python -m tests.interop $(if $(TABLE),--table)

example: setup ## write config.example.yaml from the code
	$(BIN)/python -m config.example > config.example.yaml

page: $(PAGE)/.set-up ## bundle scripts and style of the page into server/static/built
	@.ci/page/build

lighthouse: $(BIN)/.set-up-tests $(LIGHTHOUSE)/.set-up ## let Lighthouse judge the page: 95 of 100 points, on a phone with a slow line
	@$(BIN)/python -m tests.live.lighthouse

icons: $(BIN)/.set-up-tests ## draw the icons for phones from server/static/icon.svg
	@$(BIN)/python -m tests.live.icons

program: ## build the program that runs in the kernel, with the one compiler that makes the same bytes everywhere
	@.ci/packages $(PROGRAM_PACKAGES)
	@cd $(PROGRAM_SOURCE) && clang-14 $(PROGRAM_FLAGS) -I/usr/include/$$(uname -m)-linux-gnu -c relay.bpf.c -o $(PROGRAM)
	@llvm-strip-14 --strip-debug $(PROGRAM)

kernels: $(BIN)/.set-up-tests ## run the tests of calls in the kernel on the kernels of Debian 12 and 13, in QEMU (root)
	@.ci/packages $(KERNEL_PACKAGES)
	$(BIN)/python -m tests.turn.engines.kernel.debian_kernels

house: $(BIN)/.set-up-tests ## draw docs/house.svg: the folders and their imports
	@.ci/packages graphviz
	$(BIN)/python -m tests.house

words: LANGUAGES =
words: setup ## bring server/languages/*.po up to date with the texts of the code (LANGUAGES=nl begins another)
	$(BIN)/python -m server.languages.extraction $(LANGUAGES)

promise: setup ## write the promise of the privacy page into docs/encrypted-only.md
	$(BIN)/python -m server.web.promise docs/encrypted-only.md

codecs: $(BIN)/.set-up-tests ## measure how soon media without encryption are stopped, and write it into docs/encrypted-only.md
	@.ci/packages $(CODEC_PACKAGES)
	$(BIN)/python -m tests.bench.plain_media --table

tunnels: $(BIN)/.set-up-tests ## measure what two ends can send unencrypted, and write it into docs/encrypted-only.md
	$(BIN)/python -m tests.bench.tunnels --table

update: $(BIN)/.set-up-deploy ## fetch the next release of Calln, show what is new, and deploy it (ARGS=--yes: do not ask)
	@$(BIN)/python -m deploy.cli.update $(ARGS) $(if $(CONFIG),CONFIG=$(CONFIG))

newest: $(BIN)/.set-up-tests ## write the newest versions of all dependencies into deploy/locks, and run the tests
	.ci/lock --upgrade
	$(MAKE) test

lock: $(BIN)/.set-up-tests ## update deploy/locks after a change of pyproject.toml
	.ci/lock

release: $(BIN)/.set-up ## build wheel, sdist, checksums and the changelog of the release into dist/
	.ci/release

deb: $(BIN)/.set-up-deploy ## build the Debian package into dist/ (ARGS="--arch arm64")
	@.ci/deb $(ARGS)

deploy: ## install or update Calln on your machines (CONFIG=config.yaml, ARGS=--accept-host-key)
plan: ## show what `make deploy` would change
init: ## ask six questions and write config.yaml
status: ## show the releases that run on your machines
doctor: ## check the service from here and on your machines
logs: ## show the logs of your machines (ARGS=--follow)
rollback: ## go back to the release before (ARGS=VERSION)
restart: ## start the same release anew, as after an update of Python
rotate: ## change the secret of server and relay
backup: ## save configuration, secrets and bans of your machines here
restore: ## write a backup back to a machine (ARGS=FILE)
destroy: ## remove Calln from your machines

$(DEPLOYS): $(BIN)/.set-up-deploy
	@CALLN_BY_MAKE=yes exec $(BIN)/calln deploy $(or $(WORDS_OF_$@),$@) $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

clean: ## remove .venv and all caches
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

$(BIN)/.set-up-tests: $(LOCKS)/test.txt .ci/packages $(BIN)/.set-up $(PAGE)/.set-up
	@.ci/packages $(TEST_PACKAGES)
	@echo "Adding what the tests need to $(VENV) ..."
	@$(LOCKED)/test.txt
	@touch $@

$(PAGE)/.set-up $(LIGHTHOUSE)/.set-up: .cache/%/.set-up: $(wildcard .ci/page/*.json .ci/lighthouse/*.json)
	@command -v npm >/dev/null || .ci/packages npm
	@mkdir -p $(@D)
	@cp .ci/$*/*.json $(@D)
	@cd $(@D) && npm ci --prefer-offline --ignore-scripts --legacy-peer-deps --no-fund --no-audit --loglevel=error
	@touch $@

$(INTEROP)/.set-up: $(LOCKS)/interop.txt $(BIN)/.set-up-tests $(wildcard tests/interop/clients/*.*s tests/interop/clients/*.go tests/interop/clients/*.json)
	@.ci/packages $(INTEROP_PACKAGES)
	@command -v npm >/dev/null || .ci/packages npm
	@echo "Fetching and building the foreign clients ..."
	@$(LOCKED)/interop.txt
	@mkdir -p $(INTEROP)
	@cp tests/interop/clients/*.*s tests/interop/clients/*.json $(INTEROP)
	@cd $(INTEROP) && npm ci --no-fund --no-audit --loglevel=error
	@$(PION) -o $(INTEROP)/pion-udp $(PION_CLIENT)/udp
	@$(PION) -o $(INTEROP)/pion-tcp $(PION_CLIENT)/tcp
	@$(PION) -o $(INTEROP)/pion-peers tests/interop/clients/pion.go
	@touch $@
