import { z } from "zod";

export const OfferedCommandLine = z
  .object({
    version: z.string().meta({ example: "0.1.0" }),
    file: z.string().meta({ example: "factory-secrets-cli-0.1.0.tgz" }),
    url: z.string().meta({ description: "Where the tarball is. Its checksum is beside it, with `.sha256` added." }),
    bytes: z.int(),
    sha256: z.string().meta({ description: "Hexadecimal." }),
    install: z.array(z.string()).meta({ description: "Commands for a shell, which stop when the checksum is wrong." }),
  })
  .meta({ id: "OfferedCommandLine", description: "The command line of this very release, as a tarball for npm." });

export const OfferedFileParams = z.object({
  file: z.string().max(200).meta({ description: "The `file` of `GET /cli`, or that with `.sha256` added." }),
});
