# Included by the Makefile. A real Kubernetes on this machine; `hack/lab/lab help` lists the rest.
.PHONY: lab-up lab-down lab-status
lab-up: deps ## Bring up a real Kubernetes on this machine (root)
	hack/lab/lab up
lab-down: ## Remove it, whole or half
	hack/lab/lab down
lab-status: ## What of it runs
	hack/lab/lab status
