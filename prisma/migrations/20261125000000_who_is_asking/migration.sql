-- Who is asking: OAuth clients and their sessions, signing keys, trust rules, device authorities, shared rate limits.
-- Everything here is added; the release before goes on beside it.

-- An OAuth client proves itself by one of its secrets, a session by a signed token: neither has a token hash of its own.
-- roles: what the permissions were given as.
-- evidence: what a foreign token said of its bearer, for a session that was opened with it.
ALTER TABLE "credentials"
    ALTER COLUMN "token_hash" DROP NOT NULL,
    ADD COLUMN "roles" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    ADD COLUMN "evidence" JSONB,
    DROP CONSTRAINT "credentials_kind_check",
    ADD CONSTRAINT "credentials_kind_check"
        CHECK ("kind" IN ('operator', 'api-token', 'job', 'oauth-client', 'oauth-session', 'oidc-session'));

CREATE TABLE "oauth_client_secrets" (
    "id" UUID NOT NULL,
    "credential_id" UUID NOT NULL,
    "secret_hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "oauth_client_secrets_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "oauth_client_secrets_credential_id_fkey" FOREIGN KEY ("credential_id")
        REFERENCES "credentials"("id") ON DELETE CASCADE ON UPDATE RESTRICT
);
CREATE UNIQUE INDEX "oauth_client_secrets_secret_hash_key" ON "oauth_client_secrets"("secret_hash");
CREATE INDEX "oauth_client_secrets_credential_id_idx" ON "oauth_client_secrets"("credential_id");

-- credential_id: the session, which is the family: the reuse of one token withdraws it.
-- used_at: a used token stays until it expires, so that its reuse is noticed.
CREATE TABLE "refresh_tokens" (
    "token_hash" BYTEA NOT NULL,
    "credential_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "used_at" TIMESTAMPTZ(3),

    CONSTRAINT "refresh_tokens_pkey" PRIMARY KEY ("token_hash"),
    CONSTRAINT "refresh_tokens_credential_id_fkey" FOREIGN KEY ("credential_id")
        REFERENCES "credentials"("id") ON DELETE CASCADE ON UPDATE RESTRICT
);
CREATE INDEX "refresh_tokens_credential_id_idx" ON "refresh_tokens"("credential_id");
CREATE INDEX "refresh_tokens_expires_at_idx" ON "refresh_tokens"("expires_at");

-- id: the `kid`. public_key: SPKI, DER. wrapped: the private key, PKCS #8, under the key-encryption key.
-- verify_until: set when another takes its place; its last token has expired by then.
CREATE TABLE "signing_keys" (
    "id" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "alg" TEXT NOT NULL,
    "public_key" BYTEA NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "wrapped" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "verify_until" TIMESTAMPTZ(3),

    CONSTRAINT "signing_keys_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "signing_keys_purpose_check" CHECK ("purpose" IN ('api-access', 'federation')),
    CONSTRAINT "signing_keys_alg_check" CHECK ("alg" IN ('ES256', 'RS256')),
    CONSTRAINT "signing_keys_key_encryption_key_id_fkey" FOREIGN KEY ("key_encryption_key_id")
        REFERENCES "key_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE UNIQUE INDEX "signing_keys_purpose_key" ON "signing_keys"("purpose") WHERE ("verify_until" IS NULL);
CREATE INDEX "signing_keys_key_encryption_key_id_idx" ON "signing_keys"("key_encryption_key_id");

-- rule: where its keys come from, its conditions and its grants, as the API takes them.
CREATE TABLE "trust_rules" (
    "id" UUID NOT NULL,
    "factory_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "rule" JSONB NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,

    CONSTRAINT "trust_rules_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "trust_rules_factory_id_fkey" FOREIGN KEY ("factory_id")
        REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE UNIQUE INDEX "trust_rules_factory_id_name_key" ON "trust_rules"("factory_id", "name");

-- id_hash: SHA-256 of issuer and `jti`. Of a single-use rule's tokens, until they expire.
CREATE TABLE "used_token_ids" (
    "factory_id" UUID NOT NULL,
    "id_hash" BYTEA NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "used_token_ids_pkey" PRIMARY KEY ("factory_id", "id_hash"),
    CONSTRAINT "used_token_ids_factory_id_fkey" FOREIGN KEY ("factory_id")
        REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX "used_token_ids_expires_at_idx" ON "used_token_ids"("expires_at");

-- fingerprint: SHA-256 of the root certificate. certificates: the root and its intermediates, PEM.
-- subjects: SHA-256 of their names, by which an authority is found for what a device presents.
-- policy: what its devices may pull, as the API takes it. revocation_lists: CRLs, DER.
CREATE TABLE "device_authorities" (
    "id" UUID NOT NULL,
    "factory_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "subjects" TEXT[] NOT NULL,
    "certificates" TEXT NOT NULL,
    "policy" JSONB NOT NULL,
    "revocation_lists" BYTEA[] NOT NULL DEFAULT ARRAY[]::BYTEA[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,

    CONSTRAINT "device_authorities_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "device_authorities_factory_id_fkey" FOREIGN KEY ("factory_id")
        REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE UNIQUE INDEX "device_authorities_factory_id_name_key" ON "device_authorities"("factory_id", "name");
CREATE UNIQUE INDEX "device_authorities_factory_id_fingerprint_key" ON "device_authorities"("factory_id", "fingerprint");
CREATE INDEX "device_authorities_subjects_idx" ON "device_authorities" USING GIN ("subjects");

-- One device, by its UUID, or one certificate, by its serial number in hexadecimal.
CREATE TABLE "denied_devices" (
    "id" UUID NOT NULL,
    "factory_id" UUID NOT NULL,
    "device_id" UUID,
    "authority_id" UUID,
    "serial" TEXT,
    "reason" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,

    CONSTRAINT "denied_devices_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "denied_devices_factory_id_fkey" FOREIGN KEY ("factory_id")
        REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT,
    CONSTRAINT "denied_devices_authority_id_fkey" FOREIGN KEY ("authority_id")
        REFERENCES "device_authorities"("id") ON DELETE CASCADE ON UPDATE RESTRICT,
    CONSTRAINT "denied_devices_what_check"
        CHECK (("device_id" IS NULL) <> ("serial" IS NULL) AND ("serial" IS NULL) = ("authority_id" IS NULL))
);
CREATE UNIQUE INDEX "denied_devices_factory_id_device_id_key" ON "denied_devices"("factory_id", "device_id");
CREATE UNIQUE INDEX "denied_devices_authority_id_serial_key" ON "denied_devices"("authority_id", "serial");

-- Counts on which replicas must agree, as rate-limiter-flexible keeps them: expire in milliseconds since 1970.
CREATE TABLE "rate_limits" (
    "key" VARCHAR(255) NOT NULL,
    "points" INTEGER NOT NULL DEFAULT 0,
    "expire" BIGINT,

    CONSTRAINT "rate_limits_pkey" PRIMARY KEY ("key")
);
CREATE INDEX "rate_limits_expire_idx" ON "rate_limits"("expire");
