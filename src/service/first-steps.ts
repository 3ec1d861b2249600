type Where = { url: string; dataDirectory: string | undefined };

/** What a later start prints. */
export function laterStart({ url, dataDirectory }: Where): string {
  const data = dataDirectory === undefined ? "" : `\nData: ${dataDirectory}`;
  return `factory-secrets listens on ${url}${data}
Lost the operator token? Make another: npx factory-secrets operator-token`;
}

/**
 * What the first start prints, once: the operator's token and commands that work as they stand.
 * @param where.keySource - where the active key is, as `KeyEncryptionKey` says it
 * @param where.ownTls - the service shows a certificate of its own, which clients have to trust
 */
export function firstSteps(where: Where & { token: string; keySource: string | undefined; ownTls: boolean }): string {
  const { url, token, dataDirectory, keySource, ownTls } = where;
  const data = dataDirectory === undefined ? "" : `Data: ${dataDirectory}\n`;
  const backup = `${data}${howToKeep(keySource)}: nothing opens without it.`;
  const trust = ownTls
    ? `
  # Only if your own authority made the certificate: where its root is, for curl and for fioctl
  export CURL_CA_BUNDLE=/path/to/ca.pem SSL_CERT_FILE=/path/to/ca.pem
`
    : "";
  return `
factory-secrets listens on ${url}
${backup}

This is the operator's token. It is shown this once. In another terminal:

  export FS_URL=${url}
  export FS_TOKEN=${token}
${trust}
1. Create a factory:

  curl -sS "$FS_URL/v1/factories" -H "OSF-TOKEN: $FS_TOKEN" -H 'Content-Type: application/json' -d '{"name":"acme"}'

2. Store a secret, with fioctl as it is (here: your AWS credentials file). Without a URL fioctl would send the token to
   its own cloud, so this stops when FS_URL is not set:

  printf 'factory: acme\\nserver:\\n  url: %s\\n' "\${FS_URL:?}" > fioctl.yaml &&
  fioctl --config fioctl.yaml --token "$FS_TOKEN" secrets update aws_creds=="$HOME/.aws/credentials"

3. Say which registry it opens:

  printf 'container_registries:\\n- type: aws\\n  region: us-east-2\\n  aws_creds_secret_name: aws_creds\\n' > factory-config.yml
  curl -sS -X PUT "$FS_URL/v1/factories/acme/config" -H "OSF-TOKEN: $FS_TOKEN" -H 'Content-Type: application/yaml' --data-binary @factory-config.yml

4. Open a CI job, and keep its token:

  export JOB_TOKEN=$(curl -sS "$FS_URL/v1/factories/acme/jobs" -H "OSF-TOKEN: $FS_TOKEN" -H 'Content-Type: application/json' -d '{"name":"first job"}' | sed -n 's/.*"token":"\\([^"]*\\)".*/\\1/p')
  : "\${JOB_TOKEN:?no job was opened}"

5. In the job, get a config.json with short-lived registry tokens:

  (umask 077; rm -f config.json; curl -sS --fail-with-body "$FS_URL/v1/factories/acme/registry-tokens" -H "OSF-TOKEN: $JOB_TOKEN" -H 'Content-Type: application/json' -d '{"format":"docker-config"}' -o config.json); cat config.json
`;
}

function howToKeep(keySource: string | undefined): string {
  const [, scheme, place] = /^(file|env):(.+)$/.exec(keySource ?? "") ?? [];
  if (scheme === "file") return `Keep a copy of ${place}`;
  if (scheme === "env") return `Keep a copy of the key in ${place}`;
  return keySource === undefined ? "Keep a copy of the key-encryption key" : `Do not delete ${keySource}`;
}
