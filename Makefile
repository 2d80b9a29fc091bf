# Redoubt. `make` alone lists the targets. demo and test need only Go and make;
# every other target installs what it needs and says so in its line.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Tests and builds take nothing from the caller's AWS settings.
unexport AWS_CA_BUNDLE AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN

GO        ?= go
# The version that hello, --version and the build_info metric show.
LDFLAGS   := -s -w -X main.version=$(VERSION)
GOBUILD   := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
TESTFLAGS ?=
FUZZTIME  ?= 5s
SOAK      ?= 1000000
AGREEMENTS ?= 100000

GOLANGCI_VERSION := v2.15.0
GOFUMPT_VERSION  := v0.12.0
GOVULN_VERSION   := v1.9.0
ACTIONLINT_VERSION := v1.7.12
TOOLS := $(CURDIR)/bin/tools

##@ Start here

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Full local stack on free ports: seal, store and detokenize a record, then stop
	bin/local demo --bin bin

.PHONY: run
run: build ## The local stack on its usual ports, until Ctrl-C; prints curl lines to try
	bin/local run --bin bin

.PHONY: test
test: ## All tests that need only Go modules, with the race detector (allocation counts without it)
	$(GO) test -race -timeout 15m $(TESTFLAGS) ./...
	$(GO) test -race -timeout 15m -tags dev $(TESTFLAGS) ./enclave/... ./deploy/local/testkit
	$(GO) test -race -timeout 5m -tags dev -run 'TestAPlan|TestEveryRoute|TestEveryFeature|TestEachKeptSeed' $(TESTFLAGS) ./deploy/storm/simulate
	$(GO) test -run 'Alloc' $(TESTFLAGS) ./wire/... ./enclave/internal/... ./parent/internal/front ./api/internal/audit \
		./api/internal/cli
	GOEXPERIMENT=$(ERASING) $(GO) test $(TESTFLAGS) ./wire/kit/secret ./wire/kit/sealed ./enclave/internal/keys
	GOEXPERIMENT=$(ERASING) $(GO) test -tags dev -run 'Memory|Time' $(TESTFLAGS) ./enclave/enclaved

##@ Build

ARCHES    := amd64 arm64
GOARCH    ?= $(shell $(GO) env GOARCH)
comma     := ,

# The machine code of key agreement, which git ignores; package s2nbignum says what it is. Production enclaves have it;
# development builds have it where it is there.
ASM := wire/kit/sealed/internal/s2nbignum

.PHONY: asm
asm: $(ARCHES:%=$(ASM)/code_%.s) ## Machine code that makes P-384 three times as fast (cargo; preprocessor and binutils by apt)

$(ASM)/code_%.s: $(ASM)/make.sh $(ASM)/code.sha256 $(wildcard $(ASM)/mkasm/*.go)
	$(ASM)/make.sh $*

.PHONY: build
build: ## Development binaries in bin/ (the enclave with its software NSM; never ship that one)
	@mkdir -p bin
	$(GOBUILD) -o bin/ ./parent ./api ./deploy/local ./bench
	$(GOBUILD) -tags dev$(if $(wildcard $(ASM)/code_$(GOARCH).s),$(comma)s2nbignum) -o bin/enclave ./enclave

TIER      ?= enclave
OUT       ?= dist/linux/$(GOARCH)/$(notdir $(TIER))
# What ships.
TIERS     := enclave parent api deploy/canary
export SOURCE_DATE_EPOCH ?= 0
# The production enclave erases what libraries leave of keys on stacks and in freed memory (package runtime/secret):
# 2 % of parsing a key and 7 % of a P-384 derivation; wire/kit/sealed says what it reaches and what it does not.
ERASING := runtimesecret
# The one Go version whose binaries are the release's: go.mod names it, and any Go fetches it.
TOOLCHAIN := $(shell awk '$$1 == "toolchain" { print $$2 }' go.mod)

.PHONY: dist-binary
dist-binary: $(if $(filter enclave,$(TIER)),$(ASM)/code_$(GOARCH).s) ## One production binary: make dist-binary TIER=enclave GOARCH=arm64 (reproducible)
	$(if $(filter enclave,$(TIER)),GOEXPERIMENT=$(ERASING)) GOTOOLCHAIN=$(TOOLCHAIN) GOOS=linux GOARCH=$(GOARCH) $(GOBUILD) \
		$(if $(filter enclave,$(TIER)),-tags s2nbignum) -o $(OUT) ./$(TIER)

.PHONY: dist
dist: ## All production binaries for both architectures in dist/linux/ARCH
	@for arch in $(ARCHES); do for tier in $(TIERS); do \
		$(MAKE) --no-print-directory dist-binary TIER=$$tier GOARCH=$$arch OUT=dist/linux/$$arch/$${tier##*/}; done; done

.PHONY: image
image: ## Container images of parent and enclave from dist/, with buildah (installed by apt when absent)
	deploy/images/build.sh

.PHONY: eif
eif: ## The enclave image and its PCRs: make eif BLOBS=/usr/share/nitro_enclaves/blobs CONFIG=enclave.yaml [ARCH=arm64]
	deploy/eif/make-eif.sh

.PHONY: kernel
kernel: ## Our own kernel for x86_64 enclave images, in dist/kernel/amd64 (root on Debian 12; reproducible, 5 min)
	deploy/eif/kernel/build.sh
	$(GO) test -count=1 -run 'TestOurKernel' ./deploy/eif/internal/kernel

.PHONY: release
release: ## dist/, images, checksums, bill of materials; with BLOBS_amd64= and BLOBS_arm64= (kernels) enclave images too
	deploy/images/release.sh

.PHONY: reproduce
reproduce: ## Make the release twice, in two folders at two times, and compare every digest
	deploy/images/reproduce.sh

##@ Check

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/gofumpt $(TOOLS)/actionlint ## Linters (built from their Go modules on first use)
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofumpt would change:"; echo "$$out"; exit 1; }
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/golangci-lint run --build-tags dev,operate ./enclave/... ./deploy/local/... ./deploy/storm/... ./deploy/cloudformation/...
	$(TOOLS)/golangci-lint run --build-tags guest ./deploy/eif/guest/... ./enclave/internal/nsm ./enclave/internal/pid1 ./wire/transport
	$(TOOLS)/golangci-lint run --build-tags attack,differential ./deploy/storm/...
	$(TOOLS)/golangci-lint run --build-tags screens ./deploy/screenshots/...
	$(TOOLS)/actionlint
	GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 $(GO) vet -tags dev ./deploy/storm/simulate/guest
	$(GO) mod tidy -diff
	.ci/names
	.ci/mutants --check

MUTANTS ?=

.PHONY: mutants
mutants: ## Take each defence that SECURITY.md names out, one at a time: a test must notice (20 min; MUTANTS="25 nonce" for some)
	.ci/mutants $(MUTANTS)

# The packages whose flags and file keys deploy/REFERENCE.md lists, and those whose metrics deploy/METRICS.md lists; their
# tests compare the pages with them.
DOCUMENTED := ./parent/internal/config ./enclave/internal/config ./api/internal/cli ./api/internal/auth \
	./api/internal/schema ./deploy/canary ./deploy/eif/internal/command ./deploy/local ./bench/internal/cli \
	./parent/internal/metrics ./api/internal/httpapi ./api/internal/emf ./deploy/canary/internal/probe

.PHONY: reference
reference: ## Write deploy/REFERENCE.md (flags, variables, file keys) and deploy/METRICS.md from the code; make test compares
	$(GO) test -count=1 -p 1 -run 'TestTheReference|TestTheDocumentLists' $(DOCUMENTED) -write-reference

.PHONY: generate
generate: ## Write all that is made from code: that page, METRICS.md, dashboards, wire's numbers, features and vectors (python3)
	.ci/generate

.PHONY: bench
bench: build ## Short set of measurements (under 3 minutes), kept in deploy/measurements/COMMIT.jsonl; draws deploy/measurements/report.html
	bench/short.sh

.PHONY: test-domain
test-domain: ## The vectors of domain keys and sealed requests, by other libraries (Python's cryptography, by pip into ~/.cache)
	$$(.ci/venv domain-50.0.2 cryptography==50.0.2)/bin/python wire/kit/domain/testdata/check.py
	$$(.ci/venv domain-50.0.2 cryptography==50.0.2)/bin/python wire/kit/envelope/testdata/check_envelope.py

.PHONY: figures
figures: bench-peers-build ## Measure all, draw the pictures and write the figures of README.md and bench/README.md (quiet machine, clean tree; 10 min)
	[ -z "$$(git status --porcelain --untracked-files=no)" ] || { echo "commit first: figures are of a commit"; exit 1; }
	ALL=1 bench/short.sh
	UPDATE=1 deploy/screenshots/test-screens.sh
	bin/bench figures deploy/measurements/$$(git rev-parse --short=12 HEAD).jsonl README.md bench/README.md \
		--pictured deploy/screenshots/report.run --drawn

# Bench, built as production enclaves are, and the program of other libraries: rebuilt when their inputs changed.
PEERS := bin/peers/release/peers
# Options of bench: --rounds and --turn of each comparison.
PEERS_TURNS ?=

.PHONY: bench-peers
bench-peers: bench-peers-build ## Our cryptography beside AWS-LC's and OpenSSL's, in turns; JSON in bin/peers.jsonl (cargo; C compiler and OpenSSL by apt)
	bin/bench --json peers --program $(PEERS) --production bin/production/bench $(PEERS_TURNS) > bin/peers.jsonl

.PHONY: bench-peers-build
bench-peers-build: asm build $(PEERS)
	GOEXPERIMENT=$(ERASING) $(GOBUILD) -tags s2nbignum -o bin/production/ ./bench

$(PEERS): bench/peers/Cargo.toml bench/peers/Cargo.lock $(wildcard bench/peers/src/*.rs)
	bench/peers/build.sh $(CURDIR)/bin/peers

.PHONY: soak
soak: build ## A million requests through the local stack (SOAK=n); FOR=2h for as long with rolling faults, drawn in REPORT
	$(if $(FOR),bin/bench soak --for $(FOR) --in-flight 8 $(if $(REPORT),--report $(REPORT)),bin/bench soak --requests $(SOAK))

ATTACKS ?=

.PHONY: test-attack
test-attack: build ## Hostile peers on each protocol beside honest callers (ATTACKTIME=30s for each attack; SEED=n replays, ATTACKS=name for some)
	ATTACK_BIN=$(CURDIR)/bin $(GO) test -tags attack -count=1 -timeout 60m -run '$(if $(ATTACKS),Attack($(ATTACKS))$$,.)' $(TESTFLAGS) ./deploy/storm/attack

# The packages of a tier are covered by all tests of the tier.
.PHONY: test-failures
test-failures: ## Failures of enclave, parent and API that no test reaches, against the list with reasons (10 min)
	@mkdir -p .local/cover
	for tier in enclave parent api; do $(GO) test -skip MemoryPerKey -covermode=atomic -coverpkg=./$$tier/... \
		-coverprofile=.local/cover/$$tier.out ./$$tier/...; done
	$(GO) test -tags dev -covermode=atomic -coverpkg=./enclave/...,./parent/...,./api/... \
		-coverprofile=.local/cover/dev.out ./enclave/internal/... ./enclave/enclaved ./deploy/local/testkit
	$(GO) run ./deploy/storm/failures .local/cover/*.out

# What versions have to agree on is in this table of the wire: the version of before is the one before its newest change.
OLD ?= $(shell git log -1 --format=%H^ -- wire/testdata/numbers.txt 2>/dev/null)

.PHONY: test-differential
test-differential: build ## Equal answers of encodings, suites, batches, versions (OLD=commit), server, Lambda, stores (SEEDS=n for more, SEED=n replays)
	deploy/storm/differential/test.sh '$(OLD)' $(TESTFLAGS)

# The packages that compare secrets, or fail in ways that must not be told apart.
TIMED := ./wire/kit/test/timing ./wire/kit/sealed ./parent/internal/front ./api/internal/auth ./api/internal/audit \
	./enclave/internal/cms ./enclave/internal/kms
TIMING ?= 4

.PHONY: bench-timing
bench-timing: ## Statistics (dudect) of what must take the same time whatever the secret; planted leaks must show (TIMING=20 for longer)
	REDOUBT_TIMING=$(TIMING) $(GO) test -count=1 -p 1 -timeout 60m -run 'TheTimeOf|AComparison' -v $(TIMED)

SEEDS ?= 100

.PHONY: simulate
simulate: ## The whole path under faults, exactly repeatable: SEEDS=100, FROM=1, WITHIN=30s; a finding is shrunk (compiles for a minute)
	$(GO) run ./deploy/storm/simulate/host run --kept deploy/storm/simulate/testdata/seeds.txt --seeds $(SEEDS) \
		$(if $(FROM),--from $(FROM)) $(if $(WITHIN),--within $(WITHIN))

.PHONY: simulate-mutants
simulate-mutants: ## Plant bugs, one at a time: make simulate must find each within 1,000 seeds (20 min; MUTANTS="purge audit" for some)
	.ci/mutants --simulations $(MUTANTS)

.PHONY: attack-mutants
attack-mutants: ## Plant bugs in the programs, one at a time: make test-attack must find each (15 min; MUTANTS="leak lock" for some)
	.ci/mutants --attacks $(MUTANTS)

.PHONY: simulate-native
simulate-native: ## One seed of each workload on real sockets and the embedded store, with the race detector
	$(GO) test -race -count=1 -timeout 20m -tags dev $(TESTFLAGS) ./deploy/storm/simulate

.PHONY: test-enclave
test-enclave: ## The production enclave in QEMU guests: real vsock, /dev/nsm, EIF (root on Debian; builds QEMU once)
	deploy/eif/testbed/test-enclave.sh

.PHONY: test-kernel
test-kernel: ## The enclave on another x86_64 kernel, after make test-enclave: make test-kernel BLOBS=FOLDER
	KERNEL_BLOBS=$(abspath $(or $(BLOBS),$(error give the folder of the kernel: make test-kernel BLOBS=FOLDER))) $(GO) test -tags guest -count=1 -timeout 20m -v \
		-run 'TestImageBoots|TestAnImageOfBlobs' ./deploy/eif/guest

# What user-mode emulation does not show as a kernel does: locked and private memory, resource limits, faults and the
# process's own pages (the emulator's are seen), and counts of allocations beside the emulator's timing. One test builds a
# program for the machine it runs on, and one starts itself again, which the kernel refuses without the emulator. (So does
# a day in simulated time, to be alone: it is given a process to itself.)
NOT_EMULATED := TestTooLowALimit|TestHardenProcess|TestReadingADestroyedBuffer|TestMemoryIsLocked|TestKeyBytesAreGone|TestIMDSv2Against|TestHotRequestAllocates|TestMemoryIsFlat|TestASinkThatIsOn|TestPlaintextIsGone|TestCredentialsAreHeldOnce|TestNoCallIsTooCheap|TestNoResultIsTooCheap|FuzzEvalTime|TestCompilingIsLinear|TestProgramsThatTheParentStarts|TestAProgramDiesWithTheTestsProcess

.PHONY: test-arm64
test-arm64: ## Everything checked for arm64; wire, enclave and parent tested under qemu-user (by apt when absent)
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./...
	command -v qemu-aarch64-static >/dev/null || .ci/apt qemu-user-static
	REDOUBT_TEST_ALONE=1 CGO_ENABLED=0 GOARCH=arm64 $(GO) test -exec qemu-aarch64-static -run '^TestADayOfRotation$$' $(TESTFLAGS) \
		./enclave/internal/server ./enclave/internal/kms
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -exec qemu-aarch64-static -skip '$(NOT_EMULATED)|^TestADayOfRotation$$' $(TESTFLAGS) \
		$$($(GO) list ./wire/... ./enclave/... ./parent/internal/... ./parent/parentd | grep -v wire/kit/test)
	RD_TEST_EMULATOR=qemu-aarch64-static CGO_ENABLED=0 GOARCH=arm64 $(GO) test -exec qemu-aarch64-static \
		-skip '$(NOT_EMULATED)' $(TESTFLAGS) ./parent

# EveryBoundAtOnce fills a queue that the worker empties, and is for builds whose worker is slow enough.
.PHONY: test-asm
test-asm: asm ## Key agreement with its machine code: 100,000 agreements, both forms, RFC 9180, Wycheproof, and for arm64 under qemu-user
	$(GO) test $(TESTFLAGS) ./$(ASM)/mkasm
	$(GO) test -tags s2nbignum -timeout 30m $(TESTFLAGS) ./$(ASM) -agreements $(AGREEMENTS)
	$(GO) test -race -tags s2nbignum -run 'Stack' $(TESTFLAGS) ./$(ASM)
	GOEXPERIMENT=$(ERASING) $(GO) test -tags s2nbignum $(TESTFLAGS) ./wire/kit/sealed ./enclave/internal/keys
	GOEXPERIMENT=$(ERASING) $(GO) test -tags dev,s2nbignum -run 'Memory|Time' -skip EveryBoundAtOnce $(TESTFLAGS) ./enclave/enclaved
	command -v qemu-aarch64-static >/dev/null || .ci/apt qemu-user-static
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -exec qemu-aarch64-static -tags s2nbignum $(TESTFLAGS) ./$(ASM)
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -exec qemu-aarch64-static -tags s2nbignum -skip '$(NOT_EMULATED)' $(TESTFLAGS) ./wire/kit/sealed

.PHONY: test-images
test-images: ## Container images from production binaries, built and run (buildah, installed by apt when absent)
	deploy/images/test.sh

.PHONY: test-dynamodb
test-dynamodb: ## The store's conformance suite against moto's DynamoDB (Python; kept in a virtual environment)
	api/internal/store/dynamo/test-dynamodb.sh $(TESTFLAGS)

.PHONY: test-contract
test-contract: ## Every answer of the API against its OpenAPI document, and schemathesis (Python; virtual environment)
	api/internal/httpapi/test-contract.sh

.PHONY: test-lifecycle
test-lifecycle: ## The life of a vault under a domain, in all orders of all pairs of jobs (an hour; CI explores some)
	LIFECYCLE=all go test -count=1 -timeout 3h -v -run TestTheLifeOfAVaultIsExplored ./api/internal/vault

.PHONY: test-docs
test-docs: ## The API's documentation page in headless Chromium (installed by apt when absent)
	api/internal/httpapi/test-docs.sh

.PHONY: test-screens
test-screens: ## The status page and bench's report in headless Chromium (installed by apt when absent)
	deploy/screenshots/test-screens.sh $(TESTFLAGS)

.PHONY: screenshots
screenshots: ## The same, keeping the pictures it takes in deploy/screenshots
	UPDATE=1 deploy/screenshots/test-screens.sh

.PHONY: test-operate
test-operate: ## Templates, alerts, metrics, dashboards; restarts behind haproxy under load (by apt; linters by pip and npm)
	deploy/test-operate.sh

.PHONY: test-walk
test-walk: ## The commands of deploy/README.md, from an empty account to a decrypt (moto, AWS CLI by pip; tools by apt)
	deploy/cloudformation/test-walk.sh $(TESTFLAGS)

.PHONY: fuzz
fuzz: ## Each fuzzer for FUZZTIME (default 5s)
	.ci/fuzz $(FUZZTIME)

.PHONY: deps
deps: ## Each direct dependency: its version, its newest release if that is another, and what it is for
	@GO='$(GO)' .ci/deps

.PHONY: vuln
vuln: ## Known vulnerabilities in what we link (asks the Go vulnerability database: needs the internet)
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULN_VERSION)
	$(TOOLS)/govulncheck ./...

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(TOOLS)/actionlint:
	GOBIN=$(TOOLS) $(GO) install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

$(TOOLS)/gofumpt:
	GOBIN=$(TOOLS) $(GO) install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)

##@ Tidy up

.PHONY: clean
clean: ## Remove bin/, dist/ and the local stack's state
	rm -rf bin dist .local
