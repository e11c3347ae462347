# Cadastre: `make help` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What a fresh Debian needs besides a Swift toolchain. In the tests python3 runs the independent
# reader of the log format and a gRPC client that is not ours; gzip unpacks the sample of keys;
# libfaketime sets a node's clock.
PACKAGES := liblmdb-dev pkg-config python3 python3-venv gzip etcd-server libfaketime
PYTHON := .build/python
# What the tests with Go's gRPC need besides: some 100 MB to fetch.
GO_PACKAGES := golang-go golang-google-grpc-dev golang-google-protobuf-dev \
  golang-github-golang-protobuf-1-5-dev protobuf-compiler protoc-gen-go protoc-gen-go-grpc
GO := .build/go
GO_PROTOS = $(addprefix cadastre/v1/,types.proto reads.proto commands.proto watch.proto)
CORE := CADASTRE_CORE=1
# None may hang for ever. Those that compute go first and by themselves: on few cores they would keep
# those waiting that talk to other processes, and to which time matters.
TESTS := Tests/watchdog.py 1800 swift test --skip-build --experimental-maximum-parallelization-width
COMPUTING := '^(Catalog|StateMachines|Replay|Simulation|TestSupport)Tests\.'
SEEDS ?= 100
FIRST ?= 1
PROTOS = $(wildcard proto/cadastre/v1/*.proto) $(wildcard proto/grpc/*/*/*.proto)
ETCD_PROTOS = $(wildcard proto/etcd/*.proto)
SOURCES := Package.swift Sources Tests Benchmarks

.PHONY: help setup build release python go test test-core test-address test-thread simulate lint format demo cluster cluster-stop bench proto clean

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

python: setup $(PYTHON)/ready ## Install Python's gRPC for the tests, into .build/python.

$(PYTHON)/ready: Tests/ForeignClients/requirements.txt
	python3 -m venv $(PYTHON)
	$(PYTHON)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

go: $(GO)/client ## Build a client on Go's gRPC for the tests, into .build/go.

# Debian has the libraries as source in /usr/share/gocode.
$(GO)/client: Tests/ForeignClients/go/main.go $(addprefix proto/,$(GO_PROTOS))
	$(MAKE) setup PACKAGES="$(GO_PACKAGES)"
	rm -rf $(GO)/src && mkdir -p $(GO)/src
	protoc -I proto --go_out=$(GO)/src --go-grpc_out=$(GO)/src \
	  $(foreach file,$(GO_PROTOS),--go_opt=M$(file)=cadastre/v1 --go-grpc_opt=M$(file)=cadastre/v1) \
	  $(GO_PROTOS)
	GO111MODULE=off GOPATH=$(CURDIR)/$(GO):/usr/share/gocode GOCACHE=$(CURDIR)/$(GO)/cache \
	  go build -o $@ $<

test: build python go ## Run all tests: everything, then the index under the address and thread sanitizers.
	$(TESTS) 2 --filter $(COMPUTING)
	$(TESTS) 3 --skip $(COMPUTING)
	$(MAKE) test-address
	$(MAKE) test-thread

test-core: setup ## Run the core's tests alone: builds no network stack, takes seconds.
	$(CORE) swift test --scratch-path .build/core

test-address: setup ## Run the index's tests under AddressSanitizer.
	$(CORE) swift test --scratch-path .build/address --sanitize=address --disable-xctest \
	  --filter 'CatalogTests.RouteIndex|CatalogTests.RouteTable|CatalogTests.StoredT|CatalogTests.StoredNodeHostile'

test-thread: setup ## Run the index's concurrent tests under ThreadSanitizer.
	$(CORE) swift test --scratch-path .build/thread --sanitize=thread --disable-xctest \
	  --filter 'CatalogTests.RouteIndexConcurrency'

simulate: setup ## Run SEEDS worlds from seeds (100), the first from FIRST (1).
	$(CORE) swift build -c release --scratch-path .build/core-release --product simulate
	.build/core-release/release/simulate --seeds $(SEEDS) --first $(FIRST)

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
	rm -f Sources/CadastreProtocol/Generated/*.swift Sources/Etcd/Generated/*.swift
	bin=$$(swift build --show-bin-path) && protoc -I proto \
	  --plugin=protoc-gen-swift=$$bin/protoc-gen-swift \
	  --plugin=protoc-gen-grpc-swift=$$bin/protoc-gen-grpc-swift-2 \
	  --swift_out=Sources/CadastreProtocol/Generated \
	  --swift_opt=Visibility=Package,FileNaming=DropPath \
	  --grpc-swift_out=Sources/CadastreProtocol/Generated \
	  --grpc-swift_opt=Visibility=Package,FileNaming=DropPath \
	  $(PROTOS)
	rm Sources/CadastreProtocol/Generated/types.grpc.swift # It would hold services; types has none.
	bin=$$(swift build --show-bin-path) && protoc -I proto \
	  --plugin=protoc-gen-swift=$$bin/protoc-gen-swift \
	  --plugin=protoc-gen-grpc-swift=$$bin/protoc-gen-grpc-swift-2 \
	  --swift_out=Sources/Etcd/Generated \
	  --swift_opt=Visibility=Internal,FileNaming=DropPath \
	  --grpc-swift_out=Sources/Etcd/Generated \
	  --grpc-swift_opt=Visibility=Internal,FileNaming=DropPath,Server=false \
	  $(ETCD_PROTOS)
	rm Sources/Etcd/Generated/kv.grpc.swift Sources/Etcd/Generated/stored.grpc.swift
	@set -e; set=$$(mktemp); out=Sources/CadastreProtocol/Generated/ProtoFiles.swift; { \
	  echo '// Generated by `make proto`.'; \
	  echo; \
	  echo '/// The files of the protocol: of each a FileDescriptorSet of that file alone, in base 64.'; \
	  echo 'package enum ProtoFiles {'; \
	  echo '  package static let descriptors: [String] = ['; \
	  for file in $(PROTOS); do \
	    protoc -I proto --descriptor_set_out=$$set $$file; \
	    printf '    // %s\n    "%s",\n' $${file#proto/} "$$(base64 -w 0 $$set)"; \
	  done; \
	  echo '  ]'; \
	  echo '}'; \
	} > $$out; rm $$set

demo: release ## Tell the life of a catalog, with real keys and real processes; checks every claim.
	Tests/demo/demo.sh .build/release/cadastre

cluster: release ## Run three nodes on three etcds, in FOLDER or a temporary one, until Ctrl-C.
	@Tests/demo/cluster.sh start $(FOLDER)

cluster-stop: ## Stop the cluster that runs in FOLDER.
	@Tests/demo/cluster.sh stop $(FOLDER)

bench: ## Measure, side by side with Rust's BTreeMap, plain LMDB and etcd; writes Benchmarks/results.
	$(MAKE) setup PACKAGES="$(PACKAGES) etcd-client nghttp2-client curl"
	$(CORE) swift build -c release --scratch-path .build/core-release --product index-bench
	$(CORE) swift build -c release --scratch-path .build/core-release --product log-bench
	$(MAKE) release
	swift build -c release --product cluster-bench
	Benchmarks/run.py

clean: ## Remove what was built.
	rm -rf .build
