#!/usr/bin/env bash
# shellcheck shell=bash
# The programs: Debian packages for the container runtime, Go modules for everything of Kubernetes.

# command:package, needed on every start of the lab
HOST_TOOLS=(
  containerd:containerd ctr:containerd runc:runc nft:nftables iptables:iptables ipset:ipset
  conntrack:conntrack ip:iproute2 nsenter:util-linux openssl:openssl curl:curl
  mkfs.xfs:xfsprogs
)
# command:package, needed only while an image or a program is missing from the cache
IMAGE_TOOLS=(mmdebstrap:mmdebstrap cc:gcc)

ensure_tools() { # COMMAND:PACKAGE...
  local pair packages=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
  done
  [ "${#packages[@]}" -gt 0 ] || return 0
  [ "${packages[*]#gcc}" = "${packages[*]}" ] || packages+=(libc6-dev)
  command -v apt-get >/dev/null ||
    die "missing programs; install what your distribution calls: ${packages[*]} (Debian's names; there is no apt-get here)"
  require_root
  # Callers hand over what they print as their result.
  step "installing ${packages[*]}" >&2
  "$LAB_SOURCES/../install-packages" "${packages[@]}"
  # Debian starts a containerd of its own with the package; the lab needs only the program.
  if [[ " ${packages[*]} " == *" containerd "* ]] && [ -d /run/systemd/system ]; then
    systemctl disable --now containerd >/dev/null 2>&1 || true
  fi
}

ensure_host_tools() {
  ensure_tools "${HOST_TOOLS[@]}"
  [ -x /usr/lib/cni/bridge ] || ensure_tools cni-bridge:containernetworking-plugins
  [ -x /usr/lib/cni/bridge ] || die "no CNI plugins in /usr/lib/cni: install containernetworking-plugins"
}

build_go() { # NAME PACKAGE LDFLAGS: in the current module, to the cache; a broken build leaves nothing behind
  local target
  target=$(bin "$1")
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 5 go build -trimpath -ldflags "-s -w $3" -o "$target.part" "$2"
  mv "$target.part" "$target"
  step "built ${target##*/}"
}

# k8s.io/kubernetes names its staging modules by folder; each is replaced by its published version here.
kubernetes_module() {
  local staging=v0.${KUBERNETES_VERSION#v1.} description name
  [ -f go.sum ] && grep -q "k8s.io/kubernetes $KUBERNETES_VERSION" go.mod && return 0
  description=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  {
    printf 'module tools\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$KUBERNETES_VERSION"
    sed -n 's#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 '"$staging"'#p' "$description"
    echo ')'
  } >go.mod
  {
    printf '//go:build tools\n\npackage tools\n\nimport (\n'
    for name in "$@"; do printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "$name"; done
    echo ')'
  } >tools.go
  go mod tidy
}

build_kubernetes() {
  local names=(kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy) name missing=()
  for name in "${names[@]}"; do [ -x "$(bin "$name")" ] || missing+=("$name"); done
  [ "${#missing[@]}" -gt 0 ] || return 0
  require_go
  mkdir -p "$CACHE/build/k8s"
  (
    cd "$CACHE/build/k8s" || exit
    kubernetes_module "${names[@]}"
    for name in "${missing[@]}"; do
      build_go "$name" "k8s.io/kubernetes/cmd/$name" "-X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION \
        -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
    done
  )
}

build_module() { # NAME VERSION PACKAGE [MODULE]: a program whose module builds as it is
  [ ! -x "$(bin "$1")" ] || return 0
  require_go
  mkdir -p "$CACHE/build/$1"
  (
    cd "$CACHE/build/$1" || exit
    printf 'module tools\n\ngo 1.24.0\n' >go.mod
    go get "${4:-$3}@$2"
    build_go "$1" "$3" ""
  )
}

require_go() {
  command -v go >/dev/null ||
    die "programs of Kubernetes are missing from $CACHE/bin and Go is not installed: https://go.dev/dl (1.26 or later)"
}

lab_build() {
  mkdir -p "$CACHE/bin"
  build_kubernetes
  build_module etcd "$ETCD_VERSION" go.etcd.io/etcd/server/v3
  build_module etcdctl "$ETCD_VERSION" go.etcd.io/etcd/etcdctl/v3
  build_module etcdutl "$ETCD_VERSION" go.etcd.io/etcd/etcdutl/v3
  build_module coredns "$COREDNS_VERSION" github.com/coredns/coredns
}

# Fake nodes for thousands of pods: only `make bench-scale` needs it, so nobody else waits for its build.
lab_build_kwok() {
  mkdir -p "$CACHE/bin"
  build_module kwok "$KWOK_VERSION" sigs.k8s.io/kwok/cmd/kwok
}

# The kinds of the Prometheus Operator, whose objects the chart and deploy/ install. Its module brings them as files.
fetch_monitoring_kinds() {
  local target=$CACHE/crds/prometheus-operator-$PROMETHEUS_OPERATOR_VERSION module
  [ ! -d "$target" ] || return 0
  require_go
  mkdir -p "$CACHE/build" "$target.part"
  module=$(cd "$CACHE/build" && go mod download -json "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR_VERSION" |
    sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  cp "$module"/example/prometheus-operator-crd/*_{podmonitors,prometheusrules,servicemonitors}.yaml "$target.part"
  mv "$target.part" "$target"
  step "fetched ${target##*/}"
}

# What judges manifests and workflows, installs the chart, and keeps backups, in tests.
lab_build_checkers() {
  mkdir -p "$CACHE/bin"
  build_module helm "$HELM_VERSION" helm.sh/helm/v3/cmd/helm
  build_module kubeconform "$KUBECONFORM_VERSION" github.com/yannh/kubeconform/cmd/kubeconform
  build_module kube-score "$KUBE_SCORE_VERSION" github.com/zegl/kube-score/cmd/kube-score
  build_module actionlint "$ACTIONLINT_VERSION" github.com/rhysd/actionlint/cmd/actionlint github.com/rhysd/actionlint
  build_module versitygw "$VERSITYGW_VERSION" github.com/versity/versitygw/cmd/versitygw
  fetch_monitoring_kinds
}

# The enforcer of NetworkPolicy: only `lab policies on` needs it.
lab_build_policies() {
  mkdir -p "$CACHE/bin"
  build_module kube-router "$KUBE_ROUTER_VERSION" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
}

# The OpenTelemetry Collector that tests of traces send to: its own builder puts together what they need, and no more.
lab_build_collector() {
  local folder=$CACHE/build/otelcol core=go.opentelemetry.io/collector
  [ ! -x "$(bin otelcol)" ] || return 0
  mkdir -p "$CACHE/bin" "$folder"
  build_module ocb "$COLLECTOR_VERSION" "$core/cmd/builder"
  cat >"$folder/builder.yaml" <<YAML
dist: {name: otelcol, output_path: $folder/made}
receivers: [{gomod: $core/receiver/otlpreceiver $COLLECTOR_VERSION}]
exporters: [{gomod: $core/exporter/otlphttpexporter $COLLECTOR_VERSION}]
providers: [{gomod: $core/confmap/provider/fileprovider $COLLECTOR_STABLE_VERSION}]
conf_resolver: {default_uri_scheme: file}
YAML
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 5 "$(bin ocb)" --config "$folder/builder.yaml"
  mv "$folder/made/otelcol" "$(bin otelcol)"
  step "built otelcol-$COLLECTOR_VERSION"
}

# Tests without a lab need the programs alone, and call this file.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then exec "$(dirname "$0")/lab" build; fi
