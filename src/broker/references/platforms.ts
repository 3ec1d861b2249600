/**
 * Whether an image that is there for `platforms` runs on `wanted`. A platform without a variant stands for each of
 * them; the 64-bit ARM of today is v8, which is written or left out (containerd, platforms/database.go).
 */
export function hasPlatform(platforms: readonly string[], wanted: string): boolean {
  const [os, architecture, variant] = partsOf(wanted);
  return platforms.map(partsOf).some(([hasOs, hasArchitecture, hasVariant]) => {
    if (hasOs !== os || hasArchitecture !== architecture) return false;
    return variant === undefined || hasVariant === undefined || hasVariant === variant;
  });
}

function partsOf(platform: string): [string, string, string | undefined] {
  const [os = "", architecture = "", variant] = platform.split("/");
  if (architecture === "arm64" && variant === "v8") return [os, architecture, undefined];
  return [os, architecture, variant];
}
