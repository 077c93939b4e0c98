SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The environment is used without being activated.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

UPGRADE ?=

# Of a process, with bounds in seconds: not beside other tests.
OPERATOR_TESTS := tests/unit/kube/test_operator.py

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: .venv/ready  ## a plan, a sweep, a model, its gate, an endpoint and requests: all of it, on real film sentences
	eagleray demo runs/demo

.PHONY: test
test: .venv/ready  ## every test but the slow ones
	pytest -m "not slow" -n 2 --dist loadfile --ignore $(OPERATOR_TESTS) tests/unit tests/contracts
	pytest -m "not slow" $(OPERATOR_TESTS) tests/browser tests/gloo tests/ray tests/serving

.PHONY: test-long
test-long: .venv/ready  ## every test
	pytest

.PHONY: check
check: .venv/ready  ## lint, format, types, layers
	ruff check .
	ruff format --check .
	mypy
	lint-imports

.PHONY: format
format: .venv/ready  ## mend what ruff can mend
	ruff check --fix .
	ruff format .

.PHONY: bench
bench: .venv/ready  ## every benchmark that is not there yet, row by row; they want the machine for themselves
	python -m bench

.PHONY: bench-quick
bench-quick: .venv/ready  ## some of them with few rows and rounds, planned for under eight minutes
	python -m bench --quick

# torch is pinned without its local version (+cpu) and without the CUDA libraries that its own metadata pins, so that
# the lock installs whichever build of that version the index offers.
.PHONY: lock
lock: .venv/ready  ## write requirements.lock anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --strip-extras --allow-unsafe --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(UPGRADE) \
	  --extra all --extra test --extra dev --output-file requirements.lock pyproject.toml
	sed -i -E -e '/^eagleray\b/d' -e '/^(cuda|nvidia|triton)\b/d' -e 's/^(torch==[^+]*)\+.*/\1/' requirements.lock

.PHONY: schema
schema: .venv/ready  ## write jobs/schema.json anew
	eagleray schema > jobs/schema.json

.PHONY: map
map: .venv/ready  ## write the README's map of the tree anew
	python -m tests.support.readme_map

.PHONY: errors
errors: .venv/ready  ## write docs/errors.md anew
	python -m tests.support.errors_page

.PHONY: reference
reference: .venv/ready  ## write docs/reference.md anew
	python -m tests.support.reference_page

.PHONY: release
release: .venv/ready  ## build wheel and source archive into dist/, and try the wheel in an empty environment
	rm -rf dist
	python -m tests.support.wheel dist

.PHONY: venv
venv: .venv/ready  ## create .venv

.venv/ready: requirements.lock requirements-demo.txt pyproject.toml
	@test -x .venv/bin/python || { \
	  for python in python3 python3.11 python3.12 python3.13; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; python=; \
	  done; \
	  test -n "$$python" || { echo "eagleray needs Python 3.11 or newer: none is on the PATH" >&2; exit 2; }; \
	  echo "creating .venv with $$("$$python" --version)"; "$$python" -m venv .venv; }
	@echo "installing the locked packages into .venv: minutes, once"
	@python -m pip install --disable-pip-version-check --progress-bar off -r requirements.lock \
	  | { grep -v '^Requirement already satisfied' || true; }
	@python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-demo.txt
	@python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
