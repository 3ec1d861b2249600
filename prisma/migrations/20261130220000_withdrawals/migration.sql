-- Every credential that was withdrawn and every device that was denied, for replicas that remember it. A replica reads
-- the rows of transactions that it has not seen yet; old rows are swept.
CREATE TABLE withdrawals (
    id BIGSERIAL NOT NULL,
    -- "credential <id>", "device <factory id> <device id>" or "certificate <authority id> <serial>".
    subject TEXT NOT NULL,
    transaction XID8 NOT NULL DEFAULT pg_current_xact_id(),
    at TIMESTAMPTZ(3) NOT NULL DEFAULT transaction_timestamp(),
    CONSTRAINT withdrawals_pkey PRIMARY KEY (id)
);
CREATE INDEX withdrawals_transaction_idx ON withdrawals (transaction);
CREATE INDEX withdrawals_at_idx ON withdrawals (at);

-- A trigger, so that no way of withdrawing a credential can forget it.
CREATE FUNCTION announce_withdrawal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    withdrawn TEXT;
BEGIN
    IF TG_TABLE_NAME = 'credentials' THEN
        withdrawn := 'credential ' || NEW.id::text;
    ELSIF NEW.device_id IS NOT NULL THEN
        withdrawn := 'device ' || NEW.factory_id::text || ' ' || NEW.device_id::text;
    ELSE
        withdrawn := 'certificate ' || NEW.authority_id::text || ' ' || NEW.serial;
    END IF;
    INSERT INTO withdrawals (subject) VALUES (withdrawn);
    PERFORM pg_notify('factory_secrets_withdrawals', withdrawn);
    RETURN NULL;
END
$$;
CREATE TRIGGER credentials_announce_withdrawal AFTER UPDATE OF revoked_at ON credentials
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION announce_withdrawal();
CREATE TRIGGER denied_devices_announce_withdrawal AFTER INSERT ON denied_devices
    FOR EACH ROW EXECUTE FUNCTION announce_withdrawal();

-- The same time as before, under the name that Prisma leaves to the database: for CURRENT_TIMESTAMP it sends the time of
-- the process, whose clock can be wrong.
ALTER TABLE installation ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE key_encryption_keys ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE replicas ALTER COLUMN seen_at SET DEFAULT transaction_timestamp();
ALTER TABLE key_tasks ALTER COLUMN leased_until SET DEFAULT transaction_timestamp(), ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE factories ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE data_keys ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE config_versions ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE approved_destinations ALTER COLUMN approved_at SET DEFAULT transaction_timestamp();
ALTER TABLE credentials ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE audit_keys ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE audit_statements ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE audit_shipments ALTER COLUMN leased_until SET DEFAULT transaction_timestamp();
ALTER TABLE oauth_client_secrets ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE refresh_tokens ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE signing_keys ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
ALTER TABLE trust_rules ALTER COLUMN created_at SET DEFAULT transaction_timestamp(), ALTER COLUMN updated_at SET DEFAULT transaction_timestamp();
ALTER TABLE device_authorities ALTER COLUMN created_at SET DEFAULT transaction_timestamp(), ALTER COLUMN updated_at SET DEFAULT transaction_timestamp();
ALTER TABLE denied_devices ALTER COLUMN created_at SET DEFAULT transaction_timestamp();
