# make demo | test | check | bench | promises
# Everything is set up in .venv from locked, hashed wheels; nothing is installed outside this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
LOCK := requirements/dev.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench promises fuzz hardening goldens protos lock docs clean

help:
	@echo "make setup     install the locked dependencies into .venv (the others do it, too)"
	@echo "make demo      set up, then run two services that talk mTLS through real Envoys"
	@echo "make test      set up, then run all tests"
	@echo "make check     lint, types, import rules, file and function lengths, generated docs"
	@echo "make bench     measure; writes docs/performance.md"
	@echo "make promises  run the tests and print which promises they prove"
	@echo "make fuzz      millions of inputs for every parser of outside bytes; prints a table"
	@echo "make hardening the long forms: 100 kill -9 under writes, 3,000 connects at once, 10,000 idle connections"
	@echo "make goldens   write the golden files anew"
	@echo "make protos    write what protoc makes of the messages between control planes"
	@echo "make docs      write docs/reference anew"
	@echo "make lock      resolve the dependencies anew"
	@echo "make clean     remove everything that these made"

setup: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/kuma-dp demo

test: setup
	$(BIN)/python scripts/run_tests.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py
	$(BIN)/python scripts/reference_docs.py --check

bench: setup
	$(BIN)/python tests/bench/run.py

promises: setup
	$(BIN)/python scripts/promises.py

fuzz: setup
	$(BIN)/python tests/fuzz/run.py

hardening: setup
	LONG_FORM=1 $(BIN)/python -m pytest -s tests/integration/kumacp/test_durability.py tests/integration/kumacp/test_floods.py tests/integration/kumacp/test_hostile_connections.py

goldens: setup
	UPDATE_GOLDENS=1 $(BIN)/python -m pytest -q tests/golden

protos: setup
	$(BIN)/python scripts/kds_protos.py

docs: setup
	$(BIN)/python scripts/reference_docs.py

lock: setup
	$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
