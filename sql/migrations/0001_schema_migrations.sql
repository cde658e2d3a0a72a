-- Why: the database, and the ledger of migrations, which is the first thing a migration needs.
-- Blocking: no.

CREATE DATABASE IF NOT EXISTS {database} {on_cluster};

CREATE TABLE IF NOT EXISTS {table:schema_migrations} {on_cluster}
(
    number     UInt32 COMMENT 'of the file, from its name',
    name       String COMMENT 'the file',
    checksum   String COMMENT 'SHA-256 of the file as it was applied',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = {engine:MergeTree}
ORDER BY number;

{distributed:schema_migrations};
