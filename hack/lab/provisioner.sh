# shellcheck shell=bash
# Volumes made on demand: a folder of the node's state, given out as a local volume bound to that node.
# Class "local": the folder as it is, as large as the machine's disk whatever was asked for. Class "disk": a file system of
# its own behind the folder, so large as was asked for: it can be full, and it grows while it is mounted.
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

volume_folder() { printf '%s/volumes/%s' "$STATE" "$1"; } # VOLUME
volume_file() { printf '%s/disks/%s' "$STATE" "$1"; }     # VOLUME

bytes() { numfmt --from=auto "$1"; } # QUANTITY

# XFS, because ext4 grows while it is mounted only for who has CAP_SYS_RESOURCE.
make_disk() { # VOLUME SIZE
  local folder file
  folder=$(volume_folder "$1")
  file=$(volume_file "$1")
  mountpoint -q "$folder" || {
    mkdir -p "$folder" "${file%/*}" &&
      truncate --size="$(bytes "$2")" "$file" &&
      mkfs.xfs -q -f "$file" &&
      mount -o loop "$file" "$folder" # its device goes with the mount
  }
}

grow_disk() { # VOLUME SIZE
  local file
  file=$(volume_file "$1")
  truncate --size="$(bytes "$2")" "$file" &&
    losetup --set-capacity "$(losetup --noheadings --output NAME --associated "$file")" &&
    xfs_growfs "$(volume_folder "$1")" >/dev/null
}

api() { # METHOD PATH [BODY]: prints the HTTP status
  curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' --cacert "$STATE/pki/ca.crt" \
    --cert "$STATE/pki/provisioner.crt" --key "$STATE/pki/provisioner.key" --request "$1" \
    --header "content-type: $([ "$1" = PATCH ] && echo application/merge-patch+json || echo application/json)" ${3:+--data "$3"} "https://$HOST_IP:$API_PORT$2" || true
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
  local namespace name uid class node phase volume size mode deleted held
  watch_lines '{.metadata.namespace}|{.metadata.name}|{.metadata.uid}|{.spec.storageClassName}|{.metadata.annotations.volume\.kubernetes\.io/selected-node}|{.status.phase}|{.spec.volumeName}|{.spec.resources.requests.storage}|{.spec.accessModes[0]}|{.metadata.deletionTimestamp}|{.status.capacity.storage}' \
    persistentvolumeclaims --all-namespaces |
    while IFS='|' read -r namespace name uid class node phase volume size mode deleted held; do
      if [ "$phase" = Pending ] && [ -n "$node" ] && [ -z "$volume$deleted" ]; then
        case $class in
        local) mkdir -p "$(volume_folder "pvc-$uid")" ;;
        disk) make_disk "pvc-$uid" "$size" || continue ;;
        *) continue ;;
        esac
        printf '%s/%s on %s: pvc-%s %s\n' "$namespace" "$name" "$node" "$uid" \
          "$(api POST /api/v1/persistentvolumes "$(volume_object "$namespace" "$name" "$uid" "$node" "$size" "$mode" "$class")")"
      elif [ "$class/$phase" = disk/Bound ] && [ -n "$held" ] && [ "$(bytes "$size")" -gt "$(bytes "$held")" ]; then
        # The kubelet sees a volume larger than its claim says, and tells the claim.
        grow_disk "$volume" "$size" || continue
        printf '%s/%s: %s grown to %s %s\n' "$namespace" "$name" "$volume" "$size" \
          "$(api PATCH "/api/v1/persistentvolumes/$volume" '{"spec": {"capacity": {"storage": "'"$size"'"}}}')"
      fi
    done
}

volume_object() { # NAMESPACE CLAIM UID NODE SIZE MODE CLASS
  cat <<TEXT
{"apiVersion": "v1", "kind": "PersistentVolume",
 "metadata": {"name": "pvc-$3", "annotations": {"pv.kubernetes.io/provisioned-by": "$PROVISIONER"}},
 "spec": {"capacity": {"storage": "$5"}, "accessModes": ["$6"], "volumeMode": "Filesystem",
  "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "$7", "local": {"path": "$(volume_folder "pvc-$3")"},
  "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "$1", "name": "$2", "uid": "$3"},
  "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
    [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["$4"]}]}]}}}}
TEXT
}

reclaim_volumes() {
  local name class phase policy
  watch_lines '{.metadata.name}|{.spec.storageClassName}|{.status.phase}|{.spec.persistentVolumeReclaimPolicy}' persistentvolumes |
    while IFS='|' read -r name class phase policy; do
      if [[ $class/$phase/$policy =~ ^(local|disk)/Released/Delete$ ]]; then
        ! mountpoint -q "$(volume_folder "$name")" || umount "$(volume_folder "$name")"
        rm -rf "$(volume_folder "$name")" "$(volume_file "$name")"
        printf '%s released: deleted %s\n' "$name" "$(api DELETE "/api/v1/persistentvolumes/$name")"
      fi
    done
}
