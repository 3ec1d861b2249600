import type { CloudEndpoint } from "./cloud-endpoint.js";

/** Which host is answered by which endpoint. Hosts can be added while the listener runs. */
export class EndpointRegister {
  readonly #endpoints = new Map<string, CloudEndpoint>();

  /** Puts an endpoint under its hosts and gives it back. A host that has an endpoint already is an error. */
  add(hosts: readonly string[], endpoint: CloudEndpoint): CloudEndpoint {
    for (const host of hosts) {
      if (this.#endpoints.has(host)) throw new Error(`${host} has a stand-in already.`);
      this.#endpoints.set(host, endpoint);
    }
    return endpoint;
  }

  find(host: string): CloudEndpoint | undefined {
    return this.#endpoints.get(host);
  }

  get hosts(): string[] {
    return [...this.#endpoints.keys()];
  }
}
