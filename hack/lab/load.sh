# shellcheck shell=bash
# Images into nodes. Before a lab starts they are unpacked once, into a store in the cache, and each node gets a copy
# made of hard links: nothing ever writes to an unpacked layer. A running lab gets changed images through containerd.

import_archive() { # SOCKET: the archive comes on standard input
  ctr --address "$1" --namespace k8s.io images import - >/dev/null
}

loaded_images() { # FOLDER: marks of what a store or lab holds are files NAME that say the image's folder
  local name
  for name in "${DEFAULT_IMAGES[@]}" patroni; do
    [ ! -L "$CACHE/images/$name" ] || [ "$(cat "$1/$name" 2>/dev/null)" = "$(readlink "$CACHE/images/$name")" ] || echo "$name"
  done
}

refresh_store() {
  local store=$CACHE/store socket=$STATE/store.sock changed name
  mkdir -p "$store/images"
  changed=$(loaded_images "$store/images")
  [ -n "$changed" ] || return 0
  cat >"$STATE/store.toml" <<TEXT
version = 2
root = "$store/containerd"
state = "$STATE/store-run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/store-opt"
TEXT
  spawn store store "" containerd --log-level=warn -c "$STATE/store.toml"
  wait_until 30 "containerd of the image store" ctr --address "$socket" --timeout 2s version
  for name in $changed; do
    # Without the mark while it is imported: a crash here must not leave a half image that looks whole.
    rm -f "$store/images/$name"
    image_archive "$name" | import_archive "$socket"
    readlink "$CACHE/images/$name" >"$store/images/$name"
  done
  kill -TERM "$(pid_of store)"
  wait_until 10 "end of the image store" not_running store
  rm -rf "$STATE"/store{.sock,.sock.ttrpc,.toml,-run,-opt} "$STATE/pids/store"
  step "unpacked ${changed//$'\n'/ }"
}

not_running() { ! pid_of "$1" >/dev/null; }

give_store() { # NODE
  local target file
  target=$(node_dir "$1")/containerd
  rm -rf "$target"
  cp -al "$CACHE/store/containerd" "$target" 2>/dev/null || {
    rm -rf "$target"
    cp -a "$CACHE/store/containerd" "$target"
  }
  # Databases are written in place, so every node needs its own.
  while read -r file; do
    cp --remove-destination "$CACHE/store/containerd/$file" "$target/$file"
  done < <(cd "$CACHE/store/containerd" && find . -name '*.db')
}

on_every_node() { # COMMAND...: side by side, with the node as last argument; fails when one fails
  local node jobs=() job failed=0
  for node in "${NODES[@]}"; do
    "$@" "$node" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  return "$failed"
}

import_file() { # FILE NAME NODE: whatever name the archive says, the image gets this one
  local socket inside
  socket=$(node_dir "$3")/containerd.sock
  inside=$(ctr --address "$socket" --namespace k8s.io images import "$1" | sed -n 's/^unpacking \([^ ]*\) .*/\1/p' | head -n1)
  [ -n "$inside" ] || die "$1: no image in it"
  [ "$inside" = "$2" ] || ctr --address "$socket" --namespace k8s.io images tag --force "$inside" "$2" >/dev/null
}

import_image() { # NAME NODE
  image_archive "$1" | import_archive "$(node_dir "$2")/containerd.sock"
}

load_changed_images() {
  local name
  for name in $(loaded_images "$STATE/images"); do
    on_every_node import_image "$name" || die "image $name: not every node took it"
    readlink "$CACHE/images/$name" >"$STATE/images/$name"
    step "loaded $(image_reference "$name")"
  done
}

lab_load_image() { # NAME TAR
  [ $# -eq 2 ] || die "usage: lab load-image NAME TAR"
  [ -f "$2" ] || die "no such archive: $2"
  lab_is_up || die "the lab is not up"
  local wanted=$1
  case $wanted in
    */*/* | localhost/*) ;;
    */*) wanted=docker.io/$wanted ;;
    *) wanted=docker.io/library/$wanted ;;
  esac
  on_every_node import_file "$2" "$wanted" || die "$2: not every node took it"
  step "loaded $wanted"
}
