import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { awsUser, type BrokeredFactory, startBrokeredFactory } from "../broker/brokered-factory.js";
import { policyAllowing } from "../clouds/aws/iam-policy.js";
import type { StandInClouds } from "../clouds/start-stand-in-clouds.js";
import { recordText, watched } from "../leak-watch.js";

export const accountId = "123456789012";
export const region = "us-east-2";
export const host = `${accountId}.dkr.ecr.${region}.amazonaws.com`;
export const otherRegion = "eu-west-1";
export const otherHost = `${accountId}.dkr.ecr.${otherRegion}.amazonaws.com`;
export const azureHost = "example.azurecr.io";

export const ecrTarget = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";

const puller = awsUser("1EXAMPLE");
const weak = awsUser("2EXAMPLE");

/** All values of stored secrets: no job's machine may hold one of them. */
export const storedValues = [puller.secretAccessKey, puller.accessKeyId, weak.secretAccessKey, weak.accessKeyId];

export type KeyPair = {
  accessKeyId: string;
  secretAccessKey: string;
  entry: string;
  region: string;
  endpointUrl: string;
};

export type AwsFactory = BrokeredFactory & {
  /** Keys of a job, as the job gets them. */
  keysOf(job: { id: string; token: string }, registry?: string): Promise<KeyPair>;
};

const config = `container_registries:
- type: aws
  region: ${region}
  url: ${host}
  aws_creds_secret_name: aws_creds
- type: aws
  region: ${otherRegion}
  url: ${otherHost}
  aws_creds_secret_name: aws_creds
- type: aws
  region: us-west-2
  url: ${accountId}.dkr.ecr.us-west-2.amazonaws.com
  profile: temporary
  aws_creds_secret_name: aws_creds
- type: azure
  url: ${azureHost}
  azure_principal_secret_name: azprincipal
`;

/** A factory with registries of AWS in two regions, one whose keys AWS does not narrow, and one of Azure. */
export async function startAwsFactory(
  settings: Record<string, string> = {},
  prepare: (clouds: StandInClouds) => void = () => undefined,
): Promise<AwsFactory> {
  const broker = await startBrokeredFactory(
    (clouds) => {
      const userArn = clouds.aws.iam.addUser({ accountId, userName: "puller", ...puller });
      clouds.aws.iam.addUser({ accountId, userName: "weak", ...weak, policy: policyAllowing(["ecr:*"]) });
      clouds.aws.iam.addRole({ accountId, roleName: "pull", trusts: [userArn], maxSessionSeconds: 43_200 });
      clouds.aws.addRegistry(accountId, region);
      prepare(clouds);
    },
    settings,
    undefined,
    { aws: { regions: [region, otherRegion, "us-west-2"] } },
  );
  const role = `role_arn = arn:aws:iam::${accountId}:role/pull\nsource_profile = ci\n`;
  const temporary = `${weak.section}aws_session_token = ${watched("not-a-real-secret-session-token-of-an-entry")}\n`;
  await broker.putSecret("aws_creds", `[default]\n${role}[ci]\n${puller.section}[temporary]\n${temporary}`);
  await broker.putSecret("azprincipal", `66666666-7777-8888-9999-000000000000:${watched("not-a-real-secret-az-71c0")}`);
  await broker.putConfig(config);
  return {
    ...broker,
    async keysOf(job, registry = host) {
      const path = `/v1/factories/${broker.factory.name}/jobs/${job.id}:aws-keys`;
      const reply = await broker.service.as(job.token).post(path).send({ registry });
      if (reply.status !== 200) throw new Error(`the keys were answered ${reply.status}: ${reply.text}`);
      return reply.body;
    },
  };
}

/** A request before it is signed, and what to change after that. */
export type Signing = {
  url: string;
  method?: string;
  service?: string;
  region?: string;
  at?: Date;
  /** `""` takes one away. */
  headers?: Record<string, string>;
  body?: string;
  /** What someone on the way makes of it. */
  tamper?: (request: { headers: Record<string, string>; body: string; url: string }) => void;
};

type SignedReply = { status: number; headers: Headers; text: string; json(): Record<string, string> };

/** Signs as the AWS SDK for JavaScript does, and sends. */
export async function sendSigned(
  keys: { accessKeyId: string; secretAccessKey: string; sessionToken?: string },
  signing: Signing,
): Promise<SignedReply> {
  const url = new URL(signing.url);
  const { service = "ecr", region: of = region, at = new Date(), method = "POST", body = "{}" } = signing;
  const signer = new SignatureV4({ service, region: of, credentials: keys, sha256: NodeSha256, applyChecksum: false });
  const ofEcr = { host: url.host, "content-type": "application/x-amz-json-1.1", "x-amz-target": ecrTarget };
  const headers: Record<string, string> = { ...ofEcr, ...signing.headers };
  const signed = await signer.sign(
    {
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      port: Number(url.port),
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body,
      headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== "")),
    },
    { signingDate: at },
  );
  const sent = { headers: signed.headers, body, url: signing.url };
  signing.tamper?.(sent);
  return send(sent.url, method, sent.headers, method === "GET" || method === "HEAD" ? undefined : sent.body);
}

/** Sends an unsigned request. */
export async function send(
  url: string,
  method: string,
  headers: Record<string, string>,
  body: string | undefined,
): Promise<SignedReply> {
  // The same value; fetch sets it from the URL.
  const { host: _host, ...others } = headers;
  const reply = await fetch(url, { method, headers: others, ...(body !== undefined && { body }) });
  const text = await reply.text();
  recordText(`${reply.status} ${JSON.stringify([...reply.headers])} ${text}`);
  return { status: reply.status, headers: reply.headers, text, json: () => JSON.parse(text) };
}

class NodeSha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    const key = typeof secret === "string" ? secret : secret && Buffer.from(bytesOf(secret));
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", key);
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(typeof data === "string" ? data : Buffer.from(bytesOf(data)));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}

function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
