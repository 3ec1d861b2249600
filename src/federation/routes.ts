import { isIP } from "node:net";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { currentEntries } from "../factory-config/current-entries.js";
import type { RegistryEntry } from "../factory-config/entry.js";
import type { ParsedVersions } from "../factory-config/parsed-versions.js";
import { FactoryParams } from "../http/contract.js";
import { route } from "../http/route.js";
import { rsaJwk } from "../identity/oauth/keys/public-jwk.js";
import type { SigningKeys } from "../identity/oauth/keys/signing-keys.js";
import { Federation, FederationKeySet, FederationMetadata, FederationParams } from "./contract.js";
import { issuerBase } from "./issuer-base.js";
import { issuerOf } from "./subject.js";
import { type CloudEntry, describeTrust } from "./trust-steps.js";

const idPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether there is a factory of this id. A deleted one is none. */
async function factoryExists(prisma: PrismaClient, id: string): Promise<boolean> {
  // What no id looks like is no question for Postgres, which fails on it.
  if (!idPattern.test(id)) return false;
  return (await prisma.factory.findFirst({ select: { id: true }, where: { id, deletedAt: null } })) !== null;
}

export type FederationDeps = {
  prisma: PrismaClient;
  federationKeys: SigningKeys;
  federationUrl: string | undefined;
  parsedVersions: ParsedVersions;
};

/** Short beside the days for which a key is published before it signs. */
const cacheable = { "Cache-Control": "public, max-age=300" };

const metadataPath = "/.well-known/openid-configuration";
const keySetPath = "/.well-known/jwks.json";

const getFederationMetadata = route(
  {
    id: "getFederationMetadata",
    method: "get",
    path: `/federation/{factoryId}${metadataPath}`,
    tag: "Federation",
    summary: "A factory as an OpenID issuer (OpenID Connect Discovery 1.0)",
    description: "For the clouds. It is there for as long as the factory is.",
    auth: "anyone",
    params: FederationParams,
    replies: { 200: { description: "The metadata.", content: { "application/json": FederationMetadata } } },
    problems: ["not-found", "federation-unavailable"],
  },
  async (deps: FederationDeps, { params }) => {
    const issuer = await issuerOfFactory(deps, params.factoryId);
    const body = {
      issuer,
      jwks_uri: `${issuer}${keySetPath}`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      scopes_supported: ["openid"],
      claims_supported: ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"],
    };
    return { status: 200, body, headers: cacheable };
  },
);

const getFederationKeySet = route(
  {
    id: "getFederationKeySet",
    method: "get",
    path: `/federation/{factoryId}${keySetPath}`,
    tag: "Federation",
    summary: "The keys that a factory's word to the clouds is signed with",
    description: "A key is in it for two days before it signs.",
    auth: "anyone",
    params: FederationParams,
    replies: { 200: { description: "A JWK set.", content: { "application/json": FederationKeySet } } },
    problems: ["not-found", "federation-unavailable"],
  },
  async (deps: FederationDeps, { params }) => {
    await issuerOfFactory(deps, params.factoryId);
    // A cloud that came before the first key was made would remember a set without it.
    await deps.federationKeys.forSigning();
    const keys = await deps.federationKeys.published();
    return { status: 200, body: { keys: keys.map(rsaJwk) }, headers: cacheable };
  },
);

const getFederation = route(
  {
    id: "getFederation",
    method: "get",
    path: "/v1/factories/{factory}/federation",
    tag: "Federation",
    summary: "What clouds have to know to trust the entries of this factory",
    description:
      "The issuer, the subject and audience of each entry, and the commands and policies for its cloud, to paste.",
    auth: { permission: "config:read" },
    isCostly: true,
    params: FactoryParams,
    replies: { 200: { description: "The issuer and the entries.", content: { "application/json": Federation } } },
    problems: ["federation-unavailable", "invalid-config"],
  },
  async (deps: FederationDeps, { factory }) => {
    const issuer = issuerOf(issuerBase(deps.federationUrl), factory.id);
    const { entries } = await currentEntries(deps, factory.id);
    const body = {
      issuer,
      metadataUrl: `${issuer}${metadataPath}`,
      jwksUri: `${issuer}${keySetPath}`,
      remarks: issuerRemarks(issuer),
      entries: entries.filter(isOfCloud).map((entry) => describeTrust(issuer, factory.id, entry)),
    };
    return { status: 200, body };
  },
);

async function issuerOfFactory(deps: FederationDeps, factoryId: string): Promise<string> {
  if (!(await factoryExists(deps.prisma, factoryId))) throw new Problem("not-found", "There is no such issuer.");
  return issuerOf(issuerBase(deps.federationUrl), factoryId);
}

function isOfCloud(entry: RegistryEntry): entry is CloudEntry {
  return entry.type !== "generic";
}

export const federationRoutes = [getFederation, getFederationMetadata, getFederationKeySet];

/** What may keep a cloud from using this issuer, in sentences; empty when nothing is seen from here. */
function issuerRemarks(issuer: string): string[] {
  const { hostname, port } = new URL(issuer);
  const remarks: string[] = [];
  if (port !== "") remarks.push("AWS takes no issuer with a port in its URL. Serve the public URL on port 443.");
  const isLocal = hostname === "localhost" || !hostname.includes(".") || /\.(local|internal|localhost)$/.test(hostname);
  if (isLocal || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0) {
    remarks.push(
      "Clouds have to reach the public URL by a name of the public DNS, and its host does not look like one.",
    );
  }
  return remarks;
}
