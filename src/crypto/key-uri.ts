import { awsPartitionForm, awsPartitionOf, awsRegionForm } from "../core/aws-partitions.js";
import { remoteKeyEncryptionKeyId } from "./envelope.js";

/** Where a key-encryption key is. `text` is how the settings write it. */
export type KeyUri =
  | { kind: "file"; text: string; path: string }
  | { kind: "env"; text: string; name: string }
  | { kind: "awskms"; text: string; id: string; arn: string; region: string }
  | {
      kind: "transit";
      text: string;
      id: string;
      /** `https://host:port`. */
      origin: string;
      mount: string;
      key: string;
      namespace: string | undefined;
    };

// docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN. An alias can be moved to another key.
const kmsArn = new RegExp(
  `^arn:(${awsPartitionForm}):kms:(${awsRegionForm}):(\\d{12}):key/((?:mrk-)?[0-9a-f-]{32,36})$`,
);

const segment = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/**
 * Parses the address of a key: `file:/path`, `env:NAME`, `awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID`,
 * `transit://HOST[:PORT]/MOUNT/KEY[?namespace=NAME]`.
 */
export function parseKeyUri(text: string): { uri: KeyUri } | { mistake: string } {
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/.exec(text) ?? [];
  switch (scheme) {
    case "file": {
      const path = rest.replace(/^\/\/(?=\/)/, "");
      return path === "" ? { mistake: `"${text}" names no file.` } : { uri: { kind: "file", text, path } };
    }
    case "env":
      return /^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)
        ? { uri: { kind: "env", text, name: rest } }
        : { mistake: `"${text}" names no environment variable.` };
    case "awskms":
      return parseKms(text, rest);
    case "transit":
      return parseTransit(text);
    default:
      // It may be a key that was put into the wrong setting, so it is not quoted.
      return { mistake: "a key is written as file:/PATH, env:NAME, awskms:///ARN or transit://HOST/MOUNT/KEY." };
  }
}

function parseKms(text: string, rest: string): { uri: KeyUri } | { mistake: string } {
  const arn = rest.replace(/^\/\/\//, "");
  const [, partition, region, account, key] = kmsArn.exec(arn) ?? [];
  if (region === undefined || account === undefined || key === undefined)
    return { mistake: `"${text}": write awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID, with a key's ID, not an alias.` };
  // The SDK finds the host by the region alone, which would be another cloud's.
  const { id: itsPartition } = awsPartitionOf(region);
  if (partition !== itsPartition)
    return { mistake: `"${text}": ${region} is of the partition ${itsPartition}. Write arn:${itsPartition}:kms:...` };
  // The replicas of a multi-region key are one key.
  const place = key.startsWith("mrk-") ? "" : region;
  const id = remoteKeyEncryptionKeyId(`aws kms ${account} ${place} ${key}`);
  return { uri: { kind: "awskms", text, id, arn, region } };
}

function parseTransit(text: string): { uri: KeyUri } | { mistake: string } {
  const example =
    "write transit://HOST:8200/MOUNT/KEY, such as transit://vault.example.com:8200/transit/factory-secrets";
  const url = URL.canParse(text) ? new URL(text.replace(/^transit:/, "https:")) : undefined;
  const segments = url?.pathname.slice(1).split("/") ?? [];
  const namespace = url?.searchParams.get("namespace") ?? undefined;
  const extra = [...(url?.searchParams.keys() ?? [])].filter((name) => name !== "namespace");
  const isPlain =
    url &&
    !text.includes("/.") &&
    !url.username &&
    !url.password &&
    !url.hash &&
    url.hostname &&
    extra.length === 0 &&
    segments.length >= 2;
  if (!isPlain || !segments.every((part) => segment.test(part))) return { mistake: `"${text}": ${example}.` };
  if (namespace !== undefined && !namespace.split("/").every((part) => segment.test(part)))
    return { mistake: `"${text}": the namespace is a path such as team/ci.` };
  const key = segments[segments.length - 1] ?? "";
  const mount = segments.slice(0, -1).join("/");
  // Not the host: the same Vault can get another name. Another Vault's key of this name has another check value.
  const id = remoteKeyEncryptionKeyId(`transit ${namespace ?? ""} ${mount} ${key}`);
  return { uri: { kind: "transit", text, id, origin: url.origin, mount, key, namespace } };
}
