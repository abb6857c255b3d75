# Everything runs in a virtual environment of its own; MPI comes from PyPI.
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-output
RANKS ?= 2
WORKERS ?= 2
MARKED ?= many_ranks or not many_ranks
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(VENV)/bin/python -m pytest
# a file is run by one worker, so that runs of several ranks follow each other; the longest files come first
BY_FILE := --dist loadfile --no-loadscope-reorder
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/matplotlib

# what was not installed in the end is tried again
.DELETE_ON_ERROR:
.PHONY: demo test test-ranks test-slow docs install clean

demo: install
	OMP_NUM_THREADS=1 $(VENV)/bin/mpiexec -n $(RANKS) $(VENV)/bin/ptyxrf demo --out $(OUT)

# Three lanes. The quick one: minutes, with tests/ranks on 2 and 3 ranks.
test: install $(VENV)/tests-installed
	$(PYTEST) -n $(WORKERS) $(BY_FILE)

# tests/ranks on 1 to 5 ranks; they follow each other, because each run takes all cores
test-ranks: install $(VENV)/tests-installed
	$(PYTEST) tests/test_ranks.py -k test_on_ranks -m "$(MARKED)"

# Hosts, faults and drills alone, because they are about time; then experiments, fuzzing and the rest. Jobs of SLURM
# sleep most of the time: they have a worker beside those that fill the cores.
ALONE := $(addprefix tests/cluster/,test_faults.py test_hosts.py test_kill_and_resume.py)
test-slow: install $(VENV)/tests-installed
	$(PYTEST) -m slow $(ALONE)
	$(PYTEST) -m slow -n $$(($(WORKERS) + 1)) $(BY_FILE) $(addprefix --ignore=,$(ALONE))

# the site in docs/_build/html: warnings are errors, tutorials run, questions find their pages
docs: install $(VENV)/docs-installed
	rm -rf docs/reference/generated
	OMP_NUM_THREADS=1 $(VENV)/bin/sphinx-build -q -W --keep-going -j 2 -b html docs docs/_build/html
	$(VENV)/bin/python docs/check_questions.py docs/_build/html docs/questions.md

install: $(VENV)/installed

SOURCES := $(shell find src kernels parallel driver experiments -name '*.py') pyproject.toml setup.cfg

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	rm -rf build  # a file removed from the sources would live on in it
	$(PIP) ".[mpich]"
	touch $@

$(VENV)/%-installed: $(VENV)/bin/python pyproject.toml
	$(VENV)/bin/python .ci/requirements.py $(EXTRA) >$@
	$(PIP) --requirement $@

$(VENV)/tests-installed: EXTRA := test
$(VENV)/docs-installed: EXTRA := docs

clean:
	rm -rf $(VENV) build $(OUT) src/*.egg-info docs/_build docs/gallery docs/reference/generated
