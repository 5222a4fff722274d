# shellcheck shell=bash
# etcd, API server, controller manager, scheduler and name resolution: processes of the host, on the bridge's address.

start_etcd() {
  # Without fsync: the lab's own store is thrown away, and a shared disk would be measured instead of the product.
  spawn etcd control-plane "" "$(bin etcd)" --name=lab --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
    --initial-cluster=lab=http://127.0.0.1:2380 --auto-compaction-retention=10m
}

# With aggregator routing it calls webhooks by the addresses of their pods: the host has no kube-proxy that would know their Services.
start_apiserver() {
  spawn apiserver control-plane "" "$(bin kube-apiserver)" \
    --etcd-servers=http://127.0.0.1:2379 --bind-address="$HOST_IP" --advertise-address="$HOST_IP" --secure-port="$API_PORT" \
    --tls-cert-file="$STATE/pki/apiserver.crt" --tls-private-key-file="$STATE/pki/apiserver.key" \
    --client-ca-file="$STATE/pki/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$STATE/pki/sa.pub" \
    --service-account-signing-key-file="$STATE/pki/sa.key" --service-cluster-ip-range="$SERVICE_NETWORK" \
    --kubelet-client-certificate="$STATE/pki/kubelet-client.crt" --kubelet-client-key="$STATE/pki/kubelet-client.key" \
    --kubelet-certificate-authority="$STATE/pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --allow-privileged --enable-aggregator-routing --profiling=false
}

apiserver_ready() {
  curl --silent --fail --max-time 2 --cacert "$STATE/pki/ca.crt" --cert "$STATE/pki/admin.crt" --key "$STATE/pki/admin.key" \
    "https://$HOST_IP:$API_PORT/readyz"
}

# A lost node is seen after 16 s, where stock Kubernetes takes 40: the same path, shorter tests.
start_controller_manager() {
  spawn controller-manager control-plane "" "$(bin kube-controller-manager)" --bind-address=127.0.0.1 --leader-elect=false \
    --kubeconfig="$STATE/controller-manager.conf" --authentication-kubeconfig="$STATE/controller-manager.conf" \
    --authorization-kubeconfig="$STATE/controller-manager.conf" --use-service-account-credentials \
    --service-account-private-key-file="$STATE/pki/sa.key" --root-ca-file="$STATE/pki/ca.crt" \
    --cluster-signing-cert-file="$STATE/pki/ca.crt" --cluster-signing-key-file="$STATE/pki/ca.key" \
    --node-monitor-grace-period=16s --node-monitor-period=2s --profiling=false
}

start_scheduler() {
  spawn scheduler control-plane "" "$(bin kube-scheduler)" --bind-address=127.0.0.1 --leader-elect=false \
    --kubeconfig="$STATE/scheduler.conf" --authentication-kubeconfig="$STATE/scheduler.conf" \
    --authorization-kubeconfig="$STATE/scheduler.conf" --profiling=false
}

# Names outside the cluster get NXDOMAIN at once: pods have no way out, and a resolver that waits would hide that.
start_coredns() {
  cat >"$STATE/Corefile" <<TEXT
cluster.local in-addr.arpa {
  bind $HOST_IP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $STATE/coredns.conf
    ttl 1
  }
}
. {
  bind $HOST_IP
  template ANY ANY {
    rcode NXDOMAIN
  }
}
TEXT
  spawn coredns control-plane "" "$(bin coredns)" -conf "$STATE/Corefile" -quiet
}

cluster_objects() {
  cat <<TEXT
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:coredns"}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:coredns"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $DNS_IP
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-host, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: [$HOST_IP], conditions: {ready: true}}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: $PROVISIONER
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disk}
provisioner: $PROVISIONER
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
allowVolumeExpansion: true
TEXT
}

make_bridge() {
  ip link add "$BRIDGE" type bridge
  ip addr add "$HOST_IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  # A firewall that forwards nothing by default (Docker's, say) would also stop what the bridge carries between nodes.
  if iptables -S FORWARD 2>/dev/null | grep -q -- '-P FORWARD DROP'; then
    iptables -I FORWARD -i "$BRIDGE" -o "$BRIDGE" -m comment --comment quorate-lab -j ACCEPT
  fi
}
