# Kubilitics. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES := proto shared migrations charts hub agent e2e
# A tool's executable: built into Go's cache when it isn't there.
TOOL = $$(cd $(CURDIR)/.tools && GOWORK=off go tool -n $(1))
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/kubilitics/kubilitics/shared/version.version=$(VERSION)
RACE ?= -race
PACKAGES = $(addprefix ./,$(addsuffix /...,$(MODULES)))

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the programs, into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./hub/cmd/... ./agent/cmd/...

.PHONY: images
images: ## container images of both programs, without an engine, into bin/images; PUSH=registry sends them there too
	@go run ./e2e/cmd/images --version '$(VERSION)' $(if $(PUSH),--push '$(PUSH)')

.PHONY: demo
demo: ## two real clusters, a hub and two agents on this machine, until Ctrl-C
	@go build -o bin/ ./e2e/cmd/demo && exec bin/demo

.PHONY: run
run: ## a hub and an agent for the cluster of KUBECONFIG=path, until Ctrl-C
	@test -n "$(KUBECONFIG)" || { echo 'say which cluster: make run KUBECONFIG=$$HOME/.kube/config'; exit 2; }
	@go build -o bin/ ./e2e/cmd/demo && exec bin/demo --kubeconfig "$(KUBECONFIG)"

.PHONY: cluster
cluster: ## one real control plane with simulated nodes, until Ctrl-C; prints its kubeconfig
	@go build -o bin/ ./e2e/cmd/cluster && exec bin/cluster

.PHONY: test
test: lint ## everything: lint, unit, fuzz seeds, race, both stores, end to end on real control planes
	@go run ./e2e/cmd/programs
	@[ -n "$$DOCKER_HOST" ] || [ -S /var/run/docker.sock ] || echo '*** NO CONTAINER ENGINE: nothing of e2e/containers will run ***' >&2
	go test $(RACE) -timeout 20m $(PACKAGES)

.PHONY: test-short
test-short: ## unit tests only: no control planes, no race detector
	go test -short -timeout 5m $(PACKAGES)

.PHONY: lint
lint: ## gofmt, vet and staticcheck, each exception argued at its line
	@bad=$$(gofmt -l $(MODULES)); test -z "$$bad" || { printf '%s\n' "$$bad" 'gofmt: the files above'; exit 1; }
	go vet $(PACKAGES)
	$(call TOOL,staticcheck) $(PACKAGES)
	cd proto && $(call TOOL,buf) lint

.PHONY: generate
generate: ## what is generated from the definitions in proto/
	cd proto && GOWORK=off go generate .

.PHONY: bench
bench: ## every figure, as lines "bench NAME VALUE UNIT"; BENCH=pattern picks some
	@go build -o bin/ ./e2e/cmd/bench && exec bin/bench --only '$(BENCH)'

.PHONY: fuzz
fuzz: ## each fuzz test for FUZZTIME (1m)
	@for m in $(MODULES); do for p in $$(go list ./$$m/... ); do \
	  for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep ^Fuzz || true); do \
	    echo "fuzz $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(FUZZTIME),1m) $$p; done; done; done

.PHONY: tidy
tidy: ## go.mod and go.sum of every module
	@for m in $(MODULES); do (cd $$m && go mod tidy); done

.PHONY: clean
clean: ## what was built here; the cache of Kubernetes programs stays
	rm -rf bin
