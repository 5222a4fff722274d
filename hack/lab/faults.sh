# shellcheck shell=bash
# Faults. A cut drops packets at the node's own interface, before and after every translation of addresses, so rules
# speak of the addresses on the wire, and neither end is told: connections hang as behind a pulled cable.

fault_cut() { # NODE MODE
  local node=${1:-} mode=${2:-} other out="" in="" others="" members=""
  require_node "$node"
  for other in "${NODES[@]}"; do
    [ "$other" != "$node" ] || continue
    others+="${others:+, }$(node_ip "$other"), $(node_pods "$other")"
    [ "$other" = "$CLIENT_NODE" ] || members+="${members:+, }$(node_ip "$other"), $(node_pods "$other")"
  done
  case $mode in
    all) out=drop in=drop ;;
    # Address resolution goes on in the other direction's interest: without it both would be cut after a minute.
    in) in="ether type != arp drop" ;;
    out) out="ether type != arp drop" ;;
    api) out="ip daddr $HOST_IP tcp dport $API_PORT drop" in="ip saddr $HOST_IP tcp sport $API_PORT drop" ;;
    peers) out="ip daddr { $others } drop" in="ip saddr { $others } drop" ;;
    members) out="ip daddr { $members } drop" in="ip saddr { $members } drop" ;;
    *) die "no such cut: '$mode' (there are all api peers members in out)" ;;
  esac
  on_node "$node" nft -f - <<TEXT
table netdev quorate_cut_$mode {}
delete table netdev quorate_cut_$mode
table netdev quorate_cut_$mode {
  chain egress { type filter hook egress device "eth0" priority 0; $out; }
  chain ingress { type filter hook ingress device "eth0" priority 0; $in; }
}
TEXT
  effective "cut $node $mode"
}

active_cuts() { # [NODE]: lines NODE/MODE, or MODE when a node is given
  local node prefix=""
  for node in ${1:-"${NODES[@]}"}; do
    [ -n "${1:-}" ] || prefix=$node/
    [ -e "/run/netns/$(node_netns "$node")" ] || continue
    on_node "$node" nft list tables netdev 2>/dev/null | sed -n "s#^table netdev quorate_cut_#$prefix#p"
  done
}

heal_node() { # NODE
  local mode
  for mode in $(active_cuts "$1"); do on_node "$1" nft delete table netdev "quorate_cut_$mode"; done
}

heal_all() {
  local node
  for node in "${NODES[@]}"; do heal_node "$node"; done
}

fault_heal() { # NODE|all
  if [ "${1:-}" = all ]; then
    heal_all
  else
    require_node "${1:-}"
    heal_node "$1"
  fi
  effective "heal $1"
}

fault_kubelet() { # stop|start NODE
  require_node "${2:-}"
  case $1 in
    stop) end_process "kubelet-$2" ;;
    start) alive "kubelet-$2" || start_kubelet "$2" ;;
    *) die "usage: lab kubelet stop|start NODE" ;;
  esac
  effective "kubelet $1 $2"
}

fault_apiserver() { # stop|start|pause|resume
  case ${1:-} in
    stop) end_process apiserver ;;
    start)
      alive apiserver || start_apiserver
      wait_until 60 "API server" apiserver_ready
      ;;
    pause) kill -STOP "$(pid_of apiserver)" ;;
    resume) kill -CONT "$(pid_of apiserver)" ;;
    *) die "usage: lab apiserver stop|start|pause|resume" ;;
  esac
  effective "apiserver $1"
}

fault_operator() { # stop|start
  local namespace=quorate-system deployment=deployment/quorate-operator selector
  case ${1:-} in
    stop)
      kubectl_admin -n "$namespace" get "$deployment" -o 'jsonpath={.spec.replicas}' >"$STATE/operator-replicas"
      selector=$(kubectl_admin -n "$namespace" get "$deployment" \
        -o 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}')
      kubectl_admin -n "$namespace" scale "$deployment" --replicas=0 >/dev/null
      kubectl_admin -n "$namespace" wait --for=delete pod -l "${selector%,}" --timeout=60s >/dev/null
      ;;
    start)
      kubectl_admin -n "$namespace" scale "$deployment" --replicas="$(sed 's/^0$/1/' "$STATE/operator-replicas" 2>/dev/null || echo 1)" >/dev/null
      kubectl_admin -n "$namespace" rollout status "$deployment" --timeout=60s >/dev/null
      ;;
    *) die "usage: lab operator stop|start" ;;
  esac
  effective "operator $1"
}

# Found through cgroups and the runtime's own files, so it works while the API server does not.
fault_pod_pids() { # NAMESPACE POD
  local logs uid group pid container
  for logs in "$STATE"/nodes/*/logs/"${1:-}_${2:-}"_*/; do
    [ -d "$logs" ] || continue
    uid=${logs%/}
    uid=${uid##*_}
    while read -r group; do
      container=$(container_name "${group##*/}")
      while read -r pid; do
        printf '%s\t%s\t%s\t%s\n' "$pid" "$(awk '/^NSpid:/ {print $NF}' "/proc/$pid/status")" "$container" \
          "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
      done <"$group/cgroup.procs"
    done < <(find "$(process_hierarchy)/$CGROUP/nodes" -mindepth 1 -type d -path "*/pod$uid/*" 2>/dev/null)
  done 2>/dev/null | grep . || die "no process of pod ${1:-}/${2:-} runs here"
}

container_name() { # ID: "-" for the pause process
  sed -n 's/.*"io.kubernetes.cri.container-name":"\([^"]*\)".*/\1/p' \
    "$STATE"/nodes/*/run/io.containerd.runtime.v2.task/k8s.io/"$1"/config.json 2>/dev/null | grep . || echo -
}

signal_processes() { # SIGNAL PID...
  local signal=$1 pid
  shift
  [ $# -gt 0 ] || die "which processes? (lab pod-pids NS POD lists them)"
  for pid in "$@"; do
    grep -qs "/$CGROUP/" "/proc/$pid/cgroup" || die "process $pid does not belong to the lab"
  done
  kill "-$signal" "$@"
}

fault_kill() { signal_processes KILL "$@" && effective "kill $*"; }
fault_pause() { signal_processes STOP "$@" && effective "pause $*"; }
fault_resume() { signal_processes CONT "$@" && effective "resume $*"; }

# Dark first: a machine without power sends no last packet.
fault_node_kill() { # NODE
  require_node "${1:-}"
  fault_cut "$1" all >/dev/null
  effective "node-kill $1"
  crash_node "$1"
}

fault_node_start() { # NODE
  require_node "${1:-}"
  heal_node "$1"
  start_node "$1"
  effective "node-start $1"
}
