# Everything a developer does here. Plain `make` lists the targets.

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -X ottla/cli.version=$(VERSION)
FUZZTIME ?= 10s

# The race detector costs five to ten times the time, so it runs where goroutines
# meet; the end-to-end tests drive a binary of their own. It needs cgo. What go vet says
# is the same without it, and make lint and make test ask it.
RACE_PACKAGES ?= ./actors/... ./certs/... ./cli/... ./client/... ./http/... ./kafka/... ./link/... ./logfile/... ./mirror/... ./protocol/...

# Pinned, so that every machine sees the same findings. Built from source by the
# Go toolchain, into a file that carries the version.
LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)

.DEFAULT_GOAL := help
.PHONY: help build before console console-check console-tail screenshots run test poison race lint imports fmt fuzz clients demo run-fleet demo-fleet kafka-compat kafka-oracle contract monitoring security chaos chaos-kafka chaos-fleet chaos-mixed chaos-sum sim mutate mutate-chaos \
	bench bench-smoke bench-scale bench-compare bench-peers bench-kcat micro install release packaging-tools packages image chart rename-module roundtrip clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/ottla
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/ottla .

console: ## Bundle the console's sources, console/src, into what the server embeds
	cd console/build && $(GO) run .

console-check: ## Check that the console's files are what its sources give; its types, too, where npx is
	cd console/build && $(GO) test ./...
	@tsc="npx -y -p typescript@5.9.3 tsc"; if $$tsc --version >/dev/null 2>&1; then $$tsc -p console; else echo "no npx, or no typescript for it: types are not checked"; fi

TAIL ?= 30s

console-tail: build ## Tail 5,000 records a second in Chromium for TAIL (30s): the page stays responsive, its memory flat
	OTTLA_E2E_BINARY=$(CURDIR)/bin/ottla OTTLA_CONSOLE_TAIL=$(TAIL) $(GO) test -count=1 -v -run '^TestConsoleTailsThousands' ./e2e

WARM_UP ?= 150s

screenshots: build ## Make the pictures of docs/console in Chromium, after WARM_UP (150s) of traffic; nicer with fonts-inter
	@mkdir -p docs/console
	OTTLA_E2E_BINARY=$(CURDIR)/bin/ottla OTTLA_SCREENSHOTS=$(CURDIR)/docs/console OTTLA_SCREENSHOTS_WARM_UP=$(WARM_UP) $(GO) test -count=1 -timeout 20m -run '^TestScreenshots$$' ./e2e

# The last commit that was handed out whose programs go up to the level before the newest
# one. Whoever raises level.Newest sets it.
REF ?= 72de8c0a319075dfd9b1e46525f8fff27c3f9f5d
BEFORE ?= bin/ottla-before

before: ## Build the program of commit REF, by default of the level before, from git as BEFORE (bin/ottla-before)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git archive $(REF) | tar -x -C "$$dir" && out=$(abspath $(BEFORE)) && cd "$$dir" && \
		$(GO) build -trimpath -ldflags "-X ottla/cli.version=$(REF)" -o "$$out" .

run: build ## Build and serve on 127.0.0.1:8080, data in ./data
	./bin/ottla serve

test: ## Run all tests, the end-to-end tests included
	$(GO) test -timeout 30m ./...

poison: ## Run the front end's and the end-to-end tests with request buffers that are overwritten when they are given back
	$(GO) build -tags poison -o bin/ottla-poison .
	$(GO) test -tags poison -timeout 30m ./http/... ./logfile/...
	OTTLA_E2E_BINARY=$(CURDIR)/bin/ottla-poison $(GO) test -count=1 -timeout 30m ./e2e/...

race: ## Run the packages where goroutines meet under the race detector
	CGO_ENABLED=1 $(GO) test -race -short -vet=off -timeout 30m $(RACE_PACKAGES)

lint: $(LINT) ## Run gofmt, go vet and the linters of .golangci.yml
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(LINT) run

imports: ## Draw the import graph in docs/architecture.md anew
	$(GO) test -run '^TestImportGraphIsDrawn$$' . -update

fmt: $(LINT) ## Format all Go files as lint wants them
	$(LINT) fmt

$(LINT):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin/tmp $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/tmp/golangci-lint $@ && rmdir bin/tmp

fuzz: ## Run every fuzz test for FUZZTIME (10s each)
	@set -e; for pkg in $$($(GO) list ./...); do \
		names=$$($(GO) test -list '^Fuzz' $$pkg) || { echo "$$names"; exit 1; }; \
		for name in $$(echo "$$names" | grep '^Fuzz' || true); do \
			echo "== $$pkg $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

demo: build ## Produce, consume, kill -9, start again, read again, grep the log
	$(GO) run ./demo -binary bin/ottla

clients: build ## Test the clients for Python and TypeScript against the broker; needs python3 with venv, and npm
	./clients/run bin/ottla

run-fleet: build ## Serve three nodes of one fleet on 127.0.0.1:8080, 8081 and 8082, data in ./data-fleet, until Ctrl-C
	$(GO) run ./demo -binary bin/ottla -serve-fleet data-fleet

demo-fleet: build ## Produce on three nodes, lose the leader's process and disk, read everything through the others
	$(GO) run ./demo -binary bin/ottla -fleet

kafka-compat: build ## Hold the server against Kafka's own clients: a matrix of seven, Kafka's tools, tests of franz-go, librdkafka and sarama (SHORT=1: the matrix)
	SHORT=$(SHORT) ./kafka/compat/run bin/ottla

kafka-oracle: ## Run the tests that kafka-compat leaves out against Kafka itself, to tell the suites' faults from the server's (ALL=1: all tests)
	ALL=$(ALL) ./kafka/compat/oracle

SECONDS_EACH ?= 30

contract: build ## Hold a running server against /openapi.json: generated clients, and Schemathesis, twice SECONDS_EACH (30)
	SECONDS_EACH=$(SECONDS_EACH) ./e2e/contract/run bin/ottla

CHAOS_CAMPAIGNS ?= kill power pause full sync damage dirs outdated brokers storm wide mix
CHAOS_FLEET     ?= nodes split netns roll disk1 clock old backup found
CHAOS_NODES     ?= 3
CHAOS_ROUNDS    ?= 30
CHAOS_RUNS      ?= 1
CHAOS_RESULTS   ?= chaos/results.jsonl
CHAOS_FLAGS     ?=

# Sliceable: each run appends its result, and chaos-sum adds them up. All of them
# run, whatever the first ones find.
chaos: build ## Harm the broker under load in CHAOS_RUNS x CHAOS_ROUNDS rounds of each of CHAOS_CAMPAIGNS; some need root
	$(GO) build -o bin/chaos ./chaos
	@failed=; for c in $(CHAOS_CAMPAIGNS); do for run in $$(seq $(CHAOS_RUNS)); do \
		./bin/chaos -binary bin/ottla -campaign $$c -rounds $(CHAOS_ROUNDS) -results $(CHAOS_RESULTS) $(CHAOS_FLAGS) || failed="$$failed $$c"; \
	done; done; [ -z "$$failed" ] || { echo "violated:$$failed"; exit 1; }

KAFKA_CAMPAIGNS ?= mix brokers storm

chaos-kafka: ## Harm the broker under load of Kafka clients beside those of HTTP: CHAOS_RUNS x CHAOS_ROUNDS rounds of each of KAFKA_CAMPAIGNS
	$(MAKE) chaos CHAOS_CAMPAIGNS="$(KAFKA_CAMPAIGNS)" CHAOS_FLAGS="-kafka $(CHAOS_FLAGS)"

chaos-fleet: ## Harm a fleet of CHAOS_NODES (3) processes in CHAOS_RUNS x CHAOS_ROUNDS rounds of each of CHAOS_FLEET; some need root
	@$(MAKE) --no-print-directory chaos CHAOS_CAMPAIGNS="$(CHAOS_FLEET)" CHAOS_FLAGS="-nodes $(CHAOS_NODES) $(CHAOS_FLAGS)"

chaos-mixed: before ## Upgrade a fleet and go back, from and to the program of commit REF, in CHAOS_RUNS x CHAOS_ROUNDS rounds
	@$(MAKE) --no-print-directory chaos CHAOS_CAMPAIGNS=mixed CHAOS_FLAGS="-before $(BEFORE) -nodes $(CHAOS_NODES) $(CHAOS_FLAGS)"

chaos-sum: ## Add up the results of all runs of make chaos, as a table
	@$(GO) run ./chaos -sum $(CHAOS_RESULTS)

SIM_SEEDS ?= 10000

sim: ## Simulate SIM_SEEDS (10000) histories of replicas with faults, and of nodes that are told lies of each other
	OTTLA_SIM_SEEDS=$(SIM_SEEDS) $(GO) test -count=1 -timeout 60m -run Simulation ./actors/replica ./actors/election

mutate: ## Build known bugs in, one at a time, and see that the tests notice each
	$(GO) run ./mutate/campaign

mutate-chaos: ## Run the broker with each known bug under chaos campaigns, and see that it is noticed; some need root
	$(GO) run ./mutate/campaign -chaos

BENCH_FLAGS ?= --connections 1,64,256 --runs 5 --duration 10s --out bench/results/latest

bench: build ## Measure all workloads with BENCH_FLAGS; table, JSON and picture
	./bin/ottla bench $(BENCH_FLAGS)

# A ratio of two rates of the same minute: a limit for either rate would say more
# about the machine than about the code.
bench-smoke: build ## Check in under a minute that single events keep 0.30 of a bare echo server's rate
	./bin/ottla bench ratio produce-single --min 0.30 --connections 256 --runs 3 --duration 5s --warmup 2s

SCALE_FLAGS ?= --runs 3 --duration 5s --out bench/results/scale

bench-scale: build ## Measure large logs, many polls, idle partitions, many replicas, failover against their targets; 11 GB of disk
	./bin/ottla bench scale $(SCALE_FLAGS)

COMPARE_FLAGS ?= produce-single --connections 64 --runs 5 --duration 5s --warmup 1s

bench-compare: REF = HEAD
bench-compare: build ## Compare the working tree with commit REF (HEAD), workloads in COMPARE_FLAGS
	@set -e; tree=$$(mktemp -d); trap 'git worktree remove --force "$$tree" 2>/dev/null || rm -rf "$$tree"; git worktree prune' EXIT; \
	git worktree add --quiet --detach "$$tree" $(REF); \
	(cd "$$tree" && $(GO) build -trimpath -o bin/ottla .); \
	echo "base $$(git rev-parse --short $(REF)), head $(VERSION)"; \
	./bin/ottla bench compare --base "$$tree/bin/ottla" $(COMPARE_FLAGS)

PEERS_FLAGS ?= -runs 3 -duration 10s -out bench/results/peers

bench-peers: build ## Measure peers side by side: NATS JetStream; Kafka (Java, Maven), Durable Streams and Ursula (Rust), Redis with webdis, etcd where they can be installed
	@mkdir -p bench/results
	@missing=; for p in redis-server webdis etcd; do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	missing=$$(echo "$$missing" | sed 's/etcd/etcd-server/'); \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
		as=; [ "$$(id -u)" = 0 ] || as=sudo; \
		$$as apt-get update -q && $$as apt-get install -q -y --no-install-recommends $$missing || echo "without$$missing"; \
	fi
	@if command -v cargo >/dev/null; then \
		cargo install -q --root bin/crates durable-streams --version 0.1.5 && cargo install -q --root bin/crates ursula --version 0.11.5 || echo "without Durable Streams or Ursula"; \
	fi
	@if command -v java >/dev/null && command -v mvn >/dev/null && [ ! -d bin/kafka-java ]; then \
		mvn -q -B -f kafka/compat/java/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/bin/kafka-java || echo "without Kafka"; \
	fi
	cd bench/peers && $(GO) build -o ../../bin/peers .
	PATH="$(CURDIR)/bin/crates/bin:$$PATH" ./bin/peers -ottla bin/ottla $(PEERS_FLAGS)

bench-kcat: build ## Measure Kafka's protocol with kcat, which is librdkafka, beside Kafka where its jars are (bin/kafka-java, as of bench-peers)
	./bench/kcat bin/ottla bin/kafka-java

monitoring: build ## Check the alert rules and the metrics' names with promtool, where it is installed
	./e2e/contract/promtool bin/ottla

security: ## Look for known weaknesses of what is depended on with govulncheck, where it can run
	GO=$(GO) ./.ci/security

MEGABYTES ?= 1000

roundtrip: build ## Send MEGABYTES (1000) of lines in and out by the command line: SHA-256 equal, and the rates
	./bench/roundtrip bin/ottla $(MEGABYTES)

MICRO ?= .

micro: ## Run the Go micro-benchmarks that match MICRO (.), six times each, as benchstat wants them
	$(GO) test -run '^$$' -bench '$(MICRO)' -count 6 -benchmem ./...

PREFIX   ?= /usr/local
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

install: build ## Copy bin/ottla to PREFIX/bin (/usr/local/bin)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 bin/ottla "$(DESTDIR)$(PREFIX)/bin/ottla"

# Where a release can be had from; the Homebrew formula names it.
RELEASE_URL ?= https://localhost/ottla

# The same bytes of the same commit on any machine: no cgo, no paths, and no state of
# the working tree but VERSION.
release: ## Build static binaries for PLATFORMS into dist/, with SHA256SUMS and a Homebrew formula; the same bytes each time
	rm -rf dist && mkdir -p dist
	@printf '%s\n' $(PLATFORMS) | tr / ' ' | xargs -P 2 -n 2 sh -ec '\
		out=dist/ottla-$(VERSION)-$$0-$$1; echo "== $$out"; \
		CGO_ENABLED=0 GOOS=$$0 GOARCH=$$1 GOFLAGS= $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= $(LDFLAGS)" -o $$out .'
	cd dist && { sha256sum ottla-* 2>/dev/null || shasum -a 256 ottla-*; } > SHA256SUMS
	@sed -e 's|RELEASE_URL|$(RELEASE_URL)|g; s|RELEASE_VERSION|$(VERSION)|g' packaging/homebrew/ottla.rb > dist/ottla.rb
	@for p in $(PLATFORMS); do \
		sum=$$(grep -- "-$${p%/*}-$${p#*/}$$" dist/SHA256SUMS | cut -d ' ' -f 1); \
		sed -e "s|SUM_$${p%/*}_$${p#*/}|$$sum|" dist/ottla.rb > dist/formula && mv dist/formula dist/ottla.rb; \
	done

# Pinned like the linter, and built from source.
NFPM_VERSION := v2.45.2
NFPM         := bin/nfpm-$(NFPM_VERSION)
HELM_VERSION := v3.22.0
HELM         := bin/helm-$(HELM_VERSION)
PACKAGE_ARCH ?= $(shell $(GO) env GOARCH)

$(NFPM):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin/tmp $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv bin/tmp/nfpm $@ && rmdir bin/tmp

$(HELM):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin/tmp $(GO) install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
	mv bin/tmp/helm $@ && rmdir bin/tmp

packaging-tools: $(NFPM) $(HELM) ## Build nfpm and helm, for make packages and make chart

packages: $(NFPM) build ## Make a .deb and an .rpm for PACKAGE_ARCH in dist/
	@mkdir -p dist
	CGO_ENABLED=0 GOOS=linux GOARCH=$(PACKAGE_ARCH) GOFLAGS= $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= $(LDFLAGS)" -o dist/package-$(PACKAGE_ARCH) .
	sed 's|/usr/local/bin|/usr/bin|' packaging/ottla.service > dist/ottla.service
	./bin/ottla completion bash > dist/completion.bash
	@set -e; for kind in deb rpm; do \
		ARCH=$(PACKAGE_ARCH) VERSION=$(PACKAGE_VERSION) BINARY=dist/package-$(PACKAGE_ARCH) $(NFPM) package --config packaging/nfpm.yaml --packager $$kind --target dist/; \
	done

# Packages have versions that begin with a digit.
PACKAGE_VERSION ?= $(shell echo "$(VERSION)" | grep -Eo '^v?[0-9]+\.[0-9]+.*' | sed 's/^v//' | grep . || echo "0.0.0~$(VERSION)")

ENGINE ?= $(firstword $(foreach e,podman buildah docker,$(if $(shell command -v $(e)),$(e))))
IMAGE  ?= ottla

image: ## Build the container image IMAGE (ottla) of a static binary with ENGINE (podman, buildah or docker); nothing is pulled
	@test -n "$(ENGINE)" || { echo "needs podman, buildah or docker"; exit 1; }
	rm -rf bin/image && mkdir -p bin/image/data
	CGO_ENABLED=0 GOOS=linux GOFLAGS= $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= $(LDFLAGS)" -o bin/image/ottla .
	$(ENGINE) build -t $(IMAGE) -f packaging/Dockerfile.release bin/image

chart: $(HELM) ## Lint the Helm chart and render it for one process and for three nodes
	$(HELM) lint packaging/helm/ottla
	$(HELM) template one packaging/helm/ottla --kube-version 1.30.0 > bin/chart-one.yaml
	$(HELM) template three packaging/helm/ottla --kube-version 1.30.0 --set replicas=3,linkSecret=ottla-link > bin/chart-three.yaml

MODULE ?=

rename-module: ## Give the Go module the path MODULE, such as github.com/you/ottla, for whoever hosts it
	./packaging/rename-module "$(MODULE)"

clean: ## Remove what was built; data directories stay
	rm -rf bin dist
