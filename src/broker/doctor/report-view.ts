import type { z } from "zod";
import type { DoctorReport as ReportShape } from "./contract.js";
import type { DoctorReport } from "./examine-secret.js";

/** A report as the reply shows it. */
export function reportView(report: DoctorReport): z.input<typeof ReportShape> {
  const { name, version, currentVersion, outcome, passed, checks, registries } = report;
  return {
    name,
    version,
    currentVersion,
    outcome,
    passed,
    checks,
    registries: registries.map(({ entry, registry, type, outcome: worst, principal, checks: found }) => ({
      entry,
      type,
      outcome: worst,
      checks: found,
      ...(registry !== undefined && { registry }),
      ...(principal !== undefined && { principal }),
    })),
  };
}
