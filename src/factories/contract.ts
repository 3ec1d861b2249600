import { z } from "zod";
import { FactoryName, NextPageToken, Timestamp } from "../http/contract.js";

export const NewFactory = z.strictObject({ name: FactoryName }).meta({ id: "NewFactory" });

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
