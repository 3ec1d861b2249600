import type { Grant } from "./grant.js";
import type { Permission } from "./permissions.js";

export type CallerKind = "operator" | "api-token" | "job";

/** A factory as far as most code needs to know it. The id never changes; the name is what people type. */
export type FactoryRef = { id: string; name: string };

/** Who is asking, once the credential has been checked. */
export type Caller = {
  kind: CallerKind;
  /** Id of the credential. */
  id: string;
  /** What a person called it. */
  name: string;
  /** The one factory it belongs to; absent for an operator. */
  factory?: FactoryRef;
  permissions: ReadonlySet<Permission>;
  /** Only for a job that was opened with grants: it never gets more. */
  grants?: readonly Grant[];
  expiresAt?: Date;
  /** Of its factory (of the installation, for an operator) in the snapshot that the credential was read in. */
  generation: bigint;
};

/** What an audit row and a version remember of a caller. */
export type Actor = { kind: CallerKind | "service" | "unknown"; id: string; name: string };

export function actorOf(caller: Caller): Actor {
  return { kind: caller.kind, id: caller.id, name: caller.name };
}
