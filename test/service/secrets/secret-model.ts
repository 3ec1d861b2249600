/** What a client holds a change to: a current version, that there is one, that there is none, or nothing. */
export type Condition = number | "present" | "absent" | undefined;

/** `value` is the number of a value: the model knows which are equal, and nothing else of them. */
export type Operation =
  | { op: "put" | "stage"; value: number; condition: Condition }
  | { op: "restore" | "promote"; version: number; condition: Condition }
  | { op: "destroy"; version: number; force: boolean; condition: Condition }
  | { op: "delete"; purge: boolean; condition: Condition }
  | { op: "rollback"; condition: Condition }
  | { op: "undelete"; condition: Condition };

type Version = { value: number; staged: boolean; destroyed: boolean };

type Secret = { current: number; previous: number | undefined; next: number; versions: ReadonlyMap<number, Version> };

/** All secrets of one name: the one that there is, and those that were deleted, the last one last. */
export type World = { live: Secret | undefined; deleted: readonly Secret[] };

export type Outcome = { world: World; status: number; version?: number };

export const keptVersions = 3;

/** What the operation does to the world, and what its client is answered. */
export function apply(world: World, operation: Operation): Outcome {
  const { live } = world;
  const refused = (status: number): Outcome => ({ world, status });
  if (operation.op === "undelete") return undelete(world, operation.condition);
  if (live === undefined) return applyToNothing(world, operation);
  if (!holds(operation.condition, live.current)) return refused(412);
  const changed = (secret: Secret, version: number): Outcome => ({
    world: { ...world, live: secret },
    status: 200,
    version,
  });
  switch (operation.op) {
    case "put":
      return changed(write(live, operation.value, false), live.next);
    case "stage":
      return changed(write(live, operation.value, true), live.next);
    case "restore": {
      const source = live.versions.get(operation.version);
      if (!source) return refused(404);
      return source.destroyed ? refused(409) : changed(write(live, source.value, false), live.next);
    }
    case "promote": {
      const target = live.versions.get(operation.version);
      if (!target) return refused(404);
      if (!target.staged) return refused(409);
      const versions = new Map(live.versions).set(operation.version, { ...target, staged: false });
      const secret = { ...live, versions, current: operation.version, previous: live.current };
      return changed(secret, operation.version);
    }
    case "rollback": {
      const target = live.previous === undefined ? undefined : live.versions.get(live.previous);
      const left = live.versions.get(live.current);
      if (live.previous === undefined || !target || target.destroyed || !left) return refused(409);
      const versions = new Map(live.versions).set(live.current, { ...left, staged: true });
      return changed({ ...live, versions, current: live.previous, previous: undefined }, live.previous);
    }
    case "destroy": {
      const target = live.versions.get(operation.version);
      if (!target) return refused(404);
      if (operation.version === live.current) return refused(409);
      if (operation.version === live.previous && !target.destroyed && !operation.force) return refused(409);
      const versions = new Map(live.versions).set(operation.version, { ...target, staged: false, destroyed: true });
      return { world: { ...world, live: { ...live, versions } }, status: 204 };
    }
    case "delete":
      return {
        world: { live: undefined, deleted: operation.purge ? world.deleted : [...world.deleted, live] },
        status: 204,
      };
    default:
      return operation satisfies never;
  }
}

function applyToNothing(world: World, { op, ...operation }: Operation): Outcome {
  const isWrite = op === "put" || op === "stage" || op === "delete";
  if (isWrite && operation.condition !== undefined && operation.condition !== "absent") return { world, status: 412 };
  if (op !== "put" || !("value" in operation)) return { world, status: 404 };
  const versions = new Map([[1, { value: operation.value, staged: false, destroyed: false }]]);
  const live = { current: 1, previous: undefined, next: 2, versions };
  return { world: { ...world, live }, status: 201, version: 1 };
}

function undelete(world: World, condition: Condition): Outcome {
  const last = world.deleted.at(-1);
  if (!last) return { world, status: 404 };
  if (!holds(condition, last.current)) return { world, status: 412 };
  if (world.live) return { world, status: 409 };
  return { world: { live: last, deleted: world.deleted.slice(0, -1) }, status: 200, version: last.current };
}

const holds = (condition: Condition, current: number): boolean =>
  condition === undefined || condition === "present" || condition === current;

function write(secret: Secret, value: number, staged: boolean): Secret {
  const version = secret.next;
  const kept = staged ? [secret.current, secret.previous] : [secret.current];
  const versions = [...secret.versions].filter(
    ([number, { destroyed }]) => number > version - keptVersions || destroyed || kept.includes(number),
  );
  versions.push([version, { value, staged, destroyed: false }]);
  const next = { ...secret, next: version + 1, versions: new Map(versions) };
  return staged ? next : { ...next, current: version, previous: secret.current };
}

/** What can be seen of a world from outside: the versions, newest first, and what an undelete would bring back. */
export type Sight = { versions: { version: number; state: string; value: number | undefined }[]; undeletable: number };

export function sightOf({ live, deleted }: World): Sight {
  const versions = [...(live?.versions ?? [])].map(([version, one]) => ({
    version,
    state: stateOf(version, one, live),
    value: one.destroyed ? undefined : one.value,
  }));
  return {
    versions: versions.sort((a, b) => b.version - a.version),
    undeletable: deleted.at(-1)?.current ?? 0,
  };
}

function stateOf(version: number, { destroyed, staged }: Version, live: Secret | undefined): string {
  if (destroyed) return "destroyed";
  if (version === live?.current) return "current";
  if (staged) return "staged";
  return version === live?.previous ? "previous" : "superseded";
}

/** Every order in which these can have happened. */
export function ordersOf<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, index) =>
    ordersOf(items.filter((_, other) => other !== index)).map((rest) => [item, ...rest]),
  );
}
