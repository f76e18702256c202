# `make` lists what it can do. demo and test do all their own set-up on a fresh Debian or Ubuntu with Go.
.DEFAULT_GOAL := help
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env "PATH=$$PATH")
export GORACE := atexit_sleep_ms=0
# Encrypted rooms of Matrix, in Go (without the tag they cannot be read). A -tags of a command is instead of this.
export GOFLAGS := -tags=goolm $(GOFLAGS)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

demo: ## watch a deployment from the first line to `is ready`; needs Go only
	@mkdir -p bin
	@echo "building (the first time this takes a minute) …"
	@go build -o bin/jarvis ./cmd/jarvis
	@./bin/jarvis demo

build: ## build bin/jarvis, one static file
	@scripts/build "$$(go env GOARCH)" bin/jarvis

package: ## make what a release has in dist/: deb, rpm and program for amd64 and arm64, SBOM, licences, sums
	@scripts/package

test-package: setup ## install the package on a fresh Debian with systemd, use, upgrade, reboot and purge it; three minutes, needs root
	scripts/package "$$(go env GOARCH)"
	scripts/package-older "$$(go env GOARCH)"
	go vet -tags package,goolm ./packaging
	$(SUDO) go test -tags package,goolm -run TestPackage -v -timeout 10m ./packaging

reproducible: ## build the packages twice, from two clones with empty caches, and compare them
	@scripts/reproducible

setup: ## install the servers that the tests start for real
	@scripts/setup

# SQLite is C made into Go: the race detector learns nothing in it, and takes three times as long; scrypt, which has no state to
# share, six times. (Packages with generic code must not be left out: the linker may take their copy of it for all.)
# Why not SQLite in C: docs/adr/0014-sqlite-in-pure-go.md
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false -gcflags=golang.org/x/crypto/scrypt=-race=false

# What starts no server and waits for nothing.
QUICK := backup checks/calendar checks/model checks/nagios checks/transfer clipboard converge docs internal/... post provider reach
RACED := go test $(RACE) -shuffle=on -parallel 4 -timeout 40m

test: test-unit test-real test-programs ## run all tests, against real servers, for about an hour; needs root for hosts of their own

test-unit: setup ## the first part of it: what starts no server
	@echo "1 of 3: the packages that start no server, under the race detector. Some minutes; each says a line when it is done …"
	$(SUDO) $(RACED) $(addprefix ./,$(QUICK))

test-real: setup ## the second: every other package, against real servers
	@echo "2 of 3: every other package but the program, under the race detector. Half an hour on two cores; each says a line when it is done …"
	$(SUDO) $(RACED) $$(go list ./... | grep -vxF "$$(go list ./cmd/jarvis $(addprefix ./,$(QUICK)))")

# The tests of cmd/jarvis act on whole programs, which the race detector does not look into: it looks at everything else here.
test-programs: setup ## the third: whole programs that are killed, frozen and cut off
	@echo "3 of 3: the whole program, three tests at once. Twenty minutes; each says a line when it is done …"
	$(SUDO) scripts/each 3

quick: ## vet everything and run the tests that start no server, for the inner loop; a minute when little changed
	go vet ./...
	go test -short $(addprefix ./,$(QUICK))

race: setup ## run the tests of cmd/jarvis under the race detector, too, as far as they are fit for it; forty minutes, needs root
	$(SUDO) go test $(RACE) -shuffle=on -parallel 4 -timeout 60m ./cmd/jarvis

vm: setup ## redeploy a host on a machine that really boots, under emulation; eight minutes, needs root
	$(SUDO) go vet -tags vm,goolm ./cmd/jarvis
	$(SUDO) go test -tags vm,goolm -run '^TestRedeployOnAMachineThatBoots$$' -v -timeout 60m ./cmd/jarvis

beside-icinga: setup ## play an hour of faults to Jarvis and to Icinga 2, and compare whom they tell; more than an hour (JARVIS_BESIDE_MINUTES: another time), needs root
	$(SUDO) go vet -tags beside,goolm ./cmd/jarvis
	$(SUDO) go test -tags beside,goolm -run '^TestBesideIcinga$$' -v -timeout 120m ./cmd/jarvis

check: ## format, vet, staticcheck, govulncheck, fresh generated files
	@scripts/check

generate: ## make docs/reference/verbs.md, docs/reference/steps.md and docs/reference/config.md from the code
	go generate ./...

site: ## write the documentation as static HTML into site/, with a search
	@go run ./internal/gensite -out site

bench-pages: ## the first byte of each page with 10,000 runs and ten million results, and what Chromium needs for 2,000 checks
	go test ./cmd/jarvis -run '^$$' -bench BenchmarkPages -benchtime 1x -timeout 30m

bench-years: ## every verb on a record of years beside the same on a young one
	go test ./cmd/jarvis -run '^$$' -bench BenchmarkYears -benchtime 1x -timeout 30m

bench-small: ## each benchmark, small and without the programs beside which it sets ours: none of them may rot
	$(SUDO) go test $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u) -p 1 -short -run '^$$' -bench . -benchtime 1x -timeout 10m

bench: ## print the figures of docs/design/performance.md, as ratios in one run
	go test ./pipeline ./bot ./clipboard ./checks/calendar ./internal/plain ./workers/all ./cmd/jarvis -run '^$$' -bench . -skip 'BenchmarkRemote|BenchmarkConverge|BenchmarkChecks|BenchmarkYears|BenchmarkPages|BenchmarkNodesDay' -benchtime 1x -timeout 20m

bench-remote: ## a command on 100 hosts (JARVIS_BENCH_HOSTS: another number) beside pssh, pdsh, clush, ansible and ssh, which it installs; two minutes
	@scripts/setup bench-remote
	JARVIS_BENCH_HOSTS=$${JARVIS_BENCH_HOSTS:-100} go test ./cmd/jarvis -run '^$$' -bench 'BenchmarkRemote/commands' -benchtime 1x -timeout 20m

bench-remote-long: ## the same on 500 hosts, with 10,000 held connections, files beside rsync, and converge beside ansible-playbook; more than half an hour
	@scripts/setup bench-remote
	go test ./cmd/jarvis -run '^$$' -bench 'BenchmarkRemote|BenchmarkConverge' -benchtime 1x -timeout 90m

bench-nodes: ## 20 servers: a million checks a minute in virtual time and what one PostgreSQL takes of them; a part of a day of 10,000 deployments
	JARVIS_SIM_HOSTS=100000 JARVIS_SIM_AT_ONCE=512 go test ./checks -run '^TestSimulation$$' -bench BenchmarkNodesRecord -benchtime 1x -v -timeout 60m
	go test ./pipeline -run '^$$' -bench BenchmarkNodesDay -benchtime 1x -v -timeout 30m

bench-checks: ## the same for scheduled checks, beside Icinga 2 with check_by_ssh, which it installs, and for ten million results
	$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends icinga2-bin icinga2-common monitoring-plugins-basic openssh-server
	$(SUDO) go test ./cmd/jarvis ./checks -p 1 -run '^$$' -bench 'BenchmarkChecks|BenchmarkRecord' -benchtime 1x -timeout 60m

crash: ## the long crash test: kill -9 at 200 random moments
	JARVIS_CRASH_KILLS=200 JARVIS_CRASH_RUNS=150 go test ./cmd/jarvis -run TestCrash -v -timeout 60m

cluster: ## three servers on one PostgreSQL, hit 60 times while 150 hosts are deployed; and one frozen in the middle of each kind of step
	JARVIS_CLUSTER_RUNS=150 JARVIS_CLUSTER_BLOWS=60 JARVIS_CLUSTER_STOP=60 JARVIS_CLUSTER_STEPS=10 go test ./cmd/jarvis -run 'TestBlows|TestFrozenInEachStep' -v -timeout 90m

fuzz: ## each fuzz target for a minute
	@for t in $$(grep -rho 'func Fuzz[A-Za-z]*' --include='*_test.go' . | sort -u | sed 's/func //'); do \
		p=$$(grep -rl "func $$t(" --include='*_test.go' . | head -1 | xargs dirname); echo "== $$t in $$p"; \
		go test $$p -run '^$$' -fuzz "^$$t$$" -fuzztime 60s || exit 1; done

.PHONY: help demo build package test-package reproducible setup test test-unit test-real test-programs quick vm beside-icinga check generate site bench bench-pages bench-years bench-small bench-remote bench-remote-long bench-nodes bench-checks crash cluster fuzz
