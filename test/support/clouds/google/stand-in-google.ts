import { randomBytes } from "node:crypto";
import { rsaKeyPair } from "../../rsa-keys.js";
import type { Clock } from "../clock.js";
import { type CloudEndpoint, type CloudReply, type CloudRequest, createCloudEndpoint } from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";
import { throttledRegistry } from "../registry-v2.js";
import type { WebIdentityVerifier } from "../web-identity.js";
import { answerGar } from "./answer-gar.js";
import {
  answerGoogleToken,
  type IssuedGoogleToken,
  type ServiceAccountRecord,
  throttledGoogle,
} from "./answer-google-token.js";
import { answerPermissions } from "./answer-permissions.js";

/** Google as the broker sees it: the token endpoint and Artifact Registry hosts. */
export type StandInGoogle = {
  /** `oauth2.googleapis.com`. */
  token: CloudEndpoint;
  /** `cloudresourcemanager.googleapis.com`. */
  resourceManager: CloudEndpoint;
  /** `artifactregistry.googleapis.com`. */
  artifactRegistry: CloudEndpoint;
  /** Makes a service account with a key of its own; gives back the text of its credentials file. */
  addServiceAccount(account: {
    name: string;
    readable: readonly string[];
    permissions?: ServiceAccountRecord["permissions"];
    project?: string;
  }): { email: string; credentialsJson: string };
  /** Turns the APIs that tell permissions off. */
  turnPermissionsOff(isOff: boolean): void;
  disable(email: string): void;
  /** `sts.googleapis.com` and `iamcredentials.googleapis.com`. */
  sts: CloudEndpoint;
  iamCredentials: CloudEndpoint;
  /** As `gcloud iam workload-identity-pools providers create-oidc`; `name` is `projects/<number>/.../providers/<id>`. */
  addProvider(name: string, provider: PoolProvider): void;
  /** Gives roles/iam.workloadIdentityUser on a service account to a member, which is `principal://...`. */
  allowToActAs(email: string, member: string): void;
  /** Gives roles/artifactregistry.reader to a federated principal itself. */
  allowToRead(member: string, readable: readonly string[]): void;
  /** Opens an Artifact Registry host, for example `us-docker.pkg.dev`. */
  addRegistry(host: string): { host: string; endpoint: CloudEndpoint };
  /** What follows an access token that was handed out. */
  issuedToken(accessToken: string): IssuedGoogleToken | undefined;
};

import { answerGoogleSts, answerIamCredentials, type PoolProvider } from "./federation.js";

const projectId = "stand-in-project";

export function createStandInGoogle(
  register: EndpointRegister,
  clock: Clock,
  webIdentities: WebIdentityVerifier,
): StandInGoogle {
  const accounts = new Map<string, ServiceAccountRecord>();
  const tokens = new Map<string, IssuedGoogleToken>();
  let isOff = false;
  const openPermissions = (host: string): CloudEndpoint => {
    const answer = (request: CloudRequest) => answerPermissions({ clock, accounts, tokens }, request, isOff);
    return register.add([host], createCloudEndpoint({ name: `Google ${host}`, answer, throttled: throttledGoogle }));
  };
  const token = register.add(
    ["oauth2.googleapis.com"],
    createCloudEndpoint({
      name: "Google token endpoint",
      answer: (request) => answerGoogleToken({ clock, accounts, tokens }, request),
      throttled: throttledGoogle,
    }),
  );
  const providers = new Map<string, PoolProvider>();
  const mayActAs = new Set<string>();
  const federation = { clock, webIdentities, accounts, tokens, providers, mayActAs };
  const addEndpoint = (host: string, answer: (request: CloudRequest) => CloudReply | Promise<CloudReply>) =>
    register.add([host], createCloudEndpoint({ name: host, answer, throttled: throttledGoogle }));
  return {
    token,
    resourceManager: openPermissions("cloudresourcemanager.googleapis.com"),
    artifactRegistry: openPermissions("artifactregistry.googleapis.com"),
    turnPermissionsOff: (off) => {
      isOff = off;
    },
    sts: addEndpoint("sts.googleapis.com", (request) => answerGoogleSts(federation, request)),
    iamCredentials: addEndpoint("iamcredentials.googleapis.com", (request) =>
      answerIamCredentials(federation, request),
    ),
    addProvider: (name, provider) => {
      providers.set(name, provider);
    },
    allowToActAs: (email, member) => {
      mayActAs.add(`${email} ${member}`);
    },
    allowToRead: (member, readable) => {
      accounts.set(member, { email: member, keyId: "", publicKeyPem: "", readable, permissions: {}, disabled: false });
    },
    addServiceAccount: ({ name, readable, permissions = {}, project = projectId }) => {
      const { key, credentialsJson } = createServiceAccount(name, project);
      const record = { ...key, readable, permissions, disabled: false };
      accounts.set(record.email, record);
      return { email: record.email, credentialsJson };
    },
    disable: (email) => {
      const account = accounts.get(email);
      if (account !== undefined) accounts.set(email, { ...account, disabled: true });
    },
    addRegistry: (host) => {
      const endpoint = createCloudEndpoint({
        name: `Artifact Registry ${host}`,
        answer: (request) => answerGar({ clock, accounts, tokens }, request),
        throttled: throttledRegistry,
      });
      return { host, endpoint: register.add([host], endpoint) };
    },
    issuedToken: (accessToken) => tokens.get(accessToken),
  };
}

function createServiceAccount(
  name: string,
  project: string,
): { key: Pick<ServiceAccountRecord, "email" | "keyId" | "publicKeyPem">; credentialsJson: string } {
  const { privateKey, publicKey } = rsaKeyPair();
  const email = `${name}@${project}.iam.gserviceaccount.com`;
  const keyId = randomBytes(20).toString("hex");
  const credentials = {
    type: "service_account",
    project_id: project,
    private_key_id: keyId,
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    client_email: email,
    client_id: "100000000000000000001",
    auth_uri: "https://accounts.google.com/o/oauth2/auth",
    token_uri: "https://oauth2.googleapis.com/token",
    auth_provider_x509_cert_url: "https://www.googleapis.com/oauth2/v1/certs",
    client_x509_cert_url: `https://www.googleapis.com/robot/v1/metadata/x509/${encodeURIComponent(email)}`,
    universe_domain: "googleapis.com",
  };
  return {
    key: { email, keyId, publicKeyPem: publicKey.export({ type: "spki", format: "pem" }).toString() },
    credentialsJson: JSON.stringify(credentials, null, 2),
  };
}
