# shellcheck shell=bash
# A node: a network namespace on the bridge with a containerd, a kubelet and a kube-proxy of its own.

make_node_network() { # NODE
  local node=$1 netns link other
  netns=$(node_netns "$node")
  link=$(node_link "$node")
  ip netns add "$netns"
  ip link add "$link" type veth peer name eth0 netns "$netns"
  ip link set "$link" master "$BRIDGE" up
  ip -n "$netns" addr add "$(node_ip "$node")/24" dev eth0
  ip -n "$netns" link set eth0 up
  ip -n "$netns" link set lo up
  ip -n "$netns" route add default via "$HOST_IP"
  for other in "${NODES[@]}"; do
    [ "$other" = "$node" ] || ip -n "$netns" route add "$(node_pods "$other")" via "$(node_ip "$other")"
  done
  ip route add "$(node_pods "$node")" via "$(node_ip "$node")"
  # Two pods of one node that meet through a Service need their bridged answers translated back.
  on_node "$node" sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

on_node() { # NODE COMMAND...
  require_node "$1"
  local netns
  netns=$(node_netns "$1")
  shift
  nsenter --net="/run/netns/$netns" "$@"
}

write_node_files() { # NODE
  local node=$1 dir taints='[]'
  dir=$(node_dir "$node")
  mkdir -p "$dir"/{cni,containerd,run,kubelet}
  [ "$node" != "$CLIENT_NODE" ] || taints='[{key: quorate.io/client, value: "true", effect: NoSchedule}]'
  cat >"$dir/cni/10-lab.conflist" <<TEXT
{"cniVersion": "1.0.0", "name": "quorate-lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$dir/cni/addresses",
            "ranges": [[{"subnet": "$(node_pods "$node")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
TEXT
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE nobody may lower it, and runc would fail.
  cat >"$dir/containerd.toml" <<TEXT
version = 2
root = "$dir/containerd"
state = "$dir/run"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$dir/run/runc"
TEXT
  cat >"$dir/kubelet.yaml" <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet-$node.crt
tlsPrivateKeyFile: $STATE/pki/kubelet-$node.key
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/nodes/$node
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://$dir/containerd.sock
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: ""
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 12
healthzBindAddress: 127.0.0.1
podLogsDir: $dir/logs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi}
# A container that is killed again and again, on purpose, is not to wait longer each time until it is started.
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 5s}
localStorageCapacityIsolation: false
registerWithTaints: $taints
TEXT
  cat >"$dir/kube-proxy.yaml" <<TEXT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $STATE/proxy.conf}
hostnameOverride: $node
clusterCIDR: $POD_NETWORK
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0}
nftables: {minSyncPeriod: 100ms}
TEXT
}

start_containerd() { # NODE
  spawn "containerd-$1" "$1" "$(node_netns "$1")" containerd --log-level=warn -c "$(node_dir "$1")/containerd.toml"
}

containerd_ready() { # NODE
  ctr --address "$(node_dir "$1")/containerd.sock" --timeout 2s version
}

start_kubelet() { # NODE
  local node=$1 dir labels=()
  dir=$(node_dir "$node")
  [ "$node" != "$CLIENT_NODE" ] || labels=(--node-labels=quorate.io/client=true)
  make_cgroup "nodes/$node"
  spawn "kubelet-$node" "$node" "$(node_netns "$node")" "$(bin kubelet)" --config="$dir/kubelet.yaml" \
    --kubeconfig="$STATE/kubelet-$node.conf" --root-dir="$dir/kubelet" --cert-dir="$dir/kubelet/pki" \
    --hostname-override="$node" --node-ip="$(node_ip "$node")" "${labels[@]}" --v=1
}

start_proxy() { # NODE
  spawn "proxy-$1" "$1" "$(node_netns "$1")" "$(bin kube-proxy)" --config="$(node_dir "$1")/kube-proxy.yaml" --v=1
}

# What of a node does not run yet; the kubelet last, because it needs the runtime's socket.
start_node() { # NODE
  if ! pid_of "containerd-$1" >/dev/null; then
    start_containerd "$1"
    wait_until 30 "containerd of $1" containerd_ready "$1"
  fi
  pid_of "kubelet-$1" >/dev/null || start_kubelet "$1"
  pid_of "proxy-$1" >/dev/null || start_proxy "$1"
  if policies_are_on && ! pid_of "policies-$1" >/dev/null; then start_policies "$1"; fi
}

nodes_ready() {
  local ready
  ready=$(kubectl_admin get nodes -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}') || return 1
  [ "$(grep -c True <<<"$ready")" -eq "${#NODES[@]}" ]
}

# What a power failure takes away: processes, their mounts and their networks; disks stay.
crash_node() { # NODE
  local dir
  dir=$(node_dir "$1")
  end_cgroup "daemons/$1"
  end_cgroup "nodes/$1"
  remove_shim_sockets "$dir"
  unmount_below "$dir"
  rm -rf "$dir/run" "$dir/containerd.sock"
}

# Shims put their sockets into a folder of the host, whatever the configuration says.
remove_shim_sockets() { # FOLDER
  local file address
  while read -r file; do
    address=$(<"$file")
    rm -f "${address#unix://}"
  done < <(find "$1" -path '*/io.containerd.runtime.v2.task/*' -name address 2>/dev/null)
}

unmount_below() { # FOLDER
  local target
  while read -r target; do
    umount "$target" 2>/dev/null || umount --lazy "$target" 2>/dev/null || true
  done < <(awk -v below="$1/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo | tac)
}
