# Everything runs in a virtual environment of its own; MPI comes from PyPI.
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-output
RANKS ?= 2
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/matplotlib

.PHONY: demo test install clean

demo: install
	OMP_NUM_THREADS=1 $(VENV)/bin/mpiexec -n $(RANKS) $(VENV)/bin/ptyxrf demo --out $(OUT)

test: install $(VENV)/tests-installed
	$(VENV)/bin/python -m pytest

install: $(VENV)/installed

SOURCES := $(shell find src kernels parallel driver experiments -name '*.py') pyproject.toml setup.cfg

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	rm -rf build  # a file removed from the sources would live on in it
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check ".[mpich]"
	touch $@

$(VENV)/tests-installed: $(VENV)/installed
	rm -rf build
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check ".[mpich,test]"
	touch $@

clean:
	rm -rf $(VENV) build $(OUT) src/*.egg-info
