# shellcheck shell=bash
# One authority and one certificate per identity, new for every lab.

make_authority() {
  mkdir -p "$STATE/pki"
  new_key ca
  openssl req -x509 -new -key "$STATE/pki/ca.key" -days 3650 -subj /CN=quorate-lab -out "$STATE/pki/ca.crt"
  new_key sa
  openssl pkey -in "$STATE/pki/sa.key" -pubout -out "$STATE/pki/sa.pub"
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/pki/$1.key"; }

make_certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES]
  local base=$STATE/pki/$1
  new_key "$1"
  openssl req -new -key "$base.key" -subj "$2" -out "$base.csr"
  {
    printf 'keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n'
    [ -z "${3:-}" ] || printf 'subjectAltName=%s\n' "$3"
  } >"$base.ext"
  openssl x509 -req -in "$base.csr" -CA "$STATE/pki/ca.crt" -CAkey "$STATE/pki/ca.key" -CAcreateserial \
    -days 3650 -extfile "$base.ext" -out "$base.crt" 2>/dev/null
}

make_kubeconfig() { # NAME: of an identity that has a certificate
  cat <<TEXT
apiVersion: v1
kind: Config
current-context: quorate-lab
clusters:
- name: quorate-lab
  cluster: {server: "https://$HOST_IP:$API_PORT", certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$STATE/pki/$1.crt"), client-key-data: $(base64 -w0 "$STATE/pki/$1.key")}
contexts:
- name: quorate-lab
  context: {cluster: quorate-lab, user: $1}
TEXT
}

make_identities() {
  local name
  umask 077
  make_authority
  make_certificate apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$HOST_IP,IP:10.96.0.1"
  make_certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
  make_certificate admin /O=system:masters/CN=admin
  make_certificate controller-manager /CN=system:kube-controller-manager
  make_certificate scheduler /CN=system:kube-scheduler
  make_certificate proxy /CN=system:kube-proxy
  make_certificate coredns /CN=system:coredns
  make_certificate provisioner /O=system:masters/CN=local-volume-provisioner
  for name in admin controller-manager scheduler proxy coredns provisioner; do make_kubeconfig "$name" >"$STATE/$name.conf"; done
  for name in "${NODES[@]}"; do
    make_certificate "kubelet-$name" "/O=system:nodes/CN=system:node:$name" "DNS:$name,IP:$(node_ip "$name")"
    make_kubeconfig "kubelet-$name" >"$STATE/kubelet-$name.conf"
  done
  umask 022
}
