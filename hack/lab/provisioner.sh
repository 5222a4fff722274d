# shellcheck shell=bash
# Volumes made on demand: a folder of the node's state, given out as a local volume bound to that node.
# Two watches print one line per change; a line is acted on as often as it comes.

PROVISIONER=lab.quorate.io/local

start_provisioner() {
  mkdir -p "$STATE/volumes"
  spawn provisioner control-plane "" bash -c "
    set -euo pipefail
    source '$LAB_SOURCES/env.sh'
    source '$LAB_SOURCES/provisioner.sh'
    provision_volumes & reclaim_volumes & wait"
}

api() { # METHOD PATH [BODY]: prints the HTTP status
  curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' --cacert "$STATE/pki/ca.crt" \
    --cert "$STATE/pki/provisioner.crt" --key "$STATE/pki/provisioner.key" --request "$1" \
    --header 'content-type: application/json' ${3:+--data "$3"} "https://$HOST_IP:$API_PORT$2" || true
}

watch_lines() { # JSONPATH RESOURCE...: for ever, over restarts of the API server
  local template=$1
  shift
  while :; do
    "$(bin kubectl)" --kubeconfig="$STATE/provisioner.conf" get "$@" --watch -o "jsonpath=$template{\"\\n\"}" 2>/dev/null || true
    sleep 1
  done
}

provision_volumes() {
  local namespace name uid class node phase volume size mode deleted
  watch_lines '{.metadata.namespace}|{.metadata.name}|{.metadata.uid}|{.spec.storageClassName}|{.metadata.annotations.volume\.kubernetes\.io/selected-node}|{.status.phase}|{.spec.volumeName}|{.spec.resources.requests.storage}|{.spec.accessModes[0]}|{.metadata.deletionTimestamp}' \
    persistentvolumeclaims --all-namespaces |
    while IFS='|' read -r namespace name uid class node phase volume size mode deleted; do
      if [ "$class" = local ] && [ "$phase" = Pending ] && [ -n "$node" ] && [ -z "$volume$deleted" ]; then
        mkdir -p "$STATE/volumes/pvc-$uid"
        printf '%s/%s on %s: pvc-%s %s\n' "$namespace" "$name" "$node" "$uid" \
          "$(api POST /api/v1/persistentvolumes "$(volume_object "$namespace" "$name" "$uid" "$node" "$size" "$mode")")"
      fi
    done
}

volume_object() { # NAMESPACE CLAIM UID NODE SIZE MODE
  cat <<TEXT
{"apiVersion": "v1", "kind": "PersistentVolume",
 "metadata": {"name": "pvc-$3", "annotations": {"pv.kubernetes.io/provisioned-by": "$PROVISIONER"}},
 "spec": {"capacity": {"storage": "$5"}, "accessModes": ["$6"], "volumeMode": "Filesystem",
  "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "local", "local": {"path": "$STATE/volumes/pvc-$3"},
  "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "$1", "name": "$2", "uid": "$3"},
  "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
    [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["$4"]}]}]}}}}
TEXT
}

reclaim_volumes() {
  local name class phase policy
  watch_lines '{.metadata.name}|{.spec.storageClassName}|{.status.phase}|{.spec.persistentVolumeReclaimPolicy}' persistentvolumes |
    while IFS='|' read -r name class phase policy; do
      if [ "$class/$phase/$policy" = local/Released/Delete ]; then
        rm -rf "${STATE:?}/volumes/$name"
        printf '%s released: deleted %s\n' "$name" "$(api DELETE "/api/v1/persistentvolumes/$name")"
      fi
    done
}
