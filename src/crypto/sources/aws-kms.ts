import type { KMSClient, KMSClientConfig } from "@aws-sdk/client-kms";
import { Problem } from "../../core/problem.js";
import { GuardedCallError, guardedHandler } from "../../outbound/aws-http-handler.js";
import type { Outbound } from "../../outbound/outbound.js";
import { EnvelopeError } from "../envelope.js";
import { type KeyEncryptionKey, KeyUnavailable, remoteKeyEncryptionKey } from "../key-encryption-key.js";
import type { KeyUri } from "../key-uri.js";

/** The first byte of what is stored; the rest is KMS's own ciphertext. */
const format = 2;

type AwsKmsDeps = {
  outbound: Pick<Outbound, "request">;
  /**
   * Whose calls they are. Without it the SDK's own chain finds the identity of the machine: AWS_* variables, web
   * identity, container or instance role. That is the operator's, never a tenant's.
   */
  credentials?: KMSClientConfig["credentials"];
};

/**
 * A symmetric key of AWS KMS. The place of what is wrapped is its encryption context, which KMS authenticates and
 * CloudTrail shows.
 * Source: AWS KMS API Reference, Encrypt and Decrypt.
 */
export function awsKmsKey(uri: Extract<KeyUri, { kind: "awskms" }>, deps: AwsKmsDeps): KeyEncryptionKey {
  const { id, text: source, arn } = uri;
  const load = once(async () => {
    const sdk = await import("@aws-sdk/client-kms");
    return { sdk, client: new sdk.KMSClient(clientConfig(uri.region, deps)) };
  });
  return remoteKeyEncryptionKey(
    { id, source },
    {
      async encrypt({ fields }, plain) {
        const { sdk, client } = await load();
        const command = new sdk.EncryptCommand({ KeyId: arn, Plaintext: plain, EncryptionContext: { ...fields } });
        const { CiphertextBlob } = await send(source, "kms:Encrypt", () => client.send(command));
        return Buffer.concat([Buffer.of(format), bytesOf(source, CiphertextBlob)]);
      },
      async decrypt({ fields }, sealed) {
        if (sealed.length < 2 || sealed[0] !== format) throw new EnvelopeError();
        const { sdk, client } = await load();
        // The key is named, so that the bytes cannot choose another one.
        const command = new sdk.DecryptCommand({
          KeyId: arn,
          CiphertextBlob: sealed.subarray(1),
          EncryptionContext: { ...fields },
        });
        const { Plaintext } = await send(source, "kms:Decrypt", () => client.send(command));
        return bytesOf(source, Plaintext);
      },
    },
  );
}

function clientConfig(region: string, { outbound, credentials }: AwsKmsDeps): KMSClientConfig {
  return {
    region,
    ...(credentials && { credentials }),
    requestHandler: guardedHandler(outbound),
    ignoreConfiguredEndpointUrls: true,
    useDualstackEndpoint: false,
    defaultsMode: "standard",
    retryMode: "standard",
    maxAttempts: 3,
    authSchemePreference: ["aws.auth#sigv4"],
    userAgentAppId: "factory-secrets",
  };
}

// What is wrong with the bytes or their place: docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
const envelopeFailures: ReadonlySet<string> = new Set(["InvalidCiphertextException", "IncorrectKeyException"]);

const meanings: ReadonlyMap<string, string> = new Map([
  ["AccessDeniedException", "the identity of this service is not permitted to do so. See its IAM policy and the key's"],
  ["NotFoundException", "there is no such key"],
  ["DisabledException", "the key is disabled. Enable it again"],
  ["KMSInvalidStateException", "the key cannot be used in its state; perhaps its deletion is scheduled. Cancel that"],
  ["InvalidKeyUsageException", "the key is not for encryption. It must be symmetric (SYMMETRIC_DEFAULT)"],
  ["CredentialsProviderError", "no AWS credentials were found"],
  ["ExpiredTokenException", "the AWS credentials have expired"],
  ["UnrecognizedClientException", "the AWS credentials are not known"],
  ["InvalidSignatureException", "the AWS credentials are wrong, or the clock of this service is"],
]);

async function send<T>(source: string, action: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (envelopeFailures.has(name)) throw new EnvelopeError();
    throw new KeyUnavailable(`${source}: ${action} failed: ${reasonOf(error, name)}.`, { cause: error });
  }
}

function reasonOf(error: unknown, name: string): string {
  if (error instanceof GuardedCallError)
    return error.reason instanceof Problem ? firstSentence(error.reason.detail) : "the call did not get an answer";
  return meanings.get(name) ?? `AWS answered ${/^[A-Za-z]{1,60}$/.test(name) ? name : "with an error"}`;
}

// What follows is advice for a registry.
const firstSentence = (text: string): string => (text.split(/\.(?: |$)/)[0] ?? text).trim();

function bytesOf(source: string, bytes: Uint8Array | undefined): Buffer {
  if (bytes === undefined || bytes.length === 0) throw new KeyUnavailable(`${source}: AWS answered without bytes.`);
  return Buffer.from(bytes);
}

type Loaded = { sdk: typeof import("@aws-sdk/client-kms"); client: KMSClient };

/** The SDK takes long to load, and the client holds credentials that it renews by itself. */
function once(make: () => Promise<Loaded>): () => Promise<Loaded> {
  let made: Promise<Loaded> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
