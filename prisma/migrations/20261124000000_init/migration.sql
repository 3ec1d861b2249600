-- One row: this installation. Its generation is raised when an operator token is withdrawn.
CREATE TABLE "installation" (
    "id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "generation" BIGINT NOT NULL DEFAULT 1,
    "singleton" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "installation_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "installation_singleton_check" CHECK ("singleton")
);
CREATE UNIQUE INDEX "installation_singleton_key" ON "installation"("singleton");

CREATE TABLE "key_encryption_keys" (
    "id" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "check_value" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "key_encryption_keys_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "key_encryption_keys_state_check" CHECK ("state" IN ('active', 'known', 'retired'))
);

-- A name stays taken after deletion: certificates and trust policies of the clouds name it.
-- generation: raised in the transaction of every write that can change a token answer.
-- named_secrets: what the entries of the current config name; read under this row's lock when a secret is created.
CREATE TABLE "factories" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "generation" BIGINT NOT NULL DEFAULT 1,
    "secret_count" INTEGER NOT NULL DEFAULT 0,
    "config_version" INTEGER,
    "next_config_version" INTEGER NOT NULL DEFAULT 1,
    "named_secrets" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "factories_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "factories_name_check" CHECK ("name" ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);
CREATE UNIQUE INDEX "factories_name_key" ON "factories"("name");

CREATE TABLE "data_keys" (
    "id" UUID NOT NULL,
    "factory_id" UUID NOT NULL,
    "purpose" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "key_encryption_key_id" TEXT NOT NULL,
    "wrapped" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "data_keys_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "data_keys_purpose_check" CHECK ("purpose" IN ('secret', 'fingerprint')),
    CONSTRAINT "data_keys_state_check" CHECK ("state" IN ('active', 'retired'))
);
CREATE INDEX "data_keys_factory_id_idx" ON "data_keys"("factory_id");
CREATE INDEX "data_keys_key_encryption_key_id_idx" ON "data_keys"("key_encryption_key_id");

-- current_version is a pointer, never max(version); next_version is never given out twice.
-- named: an entry of the current config names this secret (kept with factories.named_secrets).
CREATE TABLE "secrets" (
    "id" UUID NOT NULL,
    "factory_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "current_version" INTEGER NOT NULL,
    "next_version" INTEGER NOT NULL,
    "named" BOOLEAN NOT NULL DEFAULT false,
    "deliver_to_jobs" BOOLEAN NOT NULL DEFAULT false,
    "description" TEXT,
    "expires_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "secrets_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "secrets_name_check" CHECK ("name" ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$'),
    -- Whatever an entry names opens a registry, and must never be handed to a job as a file.
    CONSTRAINT "secrets_named_is_not_delivered_check" CHECK (NOT ("named" AND "deliver_to_jobs"))
);
CREATE UNIQUE INDEX "secrets_factory_id_name_key" ON "secrets"("factory_id", "name") WHERE "deleted_at" IS NULL;

CREATE TABLE "secret_versions" (
    "secret_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "data_key_id" UUID NOT NULL,
    "ciphertext" BYTEA NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,

    CONSTRAINT "secret_versions_pkey" PRIMARY KEY ("secret_id", "version")
);

CREATE TABLE "config_versions" (
    "factory_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "document" BYTEA NOT NULL,
    "reason" TEXT,
    "restored_from" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,

    CONSTRAINT "config_versions_pkey" PRIMARY KEY ("factory_id", "version")
);

-- Where a secret may be sent: the (type, host) pairs of the current config, and who approved each.
CREATE TABLE "approved_destinations" (
    "factory_id" UUID NOT NULL,
    "secret_name" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "approved_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "approved_by_kind" TEXT NOT NULL,
    "approved_by_id" TEXT NOT NULL,
    "approved_by_name" TEXT NOT NULL,

    CONSTRAINT "approved_destinations_pkey" PRIMARY KEY ("factory_id", "secret_name", "type", "host")
);

-- Operator tokens, API tokens and jobs. Only the hash of a token is kept.
-- parent_id: the credential that this one was derived from; withdrawing that one withdraws this.
CREATE TABLE "credentials" (
    "id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "factory_id" UUID,
    "parent_id" UUID,
    "name" TEXT NOT NULL,
    "token_hash" BYTEA NOT NULL,
    "permissions" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "grants" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by_kind" TEXT NOT NULL,
    "created_by_id" TEXT NOT NULL,
    "created_by_name" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "credentials_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "credentials_kind_check" CHECK ("kind" IN ('operator', 'api-token', 'job')),
    CONSTRAINT "credentials_factory_check" CHECK (("kind" = 'operator') = ("factory_id" IS NULL))
);
CREATE UNIQUE INDEX "credentials_token_hash_key" ON "credentials"("token_hash");
CREATE INDEX "credentials_factory_id_kind_created_at_id_idx" ON "credentials"("factory_id", "kind", "created_at", "id");
CREATE INDEX "credentials_parent_id_idx" ON "credentials"("parent_id");

-- No foreign keys: a factory can be deleted, its history stays.
-- event: the canonical bytes of the event; the other columns only help to find it.
-- transaction: lets a sealer chain committed rows in an order that no later commit can change.
CREATE TABLE "audit_events" (
    "id" BIGSERIAL NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "factory_id" UUID,
    "action" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "actor_kind" TEXT NOT NULL,
    "actor_id" TEXT,
    "secret" TEXT,
    "writer" UUID NOT NULL,
    "sequence" BIGINT NOT NULL,
    "transaction" xid8 NOT NULL DEFAULT pg_current_xact_id(),
    "event" BYTEA NOT NULL,

    CONSTRAINT "audit_events_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "audit_events_writer_sequence_key" ON "audit_events"("writer", "sequence");
CREATE INDEX "audit_events_factory_id_id_idx" ON "audit_events"("factory_id", "id");
CREATE INDEX "audit_events_factory_id_secret_id_idx" ON "audit_events"("factory_id", "secret", "id");

ALTER TABLE "data_keys" ADD CONSTRAINT "data_keys_factory_id_fkey" FOREIGN KEY ("factory_id") REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "data_keys" ADD CONSTRAINT "data_keys_key_encryption_key_id_fkey" FOREIGN KEY ("key_encryption_key_id") REFERENCES "key_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_factory_id_fkey" FOREIGN KEY ("factory_id") REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "secret_versions" ADD CONSTRAINT "secret_versions_secret_id_fkey" FOREIGN KEY ("secret_id") REFERENCES "secrets"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "secret_versions" ADD CONSTRAINT "secret_versions_data_key_id_fkey" FOREIGN KEY ("data_key_id") REFERENCES "data_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "config_versions" ADD CONSTRAINT "config_versions_factory_id_fkey" FOREIGN KEY ("factory_id") REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "approved_destinations" ADD CONSTRAINT "approved_destinations_factory_id_fkey" FOREIGN KEY ("factory_id") REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_factory_id_fkey" FOREIGN KEY ("factory_id") REFERENCES "factories"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "credentials"("id") ON DELETE SET NULL ON UPDATE RESTRICT;

-- The audit is only appended to, whoever asks.
CREATE FUNCTION "refuse_audit_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_events is only appended to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER "audit_events_append_only" BEFORE UPDATE OR DELETE ON "audit_events"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_events_no_truncate" BEFORE TRUNCATE ON "audit_events"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_audit_change"();

-- Tells every replica, at commit, that what it remembers of a factory (or of the operators) is out of date.
CREATE FUNCTION "announce_generation"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('factory_secrets_generation', NEW."id"::text || ' ' || NEW."generation"::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER "factories_announce_generation" AFTER UPDATE OF "generation" ON "factories"
    FOR EACH ROW WHEN (OLD."generation" IS DISTINCT FROM NEW."generation") EXECUTE FUNCTION "announce_generation"();
CREATE TRIGGER "installation_announce_generation" AFTER UPDATE OF "generation" ON "installation"
    FOR EACH ROW WHEN (OLD."generation" IS DISTINCT FROM NEW."generation") EXECUTE FUNCTION "announce_generation"();
