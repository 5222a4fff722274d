# shellcheck shell=bash
# Removes the lab, whole or half, and whatever a crashed one left behind.

# The kubelet sets these for the whole machine.
KERNEL_SETTINGS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

save_kernel_settings() { sysctl "${KERNEL_SETTINGS[@]}" >"$STATE/kernel-settings" 2>/dev/null || true; }

lab_traces() {
  local node
  [ ! -d "$STATE" ] || return 0
  [ ! -d "$(process_hierarchy)/$CGROUP" ] || return 0
  for node in "${NODES[@]}"; do [ ! -e "/run/netns/$(node_netns "$node")" ] || return 0; done
  ip link show "$BRIDGE" >/dev/null 2>&1
}

lab_down() {
  if lab_traces; then
    remove_lab
    printf '[%6.1fs] the lab is removed\n' "$((($(now_ms) - STARTED_MS) / 100))e-1"
  else
    echo "there is no lab on this machine"
  fi
  rm -f "$LOCK"
}

remove_lab() {
  local node link
  end_cgroup ""
  remove_shim_sockets "$STATE"
  unmount_below "$STATE"
  for node in "${NODES[@]}"; do
    ip netns delete "$(node_netns "$node")" 2>/dev/null || true
    # A namespace lives on for a moment after its last process; its link must not.
    ip link delete "$(node_link "$node")" 2>/dev/null || true
  done
  ip link delete "$BRIDGE" 2>/dev/null || true
  iptables -D FORWARD -i "$BRIDGE" -o "$BRIDGE" -m comment --comment quorate-lab -j ACCEPT 2>/dev/null || true
  remove_cgroups
  [ ! -s "$STATE/kernel-settings" ] || sysctl -q -p "$STATE/kernel-settings" >/dev/null 2>&1 || true
  remove_strays
  rm -rf "$STATE"
}

# The CNI library, the shims and the kubelet keep a little outside of every folder that they are told.
remove_strays() {
  local link sandbox
  for sandbox in "$STATE"/nodes/*/containerd/io.containerd.grpc.v1.cri/sandboxes/*; do
    rm -f /var/lib/cni/results/*-"${sandbox##*/}"-*
  done
  for link in /var/log/containers/*; do
    [[ "$(readlink "$link")" != "$STATE"/* ]] || rm -f "$link"
  done
  # A kubelet of the machine itself would have more in its folder than this.
  if [ "$(ls /var/lib/kubelet 2>/dev/null)" = device-plugins ]; then rm -rf /var/lib/kubelet; fi
  rmdir /var/lib/cni/results /var/lib/cni /var/log/containers /run/containerd/s /run/containerd 2>/dev/null || true
}
