import { z } from "zod";
import { FactoryName, NextPageToken, Timestamp } from "../http/contract.js";

export const FactoryRequest = z.strictObject({ name: FactoryName }).meta({ id: "FactoryRequest" });

export const Factory = z
  .object({
    id: z
      .uuid()
      .meta({ description: "Never changes; the factory's name in certificates and in the cloud's own logs." }),
    name: z.string(),
    createdAt: Timestamp,
  })
  .meta({ id: "Factory" });

export const FactoryList = z
  .object({ items: z.array(Factory), nextPageToken: NextPageToken })
  .meta({ id: "FactoryList" });
