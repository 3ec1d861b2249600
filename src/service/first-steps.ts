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
  # Only if a private authority made the certificate: its root, for the command line, curl and fioctl
  export FACTORY_SECRETS_CA_FILE=/path/to/ca.pem CURL_CA_BUNDLE=/path/to/ca.pem SSL_CERT_FILE=/path/to/ca.pem
`
    : "";
  return `
factory-secrets listens on ${url}
${backup}

This is the operator's token. It is shown this once. In the clone, in another terminal:

  export FACTORY_SECRETS_URL=${url} FACTORY_SECRETS_FACTORY=acme
  export FACTORY_SECRETS_TOKEN=${token}
${trust}
1. Create a factory:

  npx factory-secrets factories create acme

2. Store a secret, here your AWS credentials file (fioctl works too, see README.md):

  npx factory-secrets secrets set aws_creds --from-file ~/.aws/credentials

3. Add the registry that it opens, and try it:

  npx factory-secrets registries add --type aws --region us-east-2 --secret aws_creds
  npx factory-secrets secrets doctor aws_creds

4. Open a job and keep its token:

  export JOB_TOKEN=$(npx factory-secrets jobs open "first job")

5. As the job, log docker in with a short-lived registry token:

  FACTORY_SECRETS_TOKEN=$JOB_TOKEN npx factory-secrets ci login
`;
}

function howToKeep(keySource: string | undefined): string {
  const [, scheme, place] = /^(file|env):(.+)$/.exec(keySource ?? "") ?? [];
  if (scheme === "file") return `Keep a copy of ${place}`;
  if (scheme === "env") return `Keep a copy of the key in ${place}`;
  return keySource === undefined ? "Keep a copy of the key-encryption key" : `Do not delete ${keySource}`;
}
