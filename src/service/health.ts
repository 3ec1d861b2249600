import { createHash, randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { z } from "zod";
import { otherService } from "../aws/aws-errors.js";
import { claimedService } from "../aws/signature.js";
import type { Database, PrismaClient } from "../db/database.js";
import { type RequestFacts, route } from "../http/route.js";

const Health = z.object({ status: z.literal("ok") }).meta({ id: "Health" });

const Readiness = z
  .object({
    status: z.enum(["ready", "degraded", "not-ready"]).meta({
      id: "ReadinessStatus",
      description: "`degraded`: send requests here; some of them may fail, and would elsewhere too.",
    }),
    checks: z.array(
      z
        .object({
          name: z.string().meta({
            description:
              "What was looked at: `database`, `read-only`, `draining`, `keys`, `clock`, `migrations`. More may come.",
            example: "read-only",
          }),
          ok: z.boolean(),
          degraded: z.literal(true).optional().meta({
            description: "Of `keys`: a key-encryption key does not answer. Data keys that are in memory serve on.",
          }),
          reason: z.string().optional().meta({ description: "What is wrong, where `ok` is false." }),
        })
        .meta({ id: "ReadinessCheck" }),
    ),
  })
  .meta({ id: "Readiness" });

/** `degraded`: requests are still served best here. */
export type ProbeResult = "ok" | "degraded" | "failed";

/** One thing that must hold before requests are sent here. `reason` is what is told, without a login, when it does not. */
export type ReadinessProbe = { name: string; reason: string; check: () => Promise<ProbeResult> };

type Deps = {
  probes: readonly ReadinessProbe[];
  metricsText: () => Promise<string>;
  openApi: () => Promise<OpenApiFiles>;
};

/** The OpenAPI document as it is sent. */
export type OpenApiFiles = { json: CompressedText; yaml: CompressedText };

/** A text with its gzip and the tags by which a client asks whether it has changed. */
export type CompressedText = { text: string; gzipped: Buffer; etag: string };

/** Compresses a text that is sent often. */
export async function compressText(text: string): Promise<CompressedText> {
  const gzipped = await promisify(gzip)(text, { level: 9 });
  return { text, gzipped, etag: createHash("sha256").update(text).digest("base64url").slice(0, 22) };
}

const probeMs = 2_000;

const Root = z
  .object({
    name: z.literal("factory-secrets"),
    about: z.string(),
    links: z.object({ openApi: z.string(), health: z.string(), readiness: z.string() }).meta({ id: "RootLinks" }),
  })
  .meta({ id: "Root" });

const root = route(
  {
    id: "getRoot",
    method: "get",
    path: "/",
    tag: "System",
    summary: "What this is, and where to go on",
    auth: "anyone",
    replies: { 200: { description: "The service.", content: { "application/json": Root } } },
    problems: ["not-offered"],
  },
  async (_deps: object, { request }) => {
    // S3 lists its buckets here.
    const service = claimedService(request.sent.headers.authorization);
    if (service !== undefined) throw otherService(service);
    return { status: 200, body: aboutThisService };
  },
);

const aboutThisService = {
  name: "factory-secrets" as const,
  about:
    "Secrets of device factories, and short-lived registry tokens made from them. The API is below /v1: links.openApi lists every route.",
  links: { openApi: "/openapi.json", health: "/healthz", readiness: "/readyz" },
};

export const healthz = route(
  {
    id: "getHealth",
    method: "get",
    path: "/healthz",
    tag: "System",
    summary: "The process answers",
    auth: "anyone",
    replies: { 200: { description: "Alive.", content: { "application/json": Health } } },
    problems: [],
  },
  async (_deps: object) => ({ status: 200, body: { status: "ok" as const } }),
);

export const readyz = route(
  {
    id: "getReadiness",
    method: "get",
    path: "/readyz",
    tag: "System",
    summary: "Whether requests can be served here, and what is in the way",
    auth: "anyone",
    replies: {
      200: { description: "Ready, or degraded.", content: { "application/json": Readiness } },
      503: { description: "Send requests elsewhere.", content: { "application/json": Readiness } },
    },
    problems: [],
  },
  async ({ probes }: Pick<Deps, "probes">) => {
    const results = await Promise.all(
      probes.map(async ({ name, reason, check }) => ({ name, reason, result: await withinTime(check) })),
    );
    const has = (wanted: ProbeResult): boolean => results.some(({ result }) => result === wanted);
    const checks = results.map(({ name, reason, result }) => ({
      name,
      ok: result !== "failed",
      ...(result === "degraded" && { degraded: true as const }),
      ...(result === "failed" && { reason }),
    }));
    if (has("failed")) return { status: 503, body: { status: "not-ready" as const, checks } };
    return { status: 200, body: { status: has("degraded") ? ("degraded" as const) : ("ready" as const), checks } };
  },
);

async function withinTime(check: () => Promise<ProbeResult>): Promise<ProbeResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<ProbeResult>((resolve) => {
    timer = setTimeout(() => resolve("failed"), probeMs);
  });
  try {
    return await Promise.race([check().catch(() => "failed" as const), late]);
  } finally {
    clearTimeout(timer);
  }
}

export const metricsRoute = route(
  {
    id: "getMetrics",
    method: "get",
    path: "/metrics",
    tag: "System",
    summary: "Prometheus metrics",
    auth: "anyone",
    replies: { 200: { description: "Text exposition format.", content: { "text/plain": z.string() } } },
    problems: [],
  },
  async ({ metricsText }: Pick<Deps, "metricsText">) => ({
    status: 200,
    body: await metricsText(),
    headers: { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" },
  }),
);

const documentHeaders = { ETag: "Changes with the document." };
const unchanged = { description: "What `If-None-Match` names is still there." };

const openApiJson = route(
  {
    id: "getOpenApiJson",
    method: "get",
    path: "/openapi.json",
    tag: "System",
    summary: "This document as JSON",
    auth: "anyone",
    replies: {
      200: {
        description: "OpenAPI 3.0.3.",
        content: {
          "application/json": z.unknown().meta({ id: "OpenApiDocument", description: "An OpenAPI 3.0.3 document." }),
        },
        headers: documentHeaders,
      },
      304: unchanged,
    },
    problems: [],
  },
  async ({ openApi }: Pick<Deps, "openApi">, { request }) => documentReply((await openApi()).json, request),
);

const openApiYaml = route(
  {
    id: "getOpenApiYaml",
    method: "get",
    path: "/openapi.yaml",
    tag: "System",
    summary: "This document as YAML",
    auth: "anyone",
    replies: {
      200: { description: "OpenAPI 3.0.3.", content: { "application/yaml": z.string() }, headers: documentHeaders },
      304: unchanged,
    },
    problems: [],
  },
  async ({ openApi }: Pick<Deps, "openApi">, { request }) => documentReply((await openApi()).yaml, request),
);

/** An entity tag names one representation (RFC 9110, section 8.8.3.3), so the compressed one has its own. */
function documentReply({ text, gzipped, etag }: CompressedText, request: RequestFacts) {
  const acceptsGzip = request.acceptsGzip();
  const headers = {
    ETag: acceptsGzip ? `"${etag}-gzip"` : `"${etag}"`,
    Vary: "Accept-Encoding",
    "Cache-Control": "public, max-age=300",
  };
  if (request.ifNoneMatch?.includes(headers.ETag)) return { status: 304, headers } as const;
  if (!acceptsGzip) return { status: 200, body: Buffer.from(text), headers } as const;
  return { status: 200, body: gzipped, headers: { ...headers, "Content-Encoding": "gzip" } } as const;
}

export const systemRoutes = [root, healthz, readyz, openApiJson, openApiYaml];

/**
 * Records that this database is an installation of the service.
 * @returns true for the one process that finds it empty, however many start at once
 */
export async function claimInstallation(prisma: PrismaClient): Promise<boolean> {
  const claimed = await prisma.$executeRawUnsafe(
    "INSERT INTO installation (id) VALUES ($1::uuid) ON CONFLICT (singleton) DO NOTHING",
    randomUUID(),
  );
  return claimed === 1;
}

/**
 * True unless the database says that it takes no writes: it is a standby (a demoted primary too), or
 * `default_transaction_read_only` is on. A database that says nothing is another trouble, and true here.
 */
export async function databaseTakesWrites(pool: Database["pool"]): Promise<boolean> {
  const asked = pool.query<{ readOnly: boolean }>(
    "SELECT current_setting('transaction_read_only')::bool AS \"readOnly\"",
  );
  const [row] = (await asked.catch(() => ({ rows: [] }))).rows;
  if (!row?.readOnly) return true;
  await closeIdle(pool);
  return false;
}

/**
 * After a switchover the name of the database leads to the new primary, and connections that are open still lead to the
 * old one. So they are given up, as far as nothing uses them, and the next statement connects anew.
 */
async function closeIdle(pool: Database["pool"]): Promise<void> {
  for (let left = pool.idleCount; left > 0 && pool.idleCount > 0; left -= 1) (await pool.connect()).release(true);
}

/** @throws the driver's error when no connection is to be had, or the database does not answer */
export async function databaseAnswers(pool: Database["pool"]): Promise<boolean> {
  return (await pool.query("SELECT 1")).rowCount === 1;
}
