# shellcheck shell=bash
# Versions, places, addresses, and how the lab talks to the person.

KUBERNETES_VERSION=v1.34.4
ETCD_VERSION=v3.6.8
COREDNS_VERSION=v1.15.0
KWOK_VERSION=v0.8.0
HELM_VERSION=v3.22.0
KUBECONFORM_VERSION=v0.8.0
KUBE_SCORE_VERSION=v1.20.0
ACTIONLINT_VERSION=v1.7.12
VERSITYGW_VERSION=v1.8.0
KUBE_ROUTER_VERSION=v2.1.0
COLLECTOR_VERSION=v0.165.0
COLLECTOR_STABLE_VERSION=v1.71.0
PROMETHEUS_OPERATOR_VERSION=v0.79.2

STATE=${QUORATE_LAB:-/var/lib/quorate-lab}
CACHE=${QUORATE_CACHE:-$HOME/.cache/quorate}
LOCK=/run/quorate-lab.lock

BRIDGE=kbr0
HOST_IP=10.88.0.1
POD_NETWORK=10.244.0.0/16
SERVICE_NETWORK=10.96.0.0/16
DNS_IP=10.96.0.10
API_PORT=6443
NODES=(n1 n2 n3 n4)
CLIENT_NODE=n4

# Parent of every cgroup of the lab, in each hierarchy; no process of the lab lives outside of it.
CGROUP=quorate-lab

bin() { # NAME: the cached program
  local version=$KUBERNETES_VERSION
  case $1 in
    etcd | etcdctl | etcdutl) version=$ETCD_VERSION ;;
    coredns) version=$COREDNS_VERSION ;;
    kwok) version=$KWOK_VERSION ;;
    helm) version=$HELM_VERSION ;;
    kubeconform) version=$KUBECONFORM_VERSION ;;
    ocb | otelcol) version=$COLLECTOR_VERSION ;;
    kube-score) version=$KUBE_SCORE_VERSION ;;
    actionlint) version=$ACTIONLINT_VERSION ;;
    versitygw) version=$VERSITYGW_VERSION ;;
    kube-router) version=$KUBE_ROUTER_VERSION ;;
  esac
  printf '%s/bin/%s-%s' "$CACHE" "$1" "$version"
}

kubectl_admin() { "$(bin kubectl)" --kubeconfig="$STATE/admin.conf" "$@"; }

node_dir() { printf '%s/nodes/%s' "$STATE" "$1"; }
node_netns() { printf 'quorate-%s' "$1"; }
node_link() { printf 'qlab-%s' "$1"; }
node_ip() { printf '10.88.0.%d' $((10 + ${1#n})); }
node_pods() { printf '10.244.%d.0/24' "${1#n}"; }

require_node() {
  local node
  for node in "${NODES[@]}"; do [ "$node" != "${1:-}" ] || return 0; done
  die "no such node: '${1:-}' (there are ${NODES[*]})"
}

require_root() { [ "$EUID" -eq 0 ] || die "the lab makes network namespaces and cgroups: run it as root"; }

die() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

now_ms() { # EPOCHREALTIME has six decimals, after a point or the locale's comma
  local t=${EPOCHREALTIME/[^0-9]/}
  printf '%s' "${t%???}"
}

# Steps are counted from the start of the command, shown to the person and kept for machines.
STARTED_MS=$(now_ms)
STEP_MS=$STARTED_MS
step() { # TEXT
  local now
  now=$(now_ms)
  printf '[%6.1fs] %s\n' "$(((now - STARTED_MS) / 100))e-1" "$1"
  if [ -d "$STATE" ]; then
    printf '{"step":"%s","atMs":%d,"tookMs":%d}\n' "$1" "$((now - STARTED_MS))" "$((now - STEP_MS))" >>"$STATE/times.jsonl"
  fi
  STEP_MS=$now
}

effective() { printf 'effective %s %s\n' "$(now_ms)" "$*"; }

# Only one `up` or `down` at a time. The descriptor must not reach a daemon: it would hold the lock for ever.
with_lock() {
  exec {LOCK_FD}>"$LOCK"
  flock --nonblock "$LOCK_FD" || {
    printf 'lab: waiting for another up or down to finish\n' >&2
    flock "$LOCK_FD"
  }
  "$@"
}

wait_until() { # SECONDS WHAT COMMAND...: polls ten times a second
  local deadline=$(($(now_ms) + $1 * 1000)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(now_ms)" -lt "$deadline" ] || die "$what: not in time (logs: $STATE/log)"
    sleep 0.1
  done
}
