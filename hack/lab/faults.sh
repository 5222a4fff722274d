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
    bridge)
      other=$(next_member_node "$node")
      others="$(node_ip "$other"), $(node_pods "$other")"
      out="ip daddr { $others } drop" in="ip saddr { $others } drop"
      ;;
    *) die "no such cut: '$mode' (there are all api peers members bridge in out)" ;;
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

next_member_node() { # NODE
  local node first="" is_next=""
  for node in "${NODES[@]}"; do
    [ "$node" != "$CLIENT_NODE" ] || continue
    [ -z "$is_next" ] || { echo "$node"; return; }
    first=${first:-$node}
    [ "$node" != "$1" ] || is_next=yes
  done
  echo "$first"
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
  hasten_network "$1"
}

heal_all() {
  local node
  for node in "${NODES[@]}"; do heal_node "$node"; done
  find "$(disk_hierarchy)/$CGROUP" -name "$(disk_limits)" 2>/dev/null | while read -r limits; do limit_disk "$limits" "$NO_DISK_LIMIT"; done
}

# What a node sends and what it gets waits in a queue of up to a second before a link of a quarter of a megabit a second. Packets
# that come late by themselves (netem) are not in every kernel.
readonly SLOW_LINK=(tbf rate 256kbit burst 8kb latency 1s)

fault_network() { # slow|fast NODE
  require_node "${2:-}"
  case $1 in
    slow)
      on_node "$2" tc qdisc replace dev eth0 root "${SLOW_LINK[@]}"
      tc qdisc replace dev "$(node_link "$2")" root "${SLOW_LINK[@]}"
      ;;
    fast) hasten_network "$2" ;;
    *) die "usage: lab network slow|fast NODE" ;;
  esac
  effective "network $1 $2"
}

hasten_network() { # NODE
  [ -e "/run/netns/$(node_netns "$1")" ] || return 0
  if on_node "$1" tc qdisc show dev eth0 | grep -q '^qdisc tbf'; then on_node "$1" tc qdisc del dev eth0 root; fi
  if tc qdisc show dev "$(node_link "$1")" | grep -q '^qdisc tbf'; then tc qdisc del dev "$(node_link "$1")" root; fi
}

# So many writes a second: two that wait for the disk, each with what the file system writes for it.
readonly SLOW_DISK=8
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then readonly NO_DISK_LIMIT=max; else readonly NO_DISK_LIMIT=0; fi

disk_hierarchy() {
  if [ "$NO_DISK_LIMIT" = max ]; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/blkio; fi
}

disk_limits() { # the name of the file
  if [ "$NO_DISK_LIMIT" = max ]; then echo io.max; else echo blkio.throttle.write_iops_device; fi
}

limit_disk() { # FILE WRITES_A_SECOND
  local device prefix=""
  device=$(findmnt --noheadings --output MAJ:MIN --target "$STATE")
  device=${device// /}
  # Limits are the whole disk's.
  [ ! -e "/sys/dev/block/$device/partition" ] || device=$(<"/sys/dev/block/$device/../dev")
  [ "$NO_DISK_LIMIT" != max ] || prefix=wiops=
  printf '%s %s%s\n' "$device" "$prefix" "$2" >"$1"
}

# Each container by itself: version 1 of cgroups passes no limit down.
fault_disk() { # slow|fast NAMESPACE POD
  local writes group found=""
  case ${1:-} in
    slow) writes=$SLOW_DISK ;;
    fast) writes=$NO_DISK_LIMIT ;;
    *) die "usage: lab disk slow|fast NAMESPACE POD" ;;
  esac
  while read -r group; do
    limit_disk "$group/$(disk_limits)" "$writes"
    found=yes
  done < <(pod_groups "$(disk_hierarchy)" "${2:-}" "${3:-}")
  [ -n "$found" ] || die "no container of pod ${2:-}/${3:-} runs here"
  effective "disk $*"
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
pod_groups() { # HIERARCHY NAMESPACE POD: a cgroup a line, each a container's
  local logs uid
  for logs in "$STATE"/nodes/*/logs/"$2_$3"_*/; do
    [ -d "$logs" ] || continue
    uid=${logs%/}
    find "$1/$CGROUP/nodes" -mindepth 1 -type d -path "*/pod${uid##*_}/*" 2>/dev/null
  done
}

fault_pod_pids() { # NAMESPACE POD
  local group pid container
  pod_groups "$(process_hierarchy)" "${1:-}" "${2:-}" | while read -r group; do
    container=$(container_name "${group##*/}")
    while read -r pid; do
      printf '%s\t%s\t%s\t%s\n' "$pid" "$(awk '/^NSpid:/ {print $NF}' "/proc/$pid/status")" "$container" \
        "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
    done <"$group/cgroup.procs"
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
