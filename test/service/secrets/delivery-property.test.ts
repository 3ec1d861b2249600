import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BrokeredFactory } from "../../support/broker/brokered-factory.js";
import { roundsOf } from "../../support/rounds.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { type DeliveryCaller, newDelivery, startDeliveryService } from "./delivery-factory.js";
import { openStored } from "./open-stored.js";

let broker: BrokeredFactory;
let replica: TestService;
beforeAll(async () => {
  broker = await startDeliveryService();
  replica = await startTestService(broker.environment, broker.service);
});
afterAll(async () => {
  await replica.close();
  await broker.close();
});

const version = fc.integer({ min: 1, max: 6 });
const said = fc.constantFrom(undefined, undefined, true, false);
const write = fc.record({ op: fc.constantFrom("put" as const, "batch" as const, "stage" as const), said });
const wayBack = fc.oneof(
  fc.record({ op: fc.constantFrom("restore" as const, "promote" as const), version }),
  fc.record({ op: fc.constantFrom("rollback" as const, "undelete" as const) }),
);
const config = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant("publish" as const), isNamed: fc.constantFrom(true, false, false) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constantFrom("addEntry" as const, "removeEntry" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("restoreConfig" as const), version }) },
);
const ending = fc.oneof(
  fc.record({ op: fc.constant("delete" as const), query: fc.constantFrom("?force=true", "?force=true&purge=true") }),
  fc.record({ op: fc.constantFrom("destroy" as const, "doctor" as const), version }),
  fc.record({ op: fc.constant("fioctl" as const), deletes: fc.constant(true) }),
);
const steps = fc.oneof(
  { weight: 6, arbitrary: write },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("fioctl" as const), deletes: fc.constant(false) }) },
  { weight: 7, arbitrary: wayBack },
  { weight: 3, arbitrary: config },
  { weight: 1, arbitrary: ending },
);
type Step = typeof steps extends fc.Arbitrary<infer T> ? T : never;

/** The value of a step that stores one; each step has another, so a value says which write it is of. */
function send(caller: DeliveryCaller, step: Step, value: string): PromiseLike<{ status: number; body: unknown }> {
  switch (step.op) {
    case "put":
    case "batch":
    case "stage":
      return caller[step.op](value, step.said);
    case "fioctl":
      return caller.fioctl(step.deletes ? null : value);
    case "restore":
    case "promote":
    case "doctor":
      return caller.post(`/versions/${step.version}:${step.op}`);
    case "rollback":
    case "undelete":
      return caller.post(`:${step.op}`);
    case "delete":
      return caller.remove(step.query);
    case "destroy":
      return caller.remove(`/versions/${step.version}?force=true`);
    case "publish":
      return caller.publish(step.isNamed);
    case "restoreConfig":
      return caller.restoreConfig(step.version);
    case "addEntry":
    case "removeEntry":
      return caller[step.op]();
    default:
      return step satisfies never;
  }
}

/** What the current version says, and whether an entry names the secret. */
async function look(caller: DeliveryCaller): Promise<{ delivers: boolean; named: boolean }> {
  const { status, body } = await caller.get();
  return status === 200
    ? { delivers: body.deliverToJobs, named: body.usedByRegistries }
    : { delivers: false, named: false };
}

type World = Awaited<ReturnType<typeof newDelivery>>;

/** What was ever stored so that jobs may have it, and what was ever the value of a registry. */
type Known = { deliverable: Set<string>; ofRegistries: Set<string>; deliveries: number };

/** Whether this step, if it was done, stored its value as one that jobs may have. */
function storesDeliverable(step: Step, before: { delivers: boolean }): boolean {
  switch (step.op) {
    case "put":
    case "batch":
    case "stage":
      return step.said ?? before.delivers;
    case "fioctl":
      return !step.deletes && before.delivers;
    default:
      return false;
  }
}

async function run(world: World, known: Known, caller: DeliveryCaller, step: Step, value: string): Promise<void> {
  const { operator, writer, factory, delivered } = world;
  const before = await look(operator);
  const { status } = await send(caller, step, value);
  expect(status).toBeLessThan(500);
  if (status < 300 && storesDeliverable(step, before)) known.deliverable.add(value);
  const after = await look(operator);
  if (caller === writer && !before.delivers) expect(after.delivers).toBe(false);
  if (after.named) {
    expect(after.delivers).toBe(false);
    // The current version may open the registry, and a version that was examined has been sent there.
    const isExamined = step.op === "doctor" && status < 300;
    const opened = await openStored(broker.service, {
      factory,
      name: "s",
      ...(isExamined && { version: step.version }),
    });
    if (opened) known.ofRegistries.add(opened.toString());
  }
  const given = await delivered();
  if (!after.delivers) expect(given).toBeUndefined();
  if (given === undefined) return;
  known.deliveries += 1;
  expect([...known.deliverable]).toContain(given);
  expect([...known.ofRegistries]).not.toContain(given);
}

// Somebody who may has stored values of both kinds before.
const begun = fc.array(fc.record({ op: fc.constant("put" as const), said: fc.boolean() }), {
  minLength: 2,
  maxLength: 3,
});

const runs = Number(process.env.FACTORY_SECRETS_TEST_MODEL_RUNS ?? roundsOf(6, 15));

it("gives a job nothing that was not stored as deliverable or ever opened a registry, whatever callers without secrets:deliver do", async () => {
  const move = fc.record({ step: steps, isDeliverer: fc.constantFrom(true, false) });
  const moves = fc.array(move, { minLength: 10, maxLength: 25, size: "max" });
  const sequence = fc
    .tuple(begun, moves)
    .map(([first, later]) => [...first.map((step) => ({ step, isDeliverer: true })), ...later]);
  let deliveries = 0;
  const property = fc.asyncProperty(sequence, async (moves) => {
    const world = await newDelivery(broker);
    const known: Known = { deliverable: new Set(), ofRegistries: new Set(), deliveries: 0 };
    for (const [index, { step, isDeliverer }] of moves.entries())
      await run(world, known, isDeliverer ? world.deliverer : world.writer, step, `ci:not-a-real-value-${index}`);
    deliveries += known.deliveries;
  });
  await fc.assert(property, { numRuns: runs, endOnFailure: true });
  expect(deliveries).toBeGreaterThan(0);
});

it("gives a job nothing that was stored as not deliverable or ever opened a registry, when two do something at the same moment on two replicas", async () => {
  const pairs = fc.array(fc.tuple(steps, steps), { minLength: 8, maxLength: 15, size: "max" });
  const property = fc.asyncProperty(begun, pairs, async (first, later) => {
    const { operator, writer, deliverer, delivered, factory } = await newDelivery(broker, replica);
    const never = new Set<string>();
    /** Sends it, and notes its value if no job may ever have it. */
    async function note(caller: DeliveryCaller, step: Step, value: string): Promise<void> {
      if ("said" in step && (step.said === false || (step.said === true && caller === writer))) never.add(value);
      const { status } = await send(caller, step, value);
      expect(status).toBeLessThan(500);
    }
    for (const [index, step] of first.entries()) await note(deliverer, step, `ci:not-a-real-first-${index}`);
    for (const [index, [one, other]] of later.entries()) {
      const value = `ci:not-a-real-value-${index}`;
      await Promise.all([note(writer, one, value), note(deliverer, other, `${value}-too`)]);
      const { delivers, named } = await look(operator);
      expect([delivers, named]).not.toEqual([true, true]);
      const current = named ? await openStored(broker.service, { factory, name: "s" }) : undefined;
      if (current) never.add(current.toString());
      const given = await delivered();
      if (given !== undefined) expect([...never]).not.toContain(given);
    }
  });
  await fc.assert(property, { numRuns: runs, endOnFailure: true });
});
