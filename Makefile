# Cadastre: `make help` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What a fresh Debian needs besides a Swift toolchain. python3 runs the independent reader of the
# log format in the tests, gzip unpacks the sample of keys.
PACKAGES := liblmdb-dev pkg-config python3 gzip
CORE := CADASTRE_CORE=1
SOURCES := Package.swift Sources Tests Benchmarks

.PHONY: help setup build release test test-core test-address test-thread lint format demo bench proto clean

help: ## Show what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing, through apt (with sudo when not root).
	@missing=""; \
	for package in $(PACKAGES); do \
	  dpkg -s $$package >/dev/null 2>&1 || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy $$missing; \
	fi
	@command -v swift >/dev/null || { echo "error: no Swift toolchain on the PATH: see https://www.swift.org/install"; exit 1; }

build: setup ## Build everything for debugging, tests too.
	swift build --build-tests

release: setup ## Build the optimised `cadastre`.
	swift build -c release --product cadastre

test: build ## Run all tests: everything, then the index under the address and thread sanitizers.
	swift test --skip-build
	$(MAKE) test-address
	$(MAKE) test-thread

test-core: setup ## Run the core's tests alone: builds no network stack, takes seconds.
	$(CORE) swift test --scratch-path .build/core

test-address: setup ## Run the index's tests under AddressSanitizer.
	$(CORE) swift test --scratch-path .build/address --sanitize=address --disable-xctest \
	  --filter 'CatalogTests.RouteIndex|CatalogTests.RouteTable'

test-thread: setup ## Run the index's concurrent tests under ThreadSanitizer.
	$(CORE) swift test --scratch-path .build/thread --sanitize=thread --disable-xctest \
	  --filter 'CatalogTests.RouteIndexConcurrency'

lint: ## Check the formatting and style of all Swift code.
	@git ls-files --cached --others --exclude-standard $(SOURCES) | grep '\.swift$$' \
	  | grep -v '/Generated/' | xargs swift format lint --strict
	@echo "lint: clean"

format: ## Bring all Swift code into the project's format.
	@git ls-files --cached --others --exclude-standard $(SOURCES) | grep '\.swift$$' \
	  | grep -v '/Generated/' | xargs swift format --in-place

proto: setup ## Generate the Swift code of the protocol anew (installs protoc); normal builds need none.
	@command -v protoc >/dev/null || { \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy protobuf-compiler; \
	}
	swift build --product protoc-gen-swift
	swift build --product protoc-gen-grpc-swift-2
	rm -f Sources/Node/Generated/*.swift
	bin=$$(swift build --show-bin-path) && protoc -I proto \
	  --plugin=protoc-gen-swift=$$bin/protoc-gen-swift \
	  --plugin=protoc-gen-grpc-swift=$$bin/protoc-gen-grpc-swift-2 \
	  --swift_out=Sources/Node/Generated \
	  --swift_opt=Visibility=Package,FileNaming=DropPath \
	  --grpc-swift_out=Sources/Node/Generated \
	  --grpc-swift_opt=Visibility=Package,FileNaming=DropPath \
	  proto/cadastre/v1/*.proto proto/grpc/health/v1/*.proto
	rm Sources/Node/Generated/types.grpc.swift # It would hold services; types has none.

demo: release ## Tell the life of a catalog, with real keys and real processes; checks every claim.
	Tests/demo/demo.sh .build/release/cadastre

bench: setup ## Measure, side by side with Rust's BTreeMap and plain LMDB; writes Benchmarks/results.
	$(CORE) swift build -c release --scratch-path .build/core-release --product index-bench
	$(CORE) swift build -c release --scratch-path .build/core-release --product log-bench
	Benchmarks/run.py

clean: ## Remove what was built.
	rm -rf .build
