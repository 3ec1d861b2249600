import { arch } from "node:process";

/** How Node calls architectures, and how images do. Source: Node.js documentation, process.arch; OCI image specification. */
const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm64: "arm64",
  arm: "arm/v7",
  ppc64: "ppc64le",
  s390x: "s390x",
  riscv64: "riscv64",
};

/** The platform of the builder: the machine's own. */
const buildPlatform = `linux/${architectures[arch] ?? arch}`;

/**
 * Arguments that `FROM` sees without a declaration.
 * Source: Dockerfile reference, "Automatic platform ARGs in the global scope"; moby/buildkit, dockerfile2llb/platform.go.
 * @param platform - that the build is for; without one the arguments of the target have no value here
 */
export function predefinedArguments(
  platform: string | undefined,
  targetOf: (lastName: string | undefined) => string,
): (lastName: string | undefined) => Map<string, string> {
  return (lastName) =>
    new Map([
      ...argumentsOf("BUILD", buildPlatform),
      ...(platform === undefined ? [] : argumentsOf("TARGET", platform)),
      ["TARGETSTAGE", targetOf(lastName)],
    ]);
}

function argumentsOf(side: "BUILD" | "TARGET", given: string): [string, string][] {
  const platform = normalisedPlatform(given);
  const [os = "", architecture = "", variant = ""] = platform.split("/");
  return [
    [`${side}PLATFORM`, platform],
    [`${side}OS`, os],
    [`${side}OSVERSION`, ""],
    [`${side}ARCH`, architecture],
    [`${side}VARIANT`, variant],
  ];
}

/** Source: containerd/platforms, database.go, normalizeArch: one form for each platform. */
export function normalisedPlatform(platform: string): string {
  const [os = "", architecture = "", variant = ""] = platform.toLowerCase().split("/");
  const [name, kind] = normalisedArchitecture(architecture, variant);
  return [os === "macos" ? "darwin" : os, name, ...(kind === "" ? [] : [kind])].join("/");
}

function normalisedArchitecture(architecture: string, variant: string): [string, string] {
  switch (architecture) {
    case "x86_64":
    case "x86-64":
    case "amd64":
      return ["amd64", variant === "v1" ? "" : variant];
    case "i386":
      return ["386", ""];
    case "aarch64":
    case "arm64":
      return ["arm64", variant === "8" || variant === "v8" ? "" : variant];
    case "armhf":
      return ["arm", "v7"];
    case "armel":
      return ["arm", "v6"];
    case "arm":
      return ["arm", variant === "" || variant === "7" ? "v7" : variant.replace(/^(?=\d)/, "v")];
    default:
      return [architecture, variant];
  }
}

export const isPlatformArgument = (name: string): boolean =>
  /^TARGET(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)$/.test(name);
