import { z } from "zod";
import { Timestamp } from "../../http/contract.js";

const AuditCheckpointKey = z
  .object({
    id: z.string().meta({ description: "SHA-256 of the key (SPKI, DER) in hexadecimal." }),
    state: z.enum(["active", "retired"]).meta({ id: "AuditCheckpointKeyState" }),
    algorithm: z.literal("Ed25519"),
    publicKey: z.string().meta({ description: "PEM." }),
    createdAt: Timestamp,
  })
  .meta({ id: "AuditCheckpointKey" });

export const AuditCheckpointKeyList = z
  .object({ items: z.array(AuditCheckpointKey) })
  .meta({ id: "AuditCheckpointKeyList", description: "The public keys that sign the audit, the oldest first." });

export const AuditExportNdjson = z.string().meta({
  id: "AuditExportNdjson",
  description: "One JSON object a line: keys, the signed end, the last cut, then events and checkpoints.",
});
