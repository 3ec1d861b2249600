// Runs before each test file. Files of one process share its modules, so what another one left is put aside.
import { vi } from "vitest";
import { forgetOtherFiles } from "./leak-watch.js";
import { takeRsaKeysAnew } from "./rsa-keys.js";

forgetOtherFiles();
takeRsaKeysAnew();
vi.restoreAllMocks();
vi.unstubAllEnvs();
vi.useRealTimers();
