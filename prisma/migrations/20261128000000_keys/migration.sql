-- Several key-encryption keys, and work that moves stored keys and values from one to another. Everything here is added;
-- the release before knows one key, which stays the active one until an operator activates another.

-- At most one key wraps what is new.
CREATE UNIQUE INDEX "key_encryption_keys_state_key" ON "key_encryption_keys"("state") WHERE ("state" = 'active');

-- Nothing comes to need a key that was retired: whoever wrapped by it while it was retired has to wrap anew. Looks at
-- the key under the lock that a foreign key takes too, for which a retirement waits, and which waits for a retirement.
CREATE FUNCTION "refuse_retired_key"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM "key_encryption_keys"
    WHERE "id" = NEW."key_encryption_key_id" AND "state" <> 'retired' FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key-encryption key % is retired', NEW."key_encryption_key_id" USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER "data_keys_refuse_retired_key" BEFORE INSERT OR UPDATE OF "key_encryption_key_id" ON "data_keys"
    FOR EACH ROW EXECUTE FUNCTION "refuse_retired_key"();
CREATE TRIGGER "signing_keys_refuse_retired_key" BEFORE INSERT OR UPDATE OF "key_encryption_key_id" ON "signing_keys"
    FOR EACH ROW EXECUTE FUNCTION "refuse_retired_key"();
CREATE TRIGGER "audit_keys_refuse_retired_key" BEFORE INSERT OR UPDATE OF "key_encryption_key_id" ON "audit_keys"
    FOR EACH ROW EXECUTE FUNCTION "refuse_retired_key"();

-- Which keys the running replicas hold: a key that one of them lacks is not activated by mistake.
CREATE TABLE "replicas" (
    "id" UUID NOT NULL,
    "held_keys" TEXT[] NOT NULL,
    "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "replicas_pkey" PRIMARY KEY ("id")
);

-- Work on keys that goes on until it is done, whoever does it and however often they are killed.
-- kind: 'rewrap' moves what key_id wraps to the active key; 'reseal' seals the values of factory_id under its newest
-- data key. What is left to do is in the data themselves; done and total are for people.
-- No foreign keys: the row outlives the factory that it was about.
-- holder: the process that works on it, until leased_until.
CREATE TABLE "key_tasks" (
    "id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'running',
    "key_id" TEXT,
    "factory_id" UUID,
    "per_second" INTEGER NOT NULL,
    "done" INTEGER NOT NULL DEFAULT 0,
    "total" INTEGER NOT NULL DEFAULT 0,
    "problem" TEXT,
    "holder" UUID,
    "leased_until" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "key_tasks_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "key_tasks_kind_check" CHECK (("kind" = 'rewrap') = ("key_id" IS NOT NULL) AND ("kind" = 'reseal') = ("factory_id" IS NOT NULL)),
    CONSTRAINT "key_tasks_state_check" CHECK ("state" IN ('running', 'done', 'failed'))
);
-- One at a time for each key and each factory.
CREATE UNIQUE INDEX "key_tasks_key_id_key" ON "key_tasks"("key_id") WHERE ("state" = 'running');
CREATE UNIQUE INDEX "key_tasks_factory_id_key" ON "key_tasks"("factory_id") WHERE ("state" = 'running');
CREATE INDEX "key_tasks_created_at_id_idx" ON "key_tasks"("created_at", "id");
