#!/bin/sh
# Writes a config.json for the containers of this device. Its certificate is all that it has.
set -eu
umask 077
DEVICE_URL=${DEVICE_URL:-https://secrets.example.com:8443} # FACTORY_SECRETS_DEVICE_PORT of the service
FACTORY=${FACTORY:-acme}
CERTIFICATES=${CERTIFICATES:-/var/sota} # client.pem, pkey.pem, and root.crt for the service's own certificate
CONFIG=${CONFIG:-${HOME:-/root}/.docker/config.json} # replaced as a whole

mkdir -p "$(dirname "$CONFIG")"
new=$(mktemp "$CONFIG.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM
curl -sS --fail-with-body --cert "$CERTIFICATES/client.pem" --key "$CERTIFICATES/pkey.pem" \
  --cacert "$CERTIFICATES/root.crt" -H 'Content-Type: application/json' -d '{"format":"docker-config"}' \
  -o "$new" "$DEVICE_URL/v1/factories/$FACTORY/registry-tokens" || {
  cat "$new" >&2
  exit 1
}
grep -q '"auths"' "$new" || {
  echo "What answers at $DEVICE_URL is not factory-secrets." >&2
  exit 1
}
# In one step, so that no pull ever sees half of it.
mv "$new" "$CONFIG"
