# Tools are run by version, so that nobody who imports the library inherits them.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME   ?= 1m
BENCH      ?= .
BENCHFLAGS ?= -benchtime 200ms -count 3

# Modules of their own, for what they import.
NESTED = otelkerb examples/winrm examples/libraries examples/recipes

# go.mod names the older of the two releases of Go that are supported, and this is the newer.
NEWER = go1.27.3

# Where users are besides Linux on 64 bits.
PORTS = linux/386 windows/amd64 darwin/arm64 freebsd/amd64

.PHONY: help check api fmt vet ports lint test race newer bits32 nested release release-check vuln interop fuzz bench bench-interop

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: fmt vet ports lint race newer bits32 nested release ## everything that must be clean before a commit

api: ## write docs/api.txt, the listing of what packages export, which the tests compare
	go test ./internal/arch -run '^TestAPI$$' -args -api

fmt: ## fail on files that gofmt would change
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet: ## go vet, the interop tests included
	go vet ./...
	go vet -tags interop ./internal/interop/... ./gssapi ./client

ports: ## go vet, tests included, as on other systems
	@set -e; for port in $(PORTS); do echo "go vet for $$port"; GOOS=$${port%/*} GOARCH=$${port#*/} go vet ./...; done

lint: ## staticcheck, at a pinned version
	go run $(STATICCHECK) ./...

test: ## the hermetic tests, as the README runs them
	go test ./...

race: ## the hermetic tests under the race detector, in random order
	go test -race -shuffle=on ./...

# net/http changes with each release of Go: what it does with a body that is closed unread, say.
newer: ## vet, and the hermetic tests, with the newer of the two releases of Go
	GOTOOLCHAIN=$(NEWER) go vet ./...
	GOTOOLCHAIN=$(NEWER) go test ./...

# What overflows on 32 bits is a panic there. A library of the system's that gssapi could load
# is seldom at hand for them.
bits32: ## the hermetic tests as on a system of 32 bits, where this one runs its programs
	@case $$(go env GOHOSTOS GOHOSTARCH | tr -d "\n") in \
	linux*amd64) echo "go test for linux/386"; GOARCH=386 CGO_ENABLED=0 go test $$(go list ./... | grep -v /gssapi$$);; \
	*) echo "linux/386 is tested on linux/amd64 alone";; \
	esac

nested: ## vet and test the modules within this one
	@set -e; for dir in $(NESTED); do (echo "$$dir"; cd $$dir && go vet ./... && go test -race ./...); done

# The go command looks for changes in a test's own module alone, so a result that it
# kept would say nothing of this tree.
release: ## the tree as it stands can be fetched, installed, and copied from its pages
	cd internal/release && go vet ./... && go test -count=1 -v ./...

# What is to be released is a commit: what nobody committed is in no release.
release-check: ## what a release needs beyond make check: a clean tree, the listing of names, tidy modules, the zip, licences, builds that are alike
	@out=$$(git status --porcelain); if [ -n "$$out" ]; then echo "not committed:"; echo "$$out"; exit 1; fi
	@grep -q '^## Unreleased' CHANGELOG.md || { echo "CHANGELOG.md has no section Unreleased"; exit 1; }
	go test -count=1 ./internal/arch -run '^TestAPI$$'
	cd internal/release && go test -count=1 -run '^Test(Zip|ZipForbids|Notice|Tidy|GoGet|GoInstall)$$' ./...
	.ci/build-twice

vuln: ## known vulnerabilities in what is linked, at a pinned version of govulncheck
	go run $(GOVULNCHECK) ./...

interop: ## tests against real peers: MIT, Heimdal, Samba, Apache, Tomcat, curl, ...; a missing peer fails
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		cc -o $$dir/profdump internal/krb5conf/testdata/profdump.c -lkrb5 && \
		KRB5CONF_PROFDUMP=$$dir/profdump go test -count=1 -run AsMITNow ./internal/krb5conf
	go test -tags interop -count=1 -run OfC ./gssapi
	go test -tags interop -count=1 -run ByLibrary ./client
	go test -tags interop -count=1 -timeout 40m ./internal/interop/...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$pkg; \
		done; \
	done

bench: ## the benchmarks; internal/benchpage makes the tables of docs/performance.md of them
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(BENCHFLAGS) $(sort $(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' ./*/)))

bench-interop: ## the same beside MIT's KDC, Apache, curl, gokrb5 and requests-kerberos
	go test -tags interop -count=1 -v -timeout 20m -run '^TestBench' ./internal/interop -args -peers
