#!/bin/sh
# Installs Tachograph as a service of its own user, or takes the program away again. Run it as root.
# Running it again brings program and unit up to date; configuration and evidence stay as they are.
set -eu
umask 022

usage() {
  cat <<'EOT'
usage: install.sh [OPTION...]

  --binary FILE      the program to install (default: target/release/tacho beside this directory)
  --head-copy DIR    second place for the newest signed head: another disk, or a mount from another machine
  --no-head-copy     none, and do not ask: whoever owns this machine can then cut the log back unnoticed
  --root DIR         install below DIR (staging): no user is made, no service started
  --owner UID:GID    who owns configuration and evidence (default: tachograph:tachograph; with --root: unchanged)
  --no-start         install, and leave starting to you
  --uninstall        stop the service, take program and unit away; configuration, user and evidence stay
EOT
}

say() { printf '%s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
readonly here
readonly name=tachograph
binary=$here/../target/release/tacho
root='' owner='' head_copy='' ask=yes start=yes uninstall=no

while [ "$#" -gt 0 ]; do
  case $1 in
    --binary | --head-copy | --root | --owner)
      [ "$#" -ge 2 ] || die "$1 needs a value"
      case $1 in
        --binary) binary=$2 ;;
        --head-copy) head_copy=$2 ask=no ;;
        --root) root=${2%/} ;;
        --owner) owner=$2 ;;
      esac
      shift
      ;;
    --no-head-copy) ask=no ;;
    --no-start) start=no ;;
    --uninstall) uninstall=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done

readonly program="$root/usr/local/bin/tacho"
readonly unit="$root/etc/systemd/system/$name.service"
readonly dropin="$unit.d/head-copy.conf"
readonly settings="$root/etc/$name"
readonly config="$settings/tacho.toml"
readonly evidence="$root/var/lib/$name"

[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "run it as root, or stage with --root DIR"

has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

if [ "$uninstall" = yes ]; then
  if has_systemd && [ -e "$unit" ]; then systemctl disable --now "$name" || die "the service does not stop"; fi
  rm -f "$program" "$unit" "$dropin"
  rmdir "$unit.d" 2>/dev/null || true
  if has_systemd; then systemctl daemon-reload; fi
  say "Program and service are gone."
  say "Left as they are: evidence and keys in $evidence, configuration in $settings, the user $name."
  exit 0
fi

if [ ! -f "$binary" ] || [ ! -x "$binary" ]; then
  die "there is no program at $binary: build it (cargo build --release), or name it with --binary"
fi

if [ "$ask" = yes ] && [ -t 0 ]; then
  say "The newest signed head should also lie in a second place that who owns this machine does not own alone:"
  say "another disk, or a mount from another machine. Without one, a log that is cut back looks whole."
  printf 'Directory (empty for none): '
  read -r head_copy
fi
case $head_copy in
  '') ;;
  *[!A-Za-z0-9/._-]*) die "--head-copy takes letters, digits and / . _ - only: $head_copy" ;;
  /*) ;;
  *) die "--head-copy needs an absolute path: $head_copy" ;;
esac
case $head_copy/ in
  /var/lib/$name/*) die "a second place within /var/lib/$name is no second place" ;;
esac

# A user of its own, who owns nothing else and cannot log in.
if [ -z "$root" ] && [ -z "$owner" ]; then
  getent group "$name" >/dev/null || groupadd --system "$name"
  getent passwd "$name" >/dev/null ||
    useradd --system --gid "$name" --home-dir "/var/lib/$name" --no-create-home --shell /usr/sbin/nologin "$name"
  owner=$name:$name
fi

# own MODE WHO PATH...: who is `recorder` or `root`, and no other has rights that the mode does not say.
own() {
  mode=$1 who=$2
  shift 2
  chmod "$mode" "$@"
  if [ "$(id -u)" = 0 ] && [ -n "$owner" ]; then
    case $who in
      recorder) chown "$owner" "$@" ;;
      *) chown "0:${owner#*:}" "$@" ;;
    esac
  fi
}

mkdir -p "$(dirname "$program")" "$(dirname "$unit")" "$settings"

# The running program keeps its file; the new one takes the name in one step.
install -m 0755 "$binary" "$program.new"
mv -f "$program.new" "$program"
install -m 0644 "$here/$name.service" "$unit"

# The recorder reads its configuration and cannot change it: what governs it is not its own to decide.
own 0750 root "$settings"
[ -e "$config" ] || install -m 0640 "$here/tacho.toml" "$config"
own 0640 root "$config"

# Modes within are the recorder's own matter; an existing record is not touched.
if [ ! -d "$evidence" ]; then
  mkdir -p "$(dirname "$evidence")"
  mkdir -m 0700 "$evidence"
  own 0700 recorder "$evidence"
fi

if [ -n "$head_copy" ]; then
  if [ ! -d "$root$head_copy" ]; then
    mkdir -p "$root$head_copy"
    own 0700 recorder "$root$head_copy"
  fi
  if [ "$(stat -c %d "$root$head_copy")" = "$(stat -c %d "$evidence")" ]; then
    say "warning: $head_copy lies on the same disk as the evidence: it outlives neither the disk nor its owner"
  fi
  if ! grep -q '^\[copy\]' "$config"; then
    printf '\n# The newest signed head lies here as well.\n[copy]\ndirectory = "%s"\n' "$head_copy" >>"$config"
  elif ! grep -qF "directory = \"$head_copy\"" "$config"; then
    die "$config names another second place already: change it there"
  fi
  mkdir -p "$unit.d"
  printf '[Service]\nReadWritePaths=%s\n' "$head_copy" >"$dropin"
  chmod 0644 "$dropin"
elif ! grep -q '^\[copy\]' "$config"; then
  say "warning: there is no second place for the signed head (--head-copy DIR): whoever owns this machine can cut the log back unnoticed"
fi

say "program        $program"
say "unit           $unit"
say "configuration  $config"
say "evidence       $evidence"
if has_systemd; then
  systemctl daemon-reload
  if [ "$start" = yes ]; then
    systemctl enable "$name"
    systemctl restart "$name" || die "the service does not start: see journalctl -u $name"
    say "running: tacho status --data $evidence, as root or $name"
  fi
fi
