-- Whether a job gets the values of the secrets that are flagged for delivery. A job of the release before gets none.
ALTER TABLE credentials ADD COLUMN deliver_secrets BOOLEAN NOT NULL DEFAULT false;

CREATE INDEX secrets_delivered_idx ON secrets (factory_id, name) WHERE deliver_to_jobs AND deleted_at IS NULL;
