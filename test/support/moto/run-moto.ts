import type { TestCertificateAuthority } from "../certificates.js";
import { startListening } from "../programs/start-listening.js";
import { startTlsFront } from "../registry/tls-front.js";

export type MotoUser = { accessKeyId: string; secretAccessKey: string };

export type Moto = {
  /** Its value for `FACTORY_SECRETS_CONNECT_TO`: STS, ECR and KMS of the region, and IAM. */
  connectTo: string;
  /** The account that everything in it belongs to. */
  accountId: string;
  /** Makes an IAM user with keys and one inline policy. */
  createUser(name: string, policy: unknown): Promise<MotoUser>;
  /** Makes a role that anybody in the account may assume, with one inline policy. Gives back its ARN. */
  createRole(name: string, policy: unknown): Promise<string>;
  /** Makes a symmetric KMS key. Gives back its ARN. */
  createKmsKey(): Promise<string>;
  /** With it, moto recomputes every signature and evaluates IAM policies; before, it lets everything through. */
  enforceIam(enforce: boolean): Promise<void>;
  stop(): Promise<void>;
};

const accountId = "123456789012";
const hoursOfAPassword = 12;

/**
 * Runs moto_server (PyPI `moto[server]`), someone else's idea of AWS, behind TLS under the real host names.
 * moto answers `GetAuthorizationToken` with an expiry in 2015; the front puts it twelve hours ahead, as ECR does.
 */
export async function runMoto(program: string, authority: TestCertificateAuthority, region: string): Promise<Moto> {
  const moto = await startListening({
    program,
    args: ["-H", "127.0.0.1", "-p", "0"],
    listening: /Running on http:\/\/127\.0\.0\.1:(\d+)/,
  });
  const regional = ["sts", "api.ecr", "kms"].map((service) => `${service}.${region}.amazonaws.com`);
  const hosts = [...regional, "iam.amazonaws.com"];
  const front = await startTlsFront({ authority, hosts, upstreamPort: moto.port, rewrite: correctExpiry });
  return {
    connectTo: hosts.map((host) => `${host}:443=127.0.0.1:${front.port}`).join(","),
    accountId,
    ...adminCommands(moto.port, region),
    stop: async () => {
      await front.close();
      await moto.stop();
    },
  };
}

function adminCommands(
  port: number,
  region: string,
): Pick<Moto, "createUser" | "createRole" | "createKmsKey" | "enforceIam"> {
  return {
    createUser: async (name, policy) => {
      await iam(port, "CreateUser", { UserName: name });
      const PolicyDocument = JSON.stringify(policy);
      await iam(port, "PutUserPolicy", { UserName: name, PolicyName: "inline", PolicyDocument });
      const keys = await iam(port, "CreateAccessKey", { UserName: name });
      return { accessKeyId: elementOf(keys, "AccessKeyId"), secretAccessKey: elementOf(keys, "SecretAccessKey") };
    },
    createRole: async (name, policy) => {
      const trust = { Effect: "Allow", Principal: { AWS: "*" }, Action: "sts:AssumeRole" };
      const AssumeRolePolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [trust] });
      const role = await iam(port, "CreateRole", { RoleName: name, AssumeRolePolicyDocument });
      const PolicyDocument = JSON.stringify(policy);
      await iam(port, "PutRolePolicy", { RoleName: name, PolicyName: "inline", PolicyDocument });
      return elementOf(role, "Arn");
    },
    createKmsKey: async () => {
      const headers = {
        authorization: unsigned(`${region}/kms`),
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "TrentService.CreateKey",
      };
      const arn = /"Arn": ?"([^"]+)"/.exec(await post(port, "/", headers, "{}"))?.[1];
      if (arn === undefined) throw new Error("moto's answer has no ARN");
      return arn;
    },
    enforceIam: async (enforce) => {
      await post(port, "/moto-api/reset-auth", {}, enforce ? "0" : "inf");
    },
  };
}

/** One IAM call without a valid signature: moto only reads the service from it, as long as IAM is not enforced. */
async function iam(port: number, action: string, fields: Readonly<Record<string, string>>): Promise<string> {
  return post(
    port,
    "/",
    {
      authorization: unsigned("us-east-1/iam"),
      "content-type": "application/x-www-form-urlencoded",
    },
    new URLSearchParams({ Action: action, Version: "2010-05-08", ...fields }).toString(),
  );
}

const unsigned = (scope: string): string =>
  `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/${scope}/aws4_request, SignedHeaders=host, Signature=none`;

async function post(port: number, path: string, headers: Record<string, string>, body: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`moto answered ${answer.status}: ${text}`);
  return text;
}

function elementOf(xml: string, name: string): string {
  const value = new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1];
  if (value === undefined) throw new Error(`moto's answer has no ${name}`);
  return value;
}

function correctExpiry(body: string): string {
  const expiresAt = Math.floor(Date.now() / 1_000) + hoursOfAPassword * 3_600;
  return body.replace(/"expiresAt": ?\d+(\.\d+)?/g, `"expiresAt": ${expiresAt}`);
}
