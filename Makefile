# Every target explains itself: `make` prints this list.
.DEFAULT_GOAL := help
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 20s

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## build the static binary ./quipu
	CGO_ENABLED=0 go build -trimpath -o quipu ./cmd/quipu

demo: ## run the demonstration and leave
	go run ./cmd/quipu demo --exit

test: ## run the tests (what CI runs)
	go test ./...

race: ## run the concurrent packages under the race detector
	go test -race -short ./storage/... ./fsm/... ./server/... ./client/...

lint: ## formatting, vet and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

generate: ## regenerate the protos, offline, from the pinned generator
	go run -C proto/gen .

generated: generate ## fail if the committed generated code is not current
	git diff --exit-code -- proto

fuzz: ## run every fuzz target for FUZZTIME each (20s)
	./integration/fuzz.sh $(FUZZTIME)

bench: ## measure ingest and queries on one durable node
	go run ./cmd/quipu bench ingest
	go run ./cmd/quipu bench query

peers: ## compare with PostgreSQL, Redis, R and SciPy where they are installed
	./integration/peers/run.sh

soak: ## the fault tests in their long form, and over planted bugs (root for the power cut)
	QUIPU_FAULTS=60m go test -count=1 -timeout 120m -run 'TestFaults$$' -v ./integration
	QUIPU_SOAK=1 go test -count=1 -timeout 120m -run 'Killed|PowerCut|Restart|Budget|Planted|Rolling|LostDisk|QuorumLoss|Soak|Acknowledgement|Durably' -v ./integration/... ./storage
	QUIPU_SOAK=1 go test -count=1 -timeout 180m -run 'TestSimulation$$|ManyNodes|PlantedBugs|WrongNode' -v ./server

.PHONY: help build demo test race lint generate generated fuzz bench peers soak
