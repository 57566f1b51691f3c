# Letterlock's targets. `make run` and `make test` need Go, git and make alone.

GO      ?= go
TIME    ?= 30s
ROUNDS  ?= 10000
CUTS    ?= 200
LETTERS ?= 1000000
RACE    := $(shell CGO_ENABLED=1 sh -c 'command -v $$($(GO) env CC)' >/dev/null 2>&1 && echo -race)

SOAK    ?= 10m

.PHONY: run build test check bench bench-peer power fuzz crash soak scale peers

run: build ## start the server: loopback ports, data in ./data
	./letterlock serve

build: ## ./letterlock
	$(GO) build -o letterlock ./cmd/letterlock

test: check ## what CI runs
	@[ -n "$(RACE)" ] || echo "no C compiler here: the tests run without the race detector"
	$(GO) test $(RACE) -shuffle=on -timeout 12m ./...

check: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench: build ## the whole house beside the disk's ceiling, then every benchmark five times, for benchstat
	$(GO) run ./internal/bench
	$(GO) run ./internal/bench -rounds 1 -letters 100000 -idle 5000 imap idle
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./...

bench-peer: build ## the same clients against ./letterlock and a private Dovecot, in turn (as root; installs it)
	.ci/bench-peer

power: ## cut the power CUTS times (default 200) on ext4 and xfs (as root: FUSE, loop devices)
	LETTERLOCK_POWER_CUTS=$(CUTS) $(GO) test -count=1 -timeout 0 -v -run PowerCut ./storage/powercut

fuzz: ## every fuzz target for TIME (default 30s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "== $$target in $$(dirname "$$file")"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(TIME) -fuzzminimizetime 1x "$$(dirname "$$file")" </dev/null || exit 1; \
		done || exit 1; \
	done

crash: ## kill -9 at every step and at random, ROUNDS times (default 10000)
	LETTERLOCK_CRASH_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 0 -v -run 'Crash|Kill' ./storage ./cmd/letterlock

soak: ## several clients on one mailbox for SOAK (default 10m), then 20,000 letters to 500 domains, half of them broken
	LETTERLOCK_SOAK=$(SOAK) $(GO) test $(RACE) -count=1 -timeout 0 -v -run Model ./imapd
	LETTERLOCK_DOMAINS="500 40" $(GO) test -count=1 -timeout 0 -v -run TestManyDomains ./relay

scale: ## a store of LETTERS letters (default 1000000) in 100,000 accounts
	LETTERLOCK_SCALE=$(LETTERS) $(GO) test -run '^$$' -bench Scale -benchtime 1x -v -timeout 0 ./storage

peers: build ## Debian's MTAs, resolvers and clients against ./letterlock (as root; installs what it needs)
	.ci/peers
