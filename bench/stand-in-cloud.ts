// A process of its own, so that the clouds take no time of the load generator. Prints where they are, as JSON.
import { startAccounts } from "../demo/stand-in-accounts.js";

const clouds = await startAccounts();
console.log(JSON.stringify({ connectTo: clouds.connectTo, caPem: clouds.caPem }));
