import { isIP } from "node:net";

/** What may keep a cloud from using this issuer, in sentences; empty when nothing is seen from here. */
export function issuerRemarks(issuer: string): string[] {
  const { hostname, port } = new URL(issuer);
  const remarks: string[] = [];
  if (port !== "") remarks.push("AWS takes no issuer with a port in its URL. Serve the public URL on port 443.");
  const isLocal = hostname === "localhost" || !hostname.includes(".") || /\.(local|internal|localhost)$/.test(hostname);
  if (isLocal || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0) {
    remarks.push(
      "Clouds have to reach the public URL by a name of the public DNS, and its host does not look like one.",
    );
  }
  return remarks;
}
