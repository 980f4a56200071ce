# Everything a developer runs. Each target sets up what it needs, and costs nothing the second time.
#   PYTHON=python3.12   another interpreter for .venv
#   HOLD=1              make demo: wait for your approval instead of giving it
#   EXAMPLE=enroll      make demo: request a certificate, have it approved, deploy it, renew it
#   ARGS="-k name"      make test: more arguments for pytest ("-n 0 --pdb": one test at a time, in one process)
#   WORKERS=3           make test, make quick: so many tests at a time

PYTHON ?= python3
ARGS ?=
CORES := $(shell getconf _NPROCESSORS_ONLN)
# Most tests wait, for a server or another process; the quick ones more than they work.
test: WORKERS ?= $(shell expr $(CORES) + 1)
quick: WORKERS ?= $(shell expr $(CORES) + 2)
HOLD ?=
EXAMPLE ?= gate

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The installation is tied to this folder and to these two files: a copied checkout must not test the original.
STAMP := $(CURDIR)
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(STAMP))
.PHONY: $(INSTALLED)
endif

# Sets `cli` in a recipe's shell to the folder of a working Pulumi CLI; finding or building it is told on stderr.
FIND_CLI := cli=$$($(BIN)/python tools/pulumi/find.py) && export KF_PULUMI_BIN="$$cli" PATH="$$cli:$$PATH"

# The tests start hundreds of processes, which need not all compile the package: also where no bytecode is to be kept.
PYTEST = env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test test-kerberos quick check bench dist pages picture clean freeze

help:
	@echo 'make demo    watch a real `pulumi up` wait for an approval (HOLD=1: you approve)'
	@echo 'make test    all tests                                    (ARGS="tests/unit -k name": some)'
	@echo 'make test-kerberos  Kerberos against a KDC of its own (compiles for four minutes, once)'
	@echo 'make quick   those that need no CLI, no browser and no patience'
	@echo 'make check   ruff, mypy --strict, the layer test'
	@echo 'make bench   the figures of README and docs/figures.md, measured on this machine'
	@echo 'make dist    the wheel and the source archive, in dist/'
	@echo 'make pages   docs/reference.md and the figures, out of docstrings and results; make picture: docs/gate.svg, out of a real update'
	@echo 'make freeze  write the installed versions into constraints.txt'
	@echo 'make clean   remove .venv and all caches of this checkout (the Pulumi CLI stays in the user cache)'

demo: $(INSTALLED)
	@$(FIND_CLI) && exec $(BIN)/python tools/demo.py --example $(EXAMPLE) $(if $(HOLD),--hold)

test: $(INSTALLED)
	@tools/browser.sh
	@$(FIND_CLI) && exec $(PYTEST) $(ARGS)

test-kerberos: $(INSTALLED)
	@PYTHON=$(PYTHON) tools/kerberos.sh
	@KF_KERBEROS=1 PATH="$$PATH:/usr/sbin" exec build/kerberos/bin/python -m pytest tests/kerberos $(ARGS)

quick: $(INSTALLED)
	@$(PYTEST) -q -m 'not not_quick' tests/unit tests/faults tests/plugin tests/sandbox

check: $(INSTALLED)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy --strict kf_provider tests tools benchmarks
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

# The wheel and the source archive, as they would be published.
dist: $(INSTALLED)
	@rm -rf dist
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m build --outdir dist .

# What is made of the source and of the last results: the reference, the figures; and the picture in the README.
pages: $(INSTALLED)
	@PYTHONPATH=. $(BIN)/python tools/reference.py
	@$(BIN)/python -m benchmarks.page

picture: $(INSTALLED)
	@$(FIND_CLI) && PYTHONPATH=. exec $(BIN)/python -m tools.picture

bench: $(INSTALLED)
	@$(FIND_CLI) && exec $(BIN)/python -m benchmarks

freeze: $(INSTALLED)
	@{ sed '/^# installed$$/q' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v '^#'; } > constraints.tmp
	@mv constraints.tmp constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo 'make: there is no $(PYTHON): install Python 3.11 or newer' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"make: $(PYTHON) is {v[0]}.{v[1]}, and 3.11 or newer is needed: make PYTHON=python3.12 ..." if v < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    echo 'make: creating $(VENV) with $(PYTHON)' >&2; \
	    $(PYTHON) -m venv --clear $(VENV) || { \
	        echo 'make: that needs the venv module (Debian and Ubuntu: apt install python3-venv)' >&2; exit 1; }; }
	@echo 'make: installing kf_provider and its tools into $(VENV) (a minute or two, when pyproject.toml or constraints.txt changed)' >&2
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@printf '%s' '$(STAMP)' > $@
