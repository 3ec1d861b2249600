import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { roundsOf } from "../../support/rounds.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { lifeOf, type SecretLife } from "./secret-life.js";
import {
  apply,
  type Condition,
  keptVersions,
  type Operation,
  ordersOf,
  type Sight,
  sightOf,
  type World,
} from "./secret-model.js";

let service: TestService;
let replica: TestService;
beforeAll(async () => {
  service = await startTestService();
  replica = await startTestService({}, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

const values = Array.from({ length: 3 }, () => secretValue());

type Answer = { operation: Operation; status: number; version?: number };

/** All worlds that explain what was seen so far. More than one, when an order of concurrent changes cannot be told. */
type Model = { worlds: World[] };

/** One secret, through two replicas, and what is known of its fingerprints. */
type Real = { lives: SecretLife[]; fingerprints: Map<string, number> };

async function send(life: SecretLife, operation: Operation): Promise<Answer> {
  const headers = headersOf(operation.condition);
  const reply = await request(life, operation, headers);
  const { version } = reply.body;
  return { operation, status: reply.status, ...(typeof version === "number" && { version }) };
}

function headersOf(condition: Condition): Record<string, string> {
  if (condition === undefined) return {};
  if (condition === "absent") return { "If-None-Match": "*" };
  return { "If-Match": condition === "present" ? "*" : `"${condition}"` };
}

async function request(life: SecretLife, operation: Operation, headers: Record<string, string>) {
  switch (operation.op) {
    case "put":
    case "stage":
      return life[operation.op](values[operation.value], headers);
    case "restore":
    case "promote":
      return life.post(`/versions/${operation.version}:${operation.op}`, headers);
    case "destroy":
      return life.remove(`/versions/${operation.version}?force=${operation.force}`, headers);
    case "delete":
      return life.remove(`?purge=${operation.purge}`, headers);
    case "rollback":
    case "undelete":
      return life.post(`:${operation.op}`, headers);
    default:
      return operation satisfies never;
  }
}

/** The stored fingerprints of a secret by version: those of one factory are equal where the values are. */
async function storedFingerprints(factoryId: string, name: string): Promise<Map<number, string>> {
  const { rows } = await service.database.pool.query<{ version: number; fingerprint: string }>(
    `SELECT v.version, encode(v.fingerprint, 'hex') AS fingerprint
     FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
     WHERE s.factory_id = $1 AND s.name = $2 AND s.deleted_at IS NULL`,
    [factoryId, name],
  );
  return new Map(rows.map(({ version, fingerprint }) => [version, fingerprint]));
}

async function look({ lives: [life], fingerprints }: Real): Promise<Sight> {
  if (!life) throw new Error("there is a replica");
  const stored = await storedFingerprints(life.factory.id, "a");
  const path = `/v1/factories/${life.factory.name}/deleted-secrets`;
  const { body: deleted } = await service.as(service.operatorToken).get(path).expect(200);
  const { body } = await life.get("/versions?pageSize=200");
  const versions = (body.items ?? []).map((item: { version: number; state: string; fingerprint?: string }) => ({
    version: item.version,
    state: item.state,
    value: item.fingerprint === undefined ? undefined : (fingerprints.get(stored.get(item.version) ?? "") ?? -1),
  }));
  return { versions, undeletable: deleted.items[0]?.version ?? 0 };
}

/** The worlds that some order of these answers leads to. */
function explain(worlds: readonly World[], answers: readonly Answer[]): World[] {
  return worlds.flatMap((world) =>
    ordersOf(answers).flatMap((order) => {
      let now = world;
      for (const { operation, status, version } of order) {
        const outcome = apply(now, operation);
        if (outcome.status !== status || outcome.version !== version) return [];
        now = outcome.world;
      }
      return [now];
    }),
  );
}

/** Several clients that each change the secret at the same moment, on two replicas. */
class AtOnce implements fc.AsyncCommand<Model, Real> {
  constructor(readonly operations: readonly Operation[]) {}

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    const answers = await Promise.all(
      this.operations.map((operation, client) => send(real.lives[client % 2] ?? lifeless(), operation)),
    );
    const explained = explain(model.worlds, answers);
    const sight = await look(real);
    const agreeing = explained.filter((world) => isDeepStrictEqual(sightOf(world), sight));
    if (agreeing.length === 0) throw new Error(told(model.worlds, answers, explained, sight));
    model.worlds = agreeing.filter(
      (world, index) => agreeing.findIndex((one) => isDeepStrictEqual(one, world)) === index,
    );
  }

  toString(): string {
    return JSON.stringify(this.operations);
  }
}

function lifeless(): never {
  throw new Error("there are two replicas");
}

function told(worlds: readonly World[], answers: readonly Answer[], explained: readonly World[], sight: Sight): string {
  const lines = [
    ["before", worlds.map(sightOf)],
    ["answered", answers],
    ["possible", explained.map(sightOf)],
    ["seen", sight],
  ] as const;
  return [
    "No order of these explains what is there.",
    ...lines.map(([label, it]) => `${label}: ${JSON.stringify(it)}`),
  ].join("\n");
}

const version = fc.integer({ min: 1, max: 7 });
const value = fc.integer({ min: 0, max: values.length - 1 });
const condition = fc.oneof(
  { weight: 5, arbitrary: fc.constant(undefined) },
  { weight: 2, arbitrary: version },
  { weight: 1, arbitrary: fc.constantFrom("present" as const, "absent" as const) },
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant("put" as const), value, condition }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("stage" as const), value, condition }) },
  {
    weight: 5,
    arbitrary: fc.record({ op: fc.constantFrom("restore" as const, "promote" as const), version, condition }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("destroy" as const), version, force: fc.boolean(), condition }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("delete" as const), purge: fc.boolean(), condition }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("rollback" as const), condition }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("undelete" as const), condition }) },
);
const atOnce = fc.array(operation, { minLength: 1, maxLength: 3 }).map((operations) => new AtOnce(operations));

async function setUp(): Promise<{ model: Model; real: Real }> {
  const factory = await service.createFactory();
  const agent = service.as(service.operatorToken);
  await agent.patch(`/v1/factories/${factory.name}/settings`).send({ keepVersions: keptVersions }).expect(200);
  const fingerprints = new Map<string, number>();
  for (const [index, text] of values.entries()) {
    const probe = lifeOf(service, factory, `probe-${index}`);
    await probe.put(text).expect(201);
    fingerprints.set((await storedFingerprints(factory.id, `probe-${index}`)).get(1) ?? "", index);
  }
  const lives = [lifeOf(service, factory, "a"), lifeOf(replica, factory, "a")];
  return { model: { worlds: [{ live: undefined, deleted: [] }] }, real: { lives, fingerprints } };
}

it("agrees with a plain model of versions, conditions, deletion and rotation, whatever several clients do at once", async () => {
  const runs = Number(process.env.FACTORY_SECRETS_TEST_MODEL_RUNS ?? roundsOf(8, 30));
  const property = fc.asyncProperty(fc.commands([atOnce], { maxCommands: 40, size: "max" }), async (commands) => {
    await fc.asyncModelRun(setUp, commands);
  });
  await fc.assert(property, { numRuns: runs, endOnFailure: false });
});
