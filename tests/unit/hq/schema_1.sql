-- A database as nameplate-hq made it with schema 1: what every later version has to bring up to date.
PRAGMA application_id = 1852852305;
PRAGMA user_version = 1;
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('zone_serial', 1);
CREATE TABLE device( id TEXT NOT NULL PRIMARY KEY, x BLOB NOT NULL, y BLOB NOT NULL, thumbprint BLOB NOT NULL, epoch
    BLOB NOT NULL, token_hash BLOB NOT NULL, auth_n INTEGER NOT NULL, auth_n_used INTEGER NOT NULL, name TEXT NOT NULL
    UNIQUE COLLATE NOCASE, serial TEXT NOT NULL, credential INTEGER NOT NULL, state INTEGER NOT NULL, network TEXT NOT
    NULL, nonce_us INTEGER NOT NULL, seq INTEGER NOT NULL, stated TEXT NOT NULL, published TEXT NOT NULL, publish
    INTEGER NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, created_s INTEGER NOT NULL, last_seen_s INTEGER NOT
    NULL, UNIQUE(thumbprint, epoch)) STRICT;
CREATE INDEX device_serial ON device(serial, created_s) WHERE serial <> '';
CREATE INDEX device_network ON device(network, created_s) WHERE credential = 0;
CREATE TABLE used_key( thumbprint BLOB NOT NULL PRIMARY KEY, device TEXT NOT NULL, seen_s INTEGER NOT NULL) STRICT,
    WITHOUT ROWID;
CREATE INDEX used_key_device ON used_key(device, seen_s);
CREATE TABLE orders( id TEXT NOT NULL PRIMARY KEY, device TEXT NOT NULL, key BLOB NOT NULL, csr BLOB NOT NULL, state
    INTEGER NOT NULL, order_url TEXT NOT NULL, finalize_url TEXT NOT NULL, certificate_url TEXT NOT NULL, error TEXT
    NOT NULL, attempts INTEGER NOT NULL, next_try_ms INTEGER NOT NULL, priority INTEGER NOT NULL, created_ms INTEGER
    NOT NULL, updated_ms INTEGER NOT NULL) STRICT;
CREATE INDEX orders_device ON orders(device, created_ms);
CREATE INDEX orders_open ON orders(state, priority, created_ms);
CREATE TABLE authorization( order_id TEXT NOT NULL, i INTEGER NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL,
    challenge TEXT NOT NULL, txt TEXT NOT NULL, PRIMARY KEY(order_id, i)) STRICT, WITHOUT ROWID;
CREATE TABLE package( device TEXT NOT NULL, n INTEGER NOT NULL, order_id TEXT NOT NULL, chain TEXT NOT NULL,
    not_before_s INTEGER NOT NULL, not_after_s INTEGER NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY(device, n))
    STRICT;
CREATE TABLE tombstone(name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, since_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE dirty(name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX dirty_version ON dirty(version);
INSERT INTO device VALUES('device-1', zeroblob(32), zeroblob(32),
    x'0100000000000000000000000000000000000000000000000000000000000000', zeroblob(16), zeroblob(32), 1,
    0, 'name-1.devices.example', '', 1, 0, '', 0, 0, '', '', 0, 'm', '0.1.0', 1790000000, 1790000000);
INSERT INTO device VALUES('device-2', zeroblob(32), zeroblob(32),
    x'0200000000000000000000000000000000000000000000000000000000000000', zeroblob(16), zeroblob(32), 1,
    0, 'name-2.devices.example', '', 1, 2, '', 0, 0, '', '', 0, 'm', '0.1.0', 1790000000, 1790000000);
INSERT INTO package VALUES('device-1', 1, 'order-1', 'chain 1', 1790000000, 1790000900, 1790000000000);
INSERT INTO package VALUES('device-2', 1, 'order-2', 'chain 2', 1790000000, 1790000900, 1790000000000);
INSERT INTO orders VALUES('order-1', 'device-1', x'8100000000000000000000000000000000000000000000000000000000000000',
    x'00', 8, '', '', '', '', 0, 0, 1, 1790000000000,
    1790000000000);
INSERT INTO orders VALUES('order-3', 'device-1', x'8100000000000000000000000000000000000000000000000000000000000000',
    x'00', 0, '', '', '', '', 0, 0, 2, 1790000500000,
    1790000500000);
INSERT INTO orders VALUES('order-4', 'device-1', x'8100000000000000000000000000000000000000000000000000000000000000',
    x'00', 9, '', '', '', 'why', 2, 1790000600000, 2,
    1790000500000, 1790000500000);
INSERT INTO authorization VALUES('order-3', 0, 'name-1.devices.example', '', '', '');
