# Two commands matter: `make demo` and `make test`. Both do all set-up on a machine with python3 >= 3.11, cargo and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: setup proto build check test demo bench sim soak wheel clean tools
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := python/dgm/_core.abi3.so
PROTOS := $(shell find proto -name '*.proto' | sort)
RUST := $(shell find dgm_core -path dgm_core/target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
CRATE := dgm_core/Cargo.toml
CARGO := --locked --quiet --manifest-path $(CRATE)
ARGS ?=

setup: build

tools:
	@.ci/tools $(PYTHON)

$(VENV)/.deps: requirements.lock | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies (once)" && $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(CORE): $(RUST) $(PROTOS) pyproject.toml $(VENV)/.deps
	@echo "building the Rust core" && VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --skip-install --locked --quiet
	@$(BIN)/python .ci/link_package.py && touch $@

build: tools $(CORE)

proto: $(VENV)/.deps
	@cd proto && ../$(BIN)/python -m grpc_tools.protoc -I. --python_out=../python --pyi_out=../python --grpc_python_out=../python $$(find . -name '*.proto' | sort)

check: build proto
	@git diff --exit-code --stat -- python/dgm/api || { echo "generated protobuf code differs: commit what 'make proto' wrote"; exit 1; }
	$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy && MYPYPATH=python $(BIN)/stubtest dgm._core
	cargo fmt --manifest-path $(CRATE) --check && cargo clippy $(CARGO) --all-targets -- -D warnings && cargo clippy $(CARGO) --features python -- -D warnings

test: build
	cargo test $(CARGO)
	$(BIN)/python -m pytest tests $(ARGS)

demo: build
	$(BIN)/dgm demo $(ARGS)

bench: build
	$(BIN)/python -m pytest bench --benchmark-only -q && $(BIN)/python bench/modbus.py && $(BIN)/python bench/fleet.py $(ARGS)

sim: build
	$(BIN)/dgm sim $(ARGS)

soak: build
	for seed in 1 2 3 4 5 6; do $(BIN)/dgm sim --seed $$seed --hours 6 --evse 40 || exit 1; done
	$(BIN)/python -m pytest tests -m soak

wheel: $(VENV)/.deps
	$(BIN)/maturin build --release --locked --out wheels

clean:
	rm -rf $(VENV) dgm_core/target bench/modbus_peers/target .benchmarks wheels python/dgm/_core*.so .pytest_cache .mypy_cache .ruff_cache
