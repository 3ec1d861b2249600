-- For If-Match: raised by each change of an authority. The release before does not raise it, and reads it nowhere.
ALTER TABLE device_authorities ADD COLUMN version integer NOT NULL DEFAULT 1;
