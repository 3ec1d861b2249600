import { z } from "zod";

const keepVersions = z.int().min(1).max(1_000);
const rotationGraceSeconds = z.int().min(0).max(2_592_000);

const keepVersionsText =
  "How many versions of each secret are kept. A smaller number holds from a secret's next write on; the current version and the one before are always kept.";
const rotationGraceText =
  "For how long the version that was current before can be destroyed with `force` only. 0 to 30 days.";

export const FactorySettings = z
  .object({
    keepVersions: keepVersions.meta({ description: keepVersionsText }),
    rotationGraceSeconds: rotationGraceSeconds.meta({ description: rotationGraceText }),
  })
  .meta({ id: "FactorySettings" });

export const FactorySettingsChange = z
  .strictObject({
    keepVersions: keepVersions.optional().meta({ description: keepVersionsText }),
    rotationGraceSeconds: rotationGraceSeconds.optional().meta({ description: rotationGraceText }),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), "changes nothing")
  .meta({ id: "FactorySettingsChange", description: "What is absent stays as it is." });
