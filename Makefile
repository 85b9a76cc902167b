# `make bench` measures, `make test` checks; both set everything up by themselves in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test install lint microbench docs reference pictures clean

bench: install
	$(BIN)/muxbench run quick

# Most tests wait for sockets and servers: more processes than cores still save time.
test: install lint
	$(BIN)/pytest --numprocesses=4

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

microbench: install
	mkdir -p results
	$(BIN)/pytest benchmarks/test_multiplexers.py --benchmark-enable --benchmark-only --benchmark-json=results/microbench.json
	$(BIN)/muxbench report results/microbench.json
	$(BIN)/pytest benchmarks/test_reply_styles.py --benchmark-enable --benchmark-only

# The variable silences a notice about MkDocs 2, which is not used.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open site/index.html'

# Measures everything that README and documentation show, for about twenty minutes; `pictures` only draws it again.
reference: install
	$(BIN)/python docs/make_reference.py --measure

pictures: install
	$(BIN)/python docs/make_reference.py

install: .venv/installed

# The engine's sources are named too: an editable install compiles them only when it is made.
.venv/installed: pyproject.toml $(wildcard harness/loadgen/*.pyx harness/loadgen/*.pxd)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "muxbench needs Python 3.11 or later; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,docs,frameworks,parquet]'
	@$(BIN)/python -c 'import harness.loadgen.engine' 2>/dev/null || \
		echo 'The native generator could not be built (is there a C compiler?): the portable one will be used.'
	touch $@

clean:
	rm -rf .venv build site *.egg-info harness/loadgen/*.so
