"""A fleet in HQ's database without its boxes: copies of one real device's rows, for what must be looked at or measured with many."""
import contextlib
import os
import random
import sqlite3
import time

DAY = 86400
VERSIONS = ['2.4.1'] * 12 + ['2.4.0'] * 5 + ['2.3.7'] * 2 + ['1.9.12']


def columns(db, table):
    return [row[1] for row in db.execute(f'PRAGMA table_info({table})')]


def insert(db, table, rows):
    """rows: dicts of all columns."""
    names = columns(db, table)
    db.executemany(f'INSERT INTO {table}({", ".join(names)}) VALUES({", ".join("?" * len(names))})',
                   ([row[name] for name in names] for row in rows))


def a_row(db, table):
    """Some row, as a dict."""
    return dict(zip(columns(db, table), db.execute(f'SELECT * FROM {table} LIMIT 1').fetchone()))


def grow(path, count, life_days=45, seed=1):
    """Adds `count` devices with certificates, at all ages that a fleet has; the database has one device with a certificate
    already, and no HQ at work."""
    chance, now = random.Random(seed), int(time.time())
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute('PRAGMA synchronous = OFF')
        device, renewal = a_row(db, 'device'), a_row(db, 'renewal')
        zone = device['name'].partition('.')[2]

        def devices():
            for n in range(count):
                seen = now - int(chance.expovariate(1 / 40000))
                yield {**device, 'id': f'D{n:021d}', 'name': f'box-{n:07d}.{zone}', 'serial': f'SN-{n:07d}', 'thumbprint': os.urandom(32),
                       'epoch': os.urandom(16), 'version': chance.choice(VERSIONS), 'last_seen_s': seen, 'created_s': now - 100 * DAY,
                       'state': 1 if n % 997 == 0 else 0, 'silent_s': seen if n % 89 == 1 else 0}

        def renewals():
            for n in range(count):
                begun = now - int(chance.random() * life_days * DAY * 0.7) if n % 200 else now - int(chance.random() * (life_days + 1) * DAY)
                yield {**renewal, 'device': f'D{n:021d}', 'not_before_s': begun, 'not_after_s': begun + life_days * DAY,
                       'point_ms': (begun + life_days * DAY * 2 // 3) * 1000, 'due_ms': (now + 30 * DAY) * 1000}
        insert(db, 'device', devices())
        insert(db, 'renewal', renewals())
