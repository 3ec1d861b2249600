import { z } from "zod";

const install = z
  .array(z.string())
  .meta({ description: "Commands for a shell, which stop when the checksum is wrong." });
const sha256 = z.string().meta({ description: "Hexadecimal." });

export const OfferedHelper = z
  .object({
    file: z.string().meta({ example: "docker-credential-factory-secrets" }),
    url: z.string(),
    bytes: z.int(),
    sha256,
    install,
  })
  .meta({ id: "OfferedHelper", description: "A credential helper for docker and the kubelet, in sh and curl." });

export const OfferedCommandLine = z
  .object({
    version: z.string().meta({ example: "0.1.0" }),
    file: z.string().meta({ example: "factory-secrets-cli-0.1.0.tgz" }),
    url: z.string().meta({ description: "Where the tarball is. Its checksum is beside it, with `.sha256` added." }),
    bytes: z.int(),
    sha256,
    install,
    helper: OfferedHelper,
  })
  .meta({ id: "OfferedCommandLine", description: "The command line of this very release, as a tarball for npm." });

export const OfferedFileParams = z.object({
  file: z.string().max(200).meta({
    description:
      "A `file` of `GET /cli/index.json`, or `factory-secrets-cli.tgz` for the newest; or that with `.sha256` added.",
  }),
});
