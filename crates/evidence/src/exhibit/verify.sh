#!/usr/bin/env bash
# Verifies one event of a Tachograph log with bash, openssl, sha256sum and xxd, and says what it could not check.
# verify.sh [--vkey KEY] [--roots FILE.pem] [--witnesses POLICY] [DIRECTORY]    exit 0 valid, 2 usage, 10 invalid, 12 not verifiable
set -euo pipefail; shopt -s nullglob; roots='' policy=/dev/null quorum=none stamped=0 vouched=0 lacks=0 self=$(realpath "$0"); unset vkey logs CDPATH; declare -A met=()
say() { printf %s "$*" | tr -c '[:print:]' '?'; echo; }; fail() { say "INVALID       $*"; exit 10; } # escapes reach no terminal
valid() { say "VALID         $*"; }; unsure() { say "UNVERIFIABLE  $*"; }; lack() { unsure "$*"; lacks=12; }; usage() { { say "$*"; sed -n 's/^# \(verify.sh .*\)    .*/usage: \1/p' "$self"; } >&2; exit 2; }
hex() { base64 -d <<<"$1" 2>/dev/null | xxd -p | tr -d '\n'; }; sha() { xxd -r -p <<<"$1" | sha256sum | cut -c1-64; }; wrong() { usage "--witnesses: not a policy (C2SP tlog-policy): $word $name $by"; }
parse() { [[ $1 =~ ^[^+[:space:]]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$ ]] || return 1; name=${1%%+*} id=${1#*+}; raw=$(hex "${id#*+}") || return 1; id=${id%%+*}
  [ "$({ printf '%s\n' "$name"; xxd -r -p <<<"$raw"; } | sha256sum | cut -c1-8)" = "$id" ]; } # is KEY one?
plain() { [ ! -f "$1" ] || [ -r "$1" ] || { unsure "$1 may not be read"; exit 12; }; { [ -f "$1" ] && [ -s "$1" ] && [ "$(wc -c <"$1")" -le 2097152 ]; } || fail "$1 is missing, or is no file of an exhibit"; }
holds() { [ -f "$1" ] && grep -Eq -e "$2" "$1"; }; for tool in xxd cmp date openssl; do command -v $tool >/dev/null || { unsure "there is no $tool here"; exit 12; }; done
while [[ ${1-} == -* ]]; do [ $# -gt 1 ] || usage "$1: no such option, or nothing behind it"; case $1 in
  --vkey) vkey=$2; { parse "$2" && [[ $raw =~ ^01.{64}$ ]]; } || usage "--vkey: that is not a verifier key (NAME+ID+BASE64): $2" ;;
  --roots) holds "$2" '-BEGIN CERT' || usage "--roots: that is not a file of certificates (PEM): $2"; roots=$(realpath "$2") ;;
  --witnesses) holds "$2" '^\s*(log|witness|quorum)\s' || usage "--witnesses: that is not a file with a policy: $2"; policy=$(realpath "$2") quorum='' ;;
  *) usage "$1: no such option" ;; esac; shift 2; done; [ $# -le 1 ] || usage "one directory, behind the options, not: $*"
cd "${1:-$(dirname "$0")}" 2>/dev/null || usage "not a directory: $1"; tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
[ -e event.json ] || [ -e SHA256SUMS ] || usage "there is no exhibit in $PWD: name the directory that tacho proof --out wrote"
signed() { local name id raw sig='' who blob; parse "$1" || return 3; [ "$(wc -l <"$3")" -le 200 ] || return 1 # KEY TEXT NOTE: did KEY sign TEXT, says NOTE; 2 it does not say, 3 no Ed25519 key
  while read -r _ who blob; do [ "$who" != "$name" ] || blob=$(hex "$blob") || blob=; [ "$who ${blob:0:8}" != "$name $id" ] || sig=${blob:8}; done < <(sed '1,/^$/d' "$3")
  [ -n "$sig" ] || return 2; case ${raw:0:2} in 01) cat "$2" >"$tmp/message" ;; 04) [ ${#sig} = 144 ] || return 1
    { printf 'cosignature/v1\ntime %d\n' "$((16#${sig:0:16}))"; cat "$2"; } >"$tmp/message"; sig=${sig:16} ;; *) return 3 ;; esac
  xxd -r -p <<<"302a300506032b6570032100${raw:2}" >"$tmp/key"; xxd -r -p <<<"$sig" >"$tmp/sig"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key" -rawin -in "$tmp/message" -sigfile "$tmp/sig" &>/dev/null; }
for file in SHA256SUMS event.json event.tlog-proof checkpoint *.tsr [c]osigned [r]evoked.note; do plain "$file"; done
while read -r sum file || [ -n "$sum" ]; do case $file in '' | /* | *..*) fail "SHA256SUMS is not as it was written" ;; esac
  plain "$file"; [ "$(sha256sum <"$file" | cut -c1-64)" = "$sum" ] || fail "$file is not as it was written"; done <SHA256SUMS
head=checkpoint; [ ! -e cosigned ] || head=cosigned; sed '1,/^$/d' event.tlog-proof | cmp -s - "$head" || fail "the receipt is under another head than $head"
sed '/^$/,$d' "$head" >"$tmp/text"; sed '/^$/,$d' checkpoint | cmp -s - "$tmp/text" || fail "there are two heads"
mapfile -t text <"$tmp/text"; mapfile -t path < <(sed '/^$/,$d' event.tlog-proof); size=${text[1]-} at=${path[1]-}; at=${at#index }
{ [[ "$size $at" =~ ^[1-9][0-9]{0,17}\ (0|[1-9][0-9]{0,17})$ ]] && ((at < size)); } || fail "event $at of $size"; last=$((size - 1)) seq=$at hash=$({ printf '\0'; cat event.json; } | sha256sum | cut -c1-64)
for sibling in "${path[@]:2}"; do ((last > 0)) || fail "the inclusion path is too long" # RFC 9162, section 2.1.3.2
  if ((at & 1 || at == last)); then hash=$(sha "01$(hex "$sibling")$hash"); while ((at && !(at & 1))); do at=$((at >> 1)) last=$((last >> 1)); done
  else hash=$(sha "01$hash$(hex "$sibling")"); fi; at=$((at >> 1)) last=$((last >> 1)); done
[ "$last $hash" = "0 $(hex "${text[2]-}")" ] || fail "event.json is not in the log at its place"; valid "content: event.json is event $seq of the $size under the head"
plain vkey; key=$(cat vkey) own=" $key "; parse "$key" || fail "vkey is not a verifier key"; [ "$name" = "${text[0]}" ] || fail "the head is of the log ${text[0]}, and the key of the log $name"
for note in epochs/*.note; do plain "$note"; sed '/^$/,$d' "$note" >"$tmp/epoch"; next=$(grep -m 1 '^key ' "$tmp/epoch" | cut -c5-) from=$(sed -n 's/^size //p' "$tmp/epoch")
  [ "$(sed 2q "$tmp/epoch")" = $'tachograph/key-epoch/v1\n'"${text[0]}" ] || fail "$note hands over no key of this log"
  for by in "$key" "$next"; do signed "$by" "$tmp/epoch" "$note" || fail "$note is not signed by $by"; done; key=$next own+="$next " # the key before vouches for the new one
  { [[ $from =~ ^[1-9][0-9]{0,17}$ ]] && ((from < size)); } || fail "$note is of a key that may not sign this head"; done; signed "$key" "$tmp/text" checkpoint || fail "the head is not signed by $key"
if [[ $own == *" ${vkey-$key} "* ]]; then valid "signature: the log's key signed the head$([ -n "${vkey-}" ] || echo "; it came with the event: compare vkey")"
else lack "signature: --vkey is none of the keys that lead to this head: of another log or epoch, or this is forged"; fi
set -f; while read -r word name by rest || [ -n "$word" ]; do state=0 count=0; case $word in '' | '#'*) ;; # C2SP tlog-policy
  witness) who=${by%%+*}; raw=$(parse "$by" && echo "$raw") || wrong; [[ $raw == 0[46]* && $name != none && -z ${met[$name]-}${met[" $raw"]-} ]] || wrong; met[" $raw"]=1
    signed "$by" "$tmp/text" "$head" || state=$?; met[$name]=$((state == 0)); case $state in 0) valid "witness: $who" ;;
    1) fail "witness $who: its cosignature is false" ;; 2) unsure "witness: $who did not cosign" ;; *) unsure "witness: $who: its key is not Ed25519" ;; esac ;;
  group) for one in $rest; do [[ -n ${met[$one]-} && -z ${met["  $one"]-} ]] || wrong; met["  $one"]=1 count=$((count + 1)) state=$((state + ${met[$one]})); done
    case $by in any) by=1 ;; all) by=$count ;; esac; [[ $by =~ ^[1-9][0-9]?$ && by -le count && -z ${met[$name]-} && $name != none ]] || wrong; met[$name]=$((state >= by)) ;;
  quorum) [[ -z $quorum$by && ($name == none || -n ${met[${name:-none}]-}) ]] || wrong; quorum=$name ;; log) (parse "$name") || wrong; [[ $own != *" $name "* ]] || logs=own
    logs=${logs-other} ;; *) wrong ;; esac; done <"$policy"; set +f; [ -n "$quorum" ] || word='no quorum' wrong; [ "${logs-own}" = own ] || lack "signature: the policy names no key of this log"
if [ "$quorum" = none ]; then unsure "witnesses: name those to ask for with --witnesses POLICY"; elif [ "${met[${quorum:-none}]-}" = 1 ]
then valid "witnesses: the quorum of the policy cosigned the head"; vouched=1; else lack "witnesses: not the quorum that the policy asks for"; fi
[ $vouched = 1 ] || unsure "epoch: whether the key was in force: tacho verify, on the log, tells"; [ ! -e revoked.note ] || lack "epoch: revoked.note revokes the key for this head: tacho verify judges that"
decimal() { local t=$1; while [[ $t =~ 0x([0-9A-F]{1,15})\  ]]; do t=${t/"${BASH_REMATCH[0]}"/"$((16#${BASH_REMATCH[1]})) "}; done; printf '%s\n' "$t"; }
verify() { openssl ts -verify -in "$token" -data checkpoint -attime "$(date -d "$time" +%s)" -CAfile "$@" &>/dev/null; }; for token in *.tsr; do [ -n "$roots" ] || break
  stamp=$(openssl ts -reply -in "$token" -token_out -text 2>/dev/null) || fail "$token"; time=$(sed -n 's/\.[0-9]* / /; s/^Time stamp: //p' <<<"$stamp")
  openssl ts -reply -in "$token" -token_out 2>/dev/null | openssl pkcs7 -inform DER -print_certs >"$tmp/own" || fail "$token"
  if verify "$roots"; then valid "time: the head was there by $time, accuracy $(decimal "$(sed -n 's/^Accuracy: //p' <<<"$stamp")") ($token)"; stamped=1
  elif verify "$tmp/own" -partial_chain; then unsure "time: $token is under none of the roots"; else fail "$token"; fi; done
case ${roots:+roots}$stamped in 0) unsure "time: name the authorities' roots with --roots FILE.pem" ;; roots0) lack "time: no time-stamp is under the roots" ;; esac; exit $((vouched || stamped ? lacks : 12))
