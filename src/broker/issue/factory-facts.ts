import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { credentialStands, isDenied } from "../../audit/record.js";
import { type Caller, type FactoryRef, type Standing, standingOf } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { destinationKey, destinationsOf } from "../../factory-config/destinations.js";
import type { RegistryEntry } from "../../factory-config/entry.js";
import type { ConfigDocuments } from "../../factory-config/read-document.js";

/** An entry of the current config. */
export type KnownEntry = {
  entry: RegistryEntry;
  /** Of all that the entry says. */
  hash: string;
  /** True when every place that it sends its secret to was approved for it. */
  isApproved: boolean;
};

/** What decides a token answer of one factory, all of one snapshot. */
export type FactoryFacts = {
  factory: FactoryRef;
  generation: bigint;
  /** 0: there is none. */
  configVersion: number;
  entries: readonly KnownEntry[];
  /** The secrets that entries name, at their current version. */
  secrets: ReadonlyMap<string, { id: string; name: string; version: number }>;
};

type Parsed = { version: number; entries: readonly Omit<KnownEntry, "isApproved">[] };

/** Reads the facts of factories and remembers them until a higher generation is seen. */
export class Facts {
  readonly #deps: { prisma: PrismaClient; generations: Generations; documents: ConfigDocuments };
  readonly #facts = new LRUCache<string, FactoryFacts>({ max: 2_000 });
  readonly #parsed = new LRUCache<string, Parsed>({ max: 2_000 });
  readonly #reading = new Map<string, Promise<FactoryFacts>>();

  constructor(deps: { prisma: PrismaClient; generations: Generations; documents: ConfigDocuments }) {
    this.#deps = deps;
  }

  /** @throws Problem `not-found` when the factory is gone */
  async of(factory: FactoryRef): Promise<FactoryFacts> {
    const known = this.#facts.get(factory.id);
    if (known && this.#deps.generations.isCurrent(factory.id, known.generation)) return known;
    // Many requests that miss together read once. One that joins a read which began before a change was announced
    // is caught by the conditional audit row.
    const running = this.#reading.get(factory.id);
    if (running !== undefined) return running;
    const reading = this.#read(factory).finally(() => this.#reading.delete(factory.id));
    this.#reading.set(factory.id, reading);
    return reading;
  }

  /** Asks the database whether the factory has changed since, or whether the caller was withdrawn. */
  async areOutdated(facts: FactoryFacts, caller?: Caller): Promise<boolean> {
    return (await this.#look(facts, caller)) === "outdated";
  }

  /**
   * Whether what was decided by these facts holds now: for what leaves without a row in the audit, which would have been
   * conditional on it. Costs one statement. @throws Problem `not-found` when the factory is gone
   */
  async hold(facts: FactoryFacts, caller: Caller): Promise<boolean> {
    const look = await this.#look(facts, caller);
    if (look === "gone") throw noFactory();
    return look === "current";
  }

  async #look(facts: FactoryFacts, caller: Caller | undefined): Promise<"current" | "outdated" | "gone"> {
    const present = await readPresent(this.#deps.prisma, facts.factory.id, caller && standingOf(caller));
    if (present === undefined) return "gone";
    this.#deps.generations.observe(facts.factory.id, present.generation);
    return present.generation > facts.generation || !present.stands ? "outdated" : "current";
  }

  /** The facts as the database has them, not as of a change that is yet to be announced. @throws as `of` does */
  async present(factory: FactoryRef): Promise<FactoryFacts> {
    const known = await this.of(factory);
    return (await this.areOutdated(known)) ? this.of(factory) : known;
  }

  /** For when they turned out to be out of date although no higher generation was seen yet. */
  forget(factory: FactoryRef): void {
    this.#facts.delete(factory.id);
  }

  async #read(factory: FactoryRef): Promise<FactoryFacts> {
    const before = this.#parsed.get(factory.id);
    const row = await readFacts(this.#deps.prisma, factory.id, before?.version);
    if (!row) throw noFactory();
    const parsed =
      row.document && row.config_version !== null
        ? await this.#parse(factory, row.config_version, row.document)
        : before;
    const entries = row.config_version === null ? [] : (parsed?.entries ?? []);
    if (parsed && row.config_version !== null) this.#parsed.set(factory.id, parsed);
    const approved = new Set(
      (row.destinations ?? []).map(({ secret, type, host }) => destinationKey({ secretName: secret, type, host })),
    );
    const isApproved = (entry: RegistryEntry) =>
      destinationsOf(entry).every((destination) => approved.has(destinationKey(destination)));
    const facts: FactoryFacts = {
      factory,
      generation: row.generation,
      configVersion: row.config_version ?? 0,
      entries: entries.map((known) => ({ ...known, isApproved: isApproved(known.entry) })),
      secrets: new Map((row.secrets ?? []).map((secret) => [secret.name, secret])),
    };
    this.#deps.generations.observe(factory.id, row.generation);
    this.#facts.set(factory.id, facts);
    return facts;
  }

  async #parse(factory: FactoryRef, version: number, document: Uint8Array): Promise<Parsed> {
    const result = await this.#deps.documents.read(factory.id, document);
    // It was valid when it was published; a stricter release must not hand out tokens by a document it does not understand.
    if (!result.ok)
      throw new Problem(
        "invalid-config",
        "The stored factory config is not valid for this release. Publish it again to see why.",
      );
    const entries = result.config.entries.map(({ entry }) => ({
      entry,
      hash: createHash("sha256").update(JSON.stringify(entry)).digest("base64url"),
    }));
    return { version, entries };
  }
}

const noFactory = (): Problem => new Problem("not-found", "There is no such factory, or this credential is not of it.");

/** All that decides a token answer, read in one snapshot. */
export type FactsRow = {
  generation: bigint;
  config_version: number | null;
  /** Absent when the caller said that it has this version parsed. */
  document: Uint8Array | null;
  secrets: { id: string; name: string; version: number }[] | null;
  destinations: { secret: string; type: string; host: string }[] | null;
};

/** The facts of a factory, or `undefined` when it is gone. */
export async function readFacts(
  prisma: PrismaClient,
  factoryId: string,
  parsedVersion: number | undefined,
): Promise<FactsRow | undefined> {
  const rows = await prisma.$queryRawUnsafe<FactsRow[]>(
    `/* broker-facts */ SELECT f.generation, f.config_version,
       (SELECT document FROM config_versions c
        WHERE c.factory_id = f.id AND c.version = f.config_version AND c.version IS DISTINCT FROM $2::int) AS document,
       (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'version', s.current_version)) FROM secrets s
        WHERE s.factory_id = f.id AND s.deleted_at IS NULL AND s.named) AS secrets,
       (SELECT jsonb_agg(jsonb_build_object('secret', d.secret_name, 'type', d.type, 'host', d.host))
        FROM approved_destinations d WHERE d.factory_id = f.id) AS destinations
     FROM factories f WHERE f.id = $1::uuid AND f.deleted_at IS NULL`,
    factoryId,
    parsedVersion ?? null,
  );
  return rows[0];
}

/**
 * The generation that the factory has now, and whether a caller is still valid: what the conditional audit row would look
 * at, for an answer that has none. `undefined` when the factory is gone.
 */
export async function readPresent(
  prisma: PrismaClient,
  factoryId: string,
  standing: Standing | undefined,
): Promise<{ generation: bigint; stands: boolean } | undefined> {
  const credentialId = standing && "credentialId" in standing ? standing.credentialId : null;
  const device = standing && "deviceId" in standing ? standing : undefined;
  const [row] = await prisma.$queryRawUnsafe<{ generation: bigint; stands: boolean }[]>(
    `/* broker-present */ SELECT f.generation,
       (asked.credential_id IS NULL OR ${credentialStands("asked.credential_id")})
       AND (asked.device_id IS NULL OR NOT ${isDenied("asked")}) AS stands
     FROM factories f,
          (VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid[], $5::text))
            AS asked(factory_id, credential_id, device_id, authorities, serial)
     WHERE f.id = asked.factory_id AND f.deleted_at IS NULL`,
    factoryId,
    credentialId,
    device?.deviceId ?? null,
    device ? [...device.authorities] : null,
    device?.serial ?? null,
  );
  return row;
}
