# make detect PHOTO=me.jpg    find the faces of a photo; of more: PHOTO="a.jpg 'my own.jpg' folder"
# make test                   build, and run all tests
# make sanitize               the operators' tests under the sanitizers of the compiler
# make torture              damaged files, odd arguments, kills and the like: an hour, see TORTURE
# make test-cuda              all that a machine with a CUDA device can tell, without the network
# make docs                   the site of the documentation, in build/site
# make lint                   format, lint and type checks
# make format                 let the formatters have their way
# make weights-report         measure the bundled weights, into their card: FDDB=DIR PHOTOS=DIR
# make clean                  forget .venv and everything built
#
# All of them need nothing but Python 3.10+, a C++ compiler and make; the rest goes into .venv.

PYTHON ?= python3
# Any torch from 2.10 on; for example TORCH=torch==2.13.0 to choose one.
TORCH ?= torch>=2.10
# Build the CUDA kernels: AUTO (for the GPUs of this machine), ON (for all) or OFF.
CUDA ?= AUTO
WARNINGS_AS_ERRORS ?= ON
# More extras of pyproject.toml for the tests: EXTRAS="ray demo browser".
EXTRAS ?=
PHOTO ?= s3fd/assets/astronaut.jpg
OUT ?= detected

BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check
DETECT = $(BIN)/s3fd detect --out "$(OUT)" --
NATIVE := CMakeLists.txt pyproject.toml $(wildcard cmake/* csrc/* csrc/*/* csrc/*/*/*)
CPP := $(wildcard $(foreach suffix,h cpp cu cuh,$(foreach folder,csrc csrc/* csrc/*/* \
	tests/cuda_emulator tests/cuda_emulator/include tests/cuda_emulator/include/*/*, \
	$(folder)/*.$(suffix))))

.PHONY: detect test sanitize torture test-cuda docs weights-report lint format develop clean

# Names reach the shell as they were given, in the environment. One is a photo, blanks and all, if it
# is there; otherwise xargs takes the quotes off several.
override PHOTO := $(value PHOTO)
export PHOTO
detect: WARNINGS_AS_ERRORS = OFF
detect: .venv/s3fd.stamp
	@if [ -e "$$PHOTO" ]; then $(DETECT) "$$PHOTO"; else printf '%s' "$$PHOTO" | xargs $(DETECT); fi

test: .venv/test.stamp
	$(BIN)/python -m pytest $(PYTEST)

sanitize: .venv/test.stamp
	.ci/sanitize $(BIN)/python $(SANITIZE)

# TORTURE=--quick takes minutes; TORTURE="photos --case 7" is one case again.
torture: .venv/test.stamp
	$(BIN)/python tests/torture $(TORTURE)

test-cuda:
	tests/gpu/run --python "$$([ -x $(BIN)/python ] && echo $(BIN)/python || command -v $(PYTHON))"

# A line of the theme's makers about its future is no warning about these pages.
docs: .venv/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(MKDOCS)

lint: .venv/lint.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: .venv/lint.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

weights-report: .venv/test.stamp
	$(BIN)/python benchmarks/weights_report.py --plot docs/images/light-scores.png \
		--trials docs/images/light-trials.jpg \
		$(if $(FDDB),--fddb "$(FDDB)") $(if $(PHOTOS),--photos "$(PHOTOS)")

develop: .venv/test.stamp .venv/lint.stamp

# Built without isolation, beside the torch that will be used: with it, torch would be downloaded a
# second time for its headers. In a folder that stays, so that what has not changed is not compiled.
.venv/torch.stamp:
	$(PYTHON) -m venv .venv
	@echo "Installing $(TORCH) and the build tools into .venv"
	$(PIP) "$(TORCH)" numpy "scikit-build-core>=0.11" cmake ninja
	touch $@

.venv/s3fd.stamp: .venv/torch.stamp $(NATIVE)
	$(PIP) --verbose --no-build-isolation --editable . -C build-dir=build/develop \
		-C cmake.define.S3FD_CUDA=$(CUDA) -C cmake.define.S3FD_WARNINGS_AS_ERRORS=$(WARNINGS_AS_ERRORS)
	touch $@

# The tools of an extra of pyproject.toml, without another build of the package.
extra = $(PIP) --quiet $$($(BIN)/python -c "from importlib.metadata import requires; \
	print(*(r.split(';')[0].replace(' ', '') for r in requires('s3fd') if 'extra == \"$(1)\"' in r))")

.venv/test.stamp: .venv/s3fd.stamp
	$(call extra,test)
	$(foreach name,$(EXTRAS),$(call extra,$(name)) && ) true
	touch $@

.venv/lint.stamp: .venv/test.stamp
	$(call extra,lint)
	touch $@

.venv/docs.stamp: .venv/s3fd.stamp
	$(call extra,docs)
	touch $@

clean:
	rm -rf .venv build dist detected
