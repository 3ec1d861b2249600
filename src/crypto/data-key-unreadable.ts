import { Problem } from "../core/problem.js";
import type { DataKeyPurpose } from "./envelope.js";

const sentences: Record<DataKeyPurpose, string> = {
  secret:
    "The data key that seals this factory's values does not open. Bring back the key-encryption key that wrapped it, or have an operator give the factory a new one: POST /v1/factories/{factory}/data-keys:rotate",
  fingerprint:
    "The key of this factory's fingerprints does not open. An operator has to bring back the key-encryption key that wrapped it, or the row from a backup. If both are lost: see 'When a data key does not open' in docs/keys.md",
  "aws-keys":
    "The key that this factory's AWS-shaped keys are derived from does not open. An operator has to bring back the key-encryption key that wrapped it, or the row from a backup. If both are lost: see 'When a data key does not open' in docs/keys.md",
  "audit-checkpoint": "The key of the audit does not open.",
  backup: "The key of the backup does not open.",
};

/**
 * A data key is needed that is missing or does not open. To try again does not help: an operator has something to do
 * (docs/keys.md).
 */
export class DataKeyUnreadable extends Problem {
  constructor(purpose: DataKeyPurpose) {
    super("key-unavailable", sentences[purpose]);
  }
}
