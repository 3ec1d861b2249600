// Apart from relay-peer.ts, which runs when it is loaded.
export const registryHost = "registry.example.test";
export const login = { user: "bench", password: "not-a-real-secret-1" };
