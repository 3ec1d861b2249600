import type { AuditRow } from "../audit/record.js";
import type { Actor } from "../core/caller.js";

/** What a write must know of a secret beforehand: its version is part of what is sealed. */
export type SecretHead = {
  id: string;
  name: string;
  currentVersion: number;
  nextVersion: number;
  destroyedVersions: number;
  named: boolean;
  /** Of its current version. */
  deliverToJobs: boolean;
};

/**
 * One change as the statement takes it. `version` is the version it makes, and what it was sealed for; a staged one
 * waits to be promoted.
 */
export type SecretChange = {
  op: "create" | "update" | "stage" | "delete";
  secret_id: string;
  name: string;
  version: number;
  /** The secret as it was judged (`SecretHead`), which the statement compares with its row. `null` for a new one. */
  seen_current: number | null;
  seen_destroyed: number | null;
  seen_named: boolean | null;
  seen_deliver_to_jobs: boolean | null;
  /** Deleted although an entry names it: for the audit. */
  forced: boolean;
  /** Delete its values for good, too. */
  purged: boolean;
  data_key_id: string | null;
  ciphertext: string | null;
  fingerprint: string | null;
  /** What it was made with. Only if that is still the key of the fingerprints. */
  fingerprint_key_id: string | null;
  restored_from: number | null;
  /** `null` leaves these two as they are. */
  description: string | null;
  expires_at: string | null;
  /** Of the version that it makes. */
  deliver_to_jobs: boolean;
};

/** Changes that are made together or not at all, with their audit rows. */
export type ChangeSet = {
  factoryId: string;
  changes: readonly SecretChange[];
  at: Date;
  actor: Actor;
  audit: readonly AuditRow[];
};

/**
 * What became of a set. `changed`: a secret is not as it was judged, so judge it again. `full`: the factory has no room.
 */
export type WriteOutcome = "written" | "changed" | "full";

/** How many secrets a factory may have. */
export type SecretLimits = { maxSecrets: number };
