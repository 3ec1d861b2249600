import type { KeyEncryptionKey } from "../../../../src/crypto/key-encryption-key.js";
import { parseKeyUri } from "../../../../src/crypto/key-uri.js";
import { awsKmsKey } from "../../../../src/crypto/sources/aws-kms.js";
import { type TransitToken, transitKey } from "../../../../src/crypto/sources/transit.js";
import { parseAddressRanges } from "../../../../src/outbound/addresses.js";
import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import { policyAllowing } from "../../clouds/aws/iam-policy.js";
import type { StandInClouds } from "../../clouds/start-stand-in-clouds.js";
import { watched } from "../../leak-watch.js";

export const accountId = "111122223333";
export const region = "us-east-2";
export const keeper = { accessKeyId: "AKIAEXAMPLEKEEPER", secretAccessKey: watched("not-a-real-secret-keeper") };
export const transitToken = watched("not-a-real-secret-transit");

/** A way out that leads to the stand-ins. */
export function outboundTo(clouds: StandInClouds): Outbound {
  return createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(clouds.connectTo).rules,
    allowAddresses: parseAddressRanges("127.0.0.0/8").ranges,
    caCertificates: [clouds.caPem],
    totalTimeoutMs: 3_000,
    circuit: { ...outboundDefaults.circuit, failureLimit: 1_000 },
  });
}

/** Makes a KMS key that an IAM user of the service may use. @returns its ARN */
export function addKmsKey(clouds: StandInClouds, actions: readonly string[] = ["kms:Encrypt", "kms:Decrypt"]): string {
  const arn = clouds.aws.kmsKeys.add(accountId, region);
  clouds.aws.iam.addUser({ accountId, userName: "keeper", ...keeper, policy: policyAllowing(actions) });
  return arn;
}

export function kmsKey(outbound: Outbound, arn: string, credentials = keeper): KeyEncryptionKey {
  const parsed = parseKeyUri(`awskms:///${arn}`);
  if ("mistake" in parsed || parsed.uri.kind !== "awskms") throw new Error("no KMS key");
  return awsKmsKey(parsed.uri, { outbound, credentials });
}

export function vaultKey(
  outbound: Outbound,
  path: string,
  token: TransitToken | "none" = { kind: "text", text: transitToken },
): KeyEncryptionKey {
  const parsed = parseKeyUri(`transit://vault.example.com/${path}`);
  if ("mistake" in parsed || parsed.uri.kind !== "transit") throw new Error("no Transit key");
  return transitKey(parsed.uri, { outbound, token: token === "none" ? undefined : token });
}
