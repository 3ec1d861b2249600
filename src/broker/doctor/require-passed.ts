import { Problem } from "../../core/problem.js";
import { type DoctorDeps, type DoctorInput, examineSecret } from "./examine-secret.js";

/**
 * Tries a version at every registry that names its secret, and lets it through only when each of them let it in and
 * nothing failed. Warnings do not hold it up. A secret that no entry names has nowhere to be tried.
 * @throws Problem `version-unsuitable` with the first finding, and what `examineSecret` throws
 */
export async function requirePassed(
  deps: DoctorDeps,
  input: Omit<DoctorInput, "registry" | "repositories"> & { version: number },
): Promise<void> {
  const report = await examineSecret(deps, { ...input, registry: undefined, repositories: undefined });
  if (report.passed) return;
  const refusing = report.registries.find(({ isLoggedIn, outcome }) => !isLoggedIn || outcome === "failed");
  const finding = refusing?.checks.find(({ outcome }) => outcome === "failed") ?? refusing?.checks[0];
  throw new Problem(
    "version-unsuitable",
    `Version ${input.version} did not pass, so it was not promoted. ${refusing?.registry ?? refusing?.entry}: ${finding?.message} See all that was found: POST .../secrets/${input.name}/versions/${input.version}:doctor`,
  );
}
