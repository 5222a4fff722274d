# shellcheck shell=bash
# What runs.

lab_is_up() {
  local name
  [ -e "$STATE/ready" ] || return 1
  for name in "${CONTROL_PLANE[@]}"; do alive "$name" || return 1; done
  for name in "${NODES[@]}"; do
    alive "containerd-$name" && alive "kubelet-$name" && alive "proxy-$name" || return 1
    ! policies_are_on || alive "policies-$name" || return 1
  done
}

mark() { if alive "$1"; then echo up; else echo down; fi; }

lab_status() {
  local name ready pods
  if [ ! -d "$STATE" ]; then
    echo "no lab (lab up makes one)"
    return 0
  fi
  for name in "${CONTROL_PLANE[@]}"; do printf '%-19s %s\n' "$name" "$(mark "$name")"; done
  printf '\n%-5s %-11s %-8s %-11s %-6s %-6s %-5s %s\n' NODE ADDRESS KUBELET CONTAINERD PROXY READY PODS CUT
  ready=$(kubectl_admin --request-timeout=2s get nodes \
    -o 'jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' 2>/dev/null || true)
  for name in "${NODES[@]}"; do
    pods=$(find "$(process_hierarchy)/$CGROUP/nodes/$name" -maxdepth 3 -name 'pod*' -type d 2>/dev/null | wc -l)
    printf '%-5s %-11s %-8s %-11s %-6s %-6s %-5s %s\n' "$name" "$(node_ip "$name")" "$(mark "kubelet-$name")" \
      "$(mark "containerd-$name")" "$(mark "proxy-$name")" "$(sed -n "s/^$name=//p" <<<"$ready")" "$pods" \
      "$(active_cuts "$name" | tr '\n' ' ')"
  done
  if policies_are_on; then printf '\nNetworkPolicy is enforced\n'; fi
  printf '\nKUBECONFIG=%s/admin.conf\n' "$STATE"
}
