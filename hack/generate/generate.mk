.PHONY: generate verify
generate: deps ## Write crds/, deploy/, charts/ and generated docs from the schemas in src/api and hack/generate/manifests
	node hack/generate/generate.ts
verify: deps ## Fail when a generated file is stale
	node hack/generate/generate.ts --check
