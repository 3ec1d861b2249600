import { z } from "zod";
import { NextPageToken, Timestamp } from "../../http/contract.js";

export const DeletedSecret = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "What was its current version, and will be again." }),
    deletedAt: Timestamp,
    undeletableUntil: Timestamp.meta({ description: "Then its values are destroyed for good." }),
  })
  .meta({ id: "DeletedSecret" });

export const DeletedSecretList = z
  .object({ items: z.array(DeletedSecret), nextPageToken: NextPageToken })
  .meta({ id: "DeletedSecretList" });
