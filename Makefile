# Two commands: `make demo` shows the main job on five real hosts, `make test` passes every test. Both set up what they need.

SHELL := /bin/bash
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH=$(PATH))
BUILD := go build -trimpath -o bin/

.PHONY: all build root setup demo postgresql further test check fuzz lint vuln cross bench scale load clean

all: build

build: ## bin/pgfleet and bin/pgfleet-lab
	@mkdir -p bin
	@$(BUILD) ./cmd/pgfleet ./cmd/pgfleet-lab

root: # hosts are made of namespaces, mounts and networks of this machine
	@test -z '$(SUDO)' || { command -v sudo >/dev/null && sudo true; } || { echo "This needs root on this machine: run it as root, or as a user who may use sudo. What needs no root: make build, make check, go test ./..." >&2; exit 1; }

setup: ## Debian packages that the lab and the tests need (sudo where not root)
	@lab/setup.sh

demo: root setup build ## five hosts from nothing to verified mutual TLS, twice
	@$(SUDO) lab/demo.sh

postgresql: setup ## PostgreSQL 12 to 18 for the tests of all versions, in bin/postgresql; what needs them is skipped where they cannot be had (CI=true: fails)
	-@lab/postgresql.sh bin/postgresql

further: # for the tests: Patroni, and servers that speak another language; it starts nothing on this machine
	@lab/setup.sh patroni python3-pysyncobj locales

test: root setup postgresql further check ## everything, with the race detector, real sshd and real PostgreSQL
	@test -d /usr/lib/postgresql/15 || { echo "the tests name PostgreSQL 15, which Debian 12 has and this machine has not; make demo runs with any"; exit 1; }
	@mkdir -p bin && rm -f bin/skipped
	@status=0; PGFLEET_SKIPPED=$(CURDIR)/bin/skipped go test -race -timeout 25m $(if $(SUDO),-exec '$(SUDO)') ./... || status=$$?; \
	 test ! -s bin/skipped || echo "$$(wc -l <bin/skipped) tests were skipped, for example $$(head -n 1 bin/skipped)"; exit $$status

check: ## formatting and vet
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt -w $$out"; exit 1; }
	go vet ./...

fuzz: ## every fuzz target, FUZZTIME each
	@for pkg in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
		echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),10s) $$pkg || exit 1; done; done

lint: ## golangci-lint at the version named here
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

vuln: ## known vulnerabilities in what is linked
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

cross: ## every platform that pgfleet is built for
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build ./... || exit 1; done; done

bench: root setup build ## compare with Ansible, Mitogen and an OpenSSH script; BENCH="-sizes 1 -runs 1" for a quick look
	@bench/setup.sh
	@$(BUILD) ./bench
	@$(SUDO) bin/bench $(BENCH)

scale: ## pgfleet against 500, 1,000 and 5,000 simulated hosts; SCALE="-sizes 100,200" for a quick look
	@$(BUILD) ./cmd/pgfleet ./bench/scale
	@bin/scale $(SCALE)

load: root setup ## clients that reconnect all the time while everything is renewed and replaced, LOAD connections each (2000), and through KILLS killed replacements (30)
	PGFLEET_LOAD=$(or $(LOAD),2000) PGFLEET_KILLS=$(or $(KILLS),30) CI=true go test -count 1 -timeout 2h -parallel 1 $(if $(SUDO),-exec '$(SUDO)') -run '^(TestUnderLoad|TestKilledReplacement)$$' -v ./lab/e2e

clean:
	rm -rf bin
