import { z } from "zod";
import { RegistryName } from "../../core/grant.js";

export const AwsKeysRequest = z
  .strictObject({
    registry: RegistryName.optional().meta({
      description: "Host or id of an entry of type aws. May be absent when there is only one.",
    }),
  })
  .meta({ id: "AwsKeysRequest" });
