# Everything runs in .venv, made on first use. A stamp per extra remembers what is installed there,
# so that a second run starts at once; a change of pyproject.toml installs anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test peers bench clean

demo: $(VENV)/.installed-demo
	$(BIN)/python examples/digits.py

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

peers: $(VENV)/.installed-dev $(VENV)/.installed-peers
	$(BIN)/python -m pytest -q tests/test_peers_torch.py tests/test_peers_jax.py

bench: $(VENV)/.installed-bench
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) examples/output .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	$(BIN)/python -m compileall -q chainrule  # an editable install compiles no bytecode, and the first import would
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
