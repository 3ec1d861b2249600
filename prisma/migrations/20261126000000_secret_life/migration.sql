-- The life of a secret: staged, promoted, rolled back, restored, destroyed, deleted and back. Everything here is added;
-- the release before goes on beside it, and makes versions that are current at once.

-- keep_versions: how many versions of each secret stay, beside the current one and the one before.
-- rotation_grace_seconds: how long the version before is not destroyed without force.
ALTER TABLE "factories"
    ADD COLUMN "keep_versions" INTEGER NOT NULL DEFAULT 10,
    ADD COLUMN "rotation_grace_seconds" INTEGER NOT NULL DEFAULT 43200,
    ADD COLUMN "settings_version" INTEGER NOT NULL DEFAULT 1,
    ADD CONSTRAINT "factories_keep_versions_check" CHECK ("keep_versions" BETWEEN 1 AND 1000),
    ADD CONSTRAINT "factories_rotation_grace_seconds_check" CHECK ("rotation_grace_seconds" BETWEEN 0 AND 2592000);

-- previous_version: what was current before, and what a rollback goes back to.
-- current_since: when the current version came to be the current one; without it, when that version was made.
-- destroyed_versions: how many were, so that a restore that raced with a destruction is found out by this row alone.
ALTER TABLE "secrets"
    ADD COLUMN "previous_version" INTEGER,
    ADD COLUMN "current_since" TIMESTAMPTZ(3),
    ADD COLUMN "destroyed_versions" INTEGER NOT NULL DEFAULT 0;
CREATE INDEX "secrets_deleted_idx" ON "secrets"("factory_id", "name", "deleted_at") WHERE "deleted_at" IS NOT NULL;

-- staged: waits to be promoted.
-- destroyed_at: ciphertext and fingerprint are empty since; the number stays.
-- expires_at: of the credential in this version, noted with the secret when the version becomes current.
ALTER TABLE "secret_versions"
    ADD COLUMN "staged" BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN "restored_from" INTEGER,
    ADD COLUMN "expires_at" TIMESTAMPTZ(3),
    ADD COLUMN "destroyed_at" TIMESTAMPTZ(3),
    ADD CONSTRAINT "secret_versions_destroyed_is_empty_check"
        CHECK ("destroyed_at" IS NULL OR (length("ciphertext") = 0 AND length("fingerprint") = 0));

-- Who was given tokens by which version of a secret, and until when the last of them lives.
-- No foreign keys: what is counted beside the answers must never wait for who writes a secret.
CREATE TABLE "secret_uses" (
    "secret_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "actor_kind" TEXT NOT NULL,
    "actor_id" TEXT NOT NULL,
    "actor_name" TEXT NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,
    "tokens_until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "secret_uses_pkey" PRIMARY KEY ("secret_id", "version", "actor_kind", "actor_id")
);
CREATE INDEX "secret_uses_last_used_at_idx" ON "secret_uses"("last_used_at");
