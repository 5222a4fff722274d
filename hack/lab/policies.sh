# shellcheck shell=bash
# Enforces NetworkPolicy: kube-router on every node, as a firewall and nothing else. Off until somebody asks for it, because it costs
# memory and, after every change of a pod, processor time on each node.

# Answers while the enforcer is wanted, also to a node that starts again.
policies_are_on() { [ -e "$STATE/policies" ]; }

lab_policies() { # on|off
  [ -e "$STATE/ready" ] || die "there is no lab: 'lab up' first"
  case ${1:-} in
    on) enforce_policies ;;
    off) stop_enforcing ;;
    *) die "usage: lab policies on|off" ;;
  esac
}

enforce_policies() {
  local node
  lab_build_policies
  if [ ! -e "$STATE/policies.conf" ]; then
    (
      umask 077
      make_certificate policies /CN=system:kube-router
      make_kubeconfig policies >"$STATE/policies.conf"
    )
  fi
  policy_objects | kubectl_admin apply -f - >/dev/null
  touch "$STATE/policies"
  for node in "${NODES[@]}"; do alive "policies-$node" || start_policies "$node"; done
  for node in "${NODES[@]}"; do wait_until 60 "network policies of $node" node_enforces "$node"; done
  step "network policies enforced"
}

policy_objects() {
  cat <<'TEXT'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:kube-router"}
rules:
- {apiGroups: [""], resources: [endpoints, namespaces, nodes, pods, services], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:kube-router"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kube-router"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:kube-router"}]
TEXT
}

start_policies() { # NODE
  spawn "policies-$1" "$1" "$(node_netns "$1")" "$(bin kube-router)" --kubeconfig="$STATE/policies.conf" \
    --hostname-override="$1" --run-firewall=true --run-router=false --run-service-proxy=false --run-loadbalancer=false \
    --enable-cni=false --service-cluster-ip-range="$SERVICE_NETWORK" --health-port=0 --v=0
}

# Its first round ends with this rule.
node_enforces() { # NODE
  on_node "$1" iptables -t filter -S KUBE-ROUTER-FORWARD | grep -- '--mark 0x20000/0x20000 -j ACCEPT'
}

stop_enforcing() {
  local node
  rm -f "$STATE/policies"
  for node in "${NODES[@]}"; do
    end_process "policies-$node"
    remove_policy_rules "$node"
  done
  step "network policies no longer enforced"
}

# In one step: a rule of a half-removed set would stop what no policy forbids.
remove_policy_rules() { # NODE
  local set
  on_node "$1" iptables-save -t filter | sed -E '/KUBE-(ROUTER|POD-FW|NWPLCY)-/d' | on_node "$1" iptables-restore -T filter
  while read -r set; do on_node "$1" ipset destroy "$set"; done < <(on_node "$1" ipset list -name | grep -E '^KUBE-(SRC|DST)-')
}
