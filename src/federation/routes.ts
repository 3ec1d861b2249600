import { isIP } from "node:net";
import { z } from "zod";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { RegistryTypeName } from "../factory-config/contract.js";
import { currentEntries, type ParsedVersions } from "../factory-config/current-config.js";
import type { RegistryEntry } from "../factory-config/entry.js";
import { FactoryParams } from "../http/contract.js";
import { route } from "../http/route.js";
import { rsaJwk } from "../identity/oauth/keys/rotate-signing-key.js";
import type { SigningKeys } from "../identity/oauth/keys/signing-keys.js";
import { issuerBase, issuerOf } from "./sign-assertion.js";
import { type CloudEntry, describeTrust } from "./trust-steps.js";

/** OpenID Connect Discovery 1.0, section 3. What only a person's browser would need is not there. */
export const FederationMetadata = z
  .object({
    issuer: z.string(),
    jwks_uri: z.string(),
    response_types_supported: z.array(z.string()),
    subject_types_supported: z.array(z.string()),
    id_token_signing_alg_values_supported: z.array(z.string()),
    scopes_supported: z.array(z.string()),
    claims_supported: z.array(z.string()),
  })
  .meta({ id: "FederationMetadata", description: "What a cloud fetches before it takes what this factory signs." });

export const FederationKey = z
  .object({
    kty: z.string(),
    n: z.string(),
    e: z.string(),
    kid: z.string(),
    use: z.string(),
    alg: z.string(),
  })
  .meta({ id: "FederationKey", description: "RFC 7517; RFC 7518, section 6.3." });

export const FederationKeySet = z.object({ keys: z.array(FederationKey) }).meta({ id: "FederationKeySet" });

/** In the path of what clouds fetch. Not held to the form of an id: one that no factory has is not found. */
export const FederationParams = z.object({
  factoryId: z.string().meta({ description: "The id of the factory, which never changes." }),
});

const TrustStep = z
  .object({
    title: z.string(),
    format: z.enum(["sh", "json"]).meta({ id: "TrustStepFormat" }),
    text: z.string().meta({ description: "To paste. Words in capitals are to be replaced." }),
  })
  .meta({ id: "TrustStep" });

export const FederationEntry = z
  .object({
    id: z.string(),
    type: RegistryTypeName,
    keyless: z.boolean().meta({ description: "False while a secret opens it." }),
    principal: z
      .string()
      .optional()
      .meta({ description: "The role, client id, service account or provider it names." }),
    subject: z.string(),
    audience: z.string(),
    trust: z.array(TrustStep).meta({ description: "How to make the cloud trust this entry, step by step." }),
  })
  .meta({ id: "FederationEntry" });

export const Federation = z
  .object({
    issuer: z.string(),
    metadataUrl: z.string(),
    jwksUri: z.string(),
    remarks: z.array(z.string()).meta({ description: "What may keep a cloud from using this issuer." }),
    entries: z.array(FederationEntry).meta({ description: "The entries of the types aws, azure and gar." }),
  })
  .meta({ id: "Federation", description: "What clouds have to know to trust the entries of this factory." });

export type FederationEntry = z.output<typeof FederationEntry>;
export type TrustStep = z.output<typeof TrustStep>;

const idPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether there is a factory of this id. A deleted factory does not count. */
async function factoryExists(prisma: PrismaClient, id: string): Promise<boolean> {
  // What no id looks like is not a question for Postgres, which fails on it.
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
