/** How long an access token lives at most. */
export const maxTokenSeconds = 900;

/** How long a token for the relay lives at most. */
export const maxRelayTokenSeconds = 300;

/** How far the clocks of two replicas may be apart. */
export const maxSkewSeconds = 60;

/** How much sooner than it does a token is said to expire: fioctl refreshes only once that time has fully passed. */
export const reportedShortSeconds = 60;

/** How long a session goes on without being refreshed. */
export const sessionSeconds = 90 * 24 * 3600;

/** How long a refresh token works after its first use: two fioctl runs side by side send the same. */
export const reuseSeconds = 60;
