import type { KeyRing } from "../../crypto/key-ring.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import { resealWork } from "../work/reseal/reseal.js";
import { rewrapWork } from "../work/rewrap/rewrap.js";
import type { KeyWork, RunDeps } from "./run-task.js";
import type { TaskSubject } from "./store.js";

/** What whoever works on tasks needs. */
export type TaskDeps = RunDeps & { keys: KeyRing; factoryKeys: FactoryKeys };

export function workOf(deps: TaskDeps, subject: TaskSubject): KeyWork {
  switch (subject.kind) {
    case "rewrap":
      return rewrapWork(deps, subject.keyId);
    case "reseal":
      return resealWork(deps, subject.factoryId);
    default:
      return subject satisfies never;
  }
}
