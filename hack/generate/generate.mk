.PHONY: generate verify
generate: deps ## Write crds/ and docs/reference.md from the schemas in src/api
	node hack/generate/generate.ts
verify: deps ## Fail when a generated file is stale
	node hack/generate/generate.ts --check
