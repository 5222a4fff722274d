.PHONY: generate verify
generate: deps ## Write crds/, docs/reference.md and docs/metrics.md from the sources
	node hack/generate/generate.ts
verify: deps ## Fail when a generated file is stale
	node hack/generate/generate.ts --check
