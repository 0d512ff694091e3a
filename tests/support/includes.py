#!/usr/bin/env python3
"""includes: fails when an include breaks "who may use whom" (docs/architecture.md).

tests/support/includes.py [ROOT]: looks at every C file below ROOT (the project). Each run first plants violations of
every rule in sources that exist only in memory, and fails when one of them is not found.
"""
import re
import sys
from pathlib import Path

# A file belongs to the first folder that its path begins with; it may include from the folders named there.
FOLDERS = [
    ('resolver/base/', ('resolver/base/',)),
    ('resolver/', ('resolver/',)),
    ('hq/proto/', ('hq/proto/', 'resolver/base/')),
    ('hq/', ('hq/', 'resolver/')),
    ('agent/', ('agent/', 'hq/proto/', 'resolver/')),
    ('tests/', ('tests/', 'agent/', 'hq/', 'resolver/')),
]
# A library's headers, and the only places that may include them. Tests may use every library as an oracle.
LIBRARIES = [
    ('ldns', r'ldns/', ('hq/zone/',)),
    ('BearSSL', r'bearssl', ('agent/',)),
    ('OpenSSL', r'openssl/', ('hq/',)),
    ('libcurl', r'curl/', ('hq/acme/', 'hq/outgoing')),
    ('c-ares', r'ares(_\w+)?\.h$', ('agent/',)),
    ('rtnetlink', r'linux/(rtnetlink|netlink|if_link|if_addr|neighbour)\.h$', ('agent/network/',)),
    ('libmicrohttpd', r'microhttpd', ('hq/admin/', 'hq/api/', 'hq/server')),
    ('SQLite', r'sqlite3', ('hq/store/',)),
    ('libpq', r'postgresql/', ('hq/store/',)),
    ('libconfuse', r'confuse\.h$', ('resolver/base/config.c',)),
]
# hq/proto is linked by both sides and so may use neither side's crypto, though it lies in hq/.
NEVER = [('hq/proto/', r'openssl/|bearssl')]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*(?:include|include_next|import)\b[ \t]*(.*)$', re.MULTILINE)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.DOTALL)


def without_comments(text):
    """Comments go, line numbers stay."""
    return COMMENT.sub(lambda match: '\n' * match.group().count('\n') or ' ', text)


def check(sources):
    """sources: {path: text}. Returns the violations as 'path:line: why'."""
    problems = []
    for path, text in sorted(sources.items()):
        clean = without_comments(text)
        for match in INCLUDE.finditer(clean):
            line = clean.count('\n', 0, match.start()) + 1
            why = judge(path, match.group(1).strip(), sources)
            if why:
                problems.append(f'{path}:{line}: {why}')
    return problems


def judge(path, target, sources):
    """Why this include is wrong, or None."""
    if target.startswith('"') and target.endswith('"'):
        return judge_own(path, target[1:-1], sources)
    if target.startswith('<') and target.endswith('>'):
        header = target[1:-1]
        if header in sources or re.match(r'(agent|hq|resolver|tests)/', header):
            return f'{target}: own headers are included with quotes'
        return judge_library(path, header)
    return f'{target}: an include that cannot be read here'


def judge_own(path, header, sources):
    if header not in sources:
        return f'"{header}": own headers are named from the root, and this is none (libraries stand in <>)'
    for folder, allowed in FOLDERS:
        if path.startswith(folder):
            if header.startswith(allowed):
                return None
            return f'{folder} may not use {header} (only {", ".join(allowed)})'
    return f'{path} lies in no folder of the design'


def judge_library(path, header):
    if path.startswith('tests/'):
        return None
    for folder, pattern in NEVER:
        if path.startswith(folder) and re.match(pattern, header):
            return f'{folder} may not use <{header}>'
    for name, pattern, homes in LIBRARIES:
        if re.match(pattern, header) and not path.startswith(homes):
            return f'{name} (<{header}>) belongs in {", ".join(homes)} alone'
    return None


def read_sources(root):
    sources = {}
    for folder in ('agent', 'hq', 'resolver', 'tests'):
        for pattern in ('*.c', '*.h'):
            for path in (root / folder).rglob(pattern):
                sources[str(path.relative_to(root))] = path.read_text(errors='replace')
    return sources


# Each must be found: (file, include).
PLANTED = [
    ('resolver/base/error.c', '#include "resolver/view.h"'),
    ('resolver/base/error.c', '#include "agent/agent.h"'),
    ('resolver/view.c', '#include "agent/agent.h"'),
    ('resolver/view.c', '#include "hq/proto/json.h"'),
    ('resolver/view.c', '#  include <bearssl.h>'),
    ('resolver/view.c', '#include <ares.h>'),
    ('resolver/view.c', '#include <linux/rtnetlink.h>'),
    ('hq/proto/json.c', '#include "hq/store/store.h"'),
    ('hq/proto/json.c', '#include "resolver/view.h"'),
    ('hq/proto/json.c', '#include <openssl/evp.h>'),
    ('hq/store/store.c', '#include "agent/agent.h"'),
    ('hq/store/store.c', '#include <ldns/ldns.h>'),
    ('hq/store/store.c', '#include <curl/curl.h>'),
    ('hq/store/store.c', '#include <microhttpd.h>'),
    ('hq/api/api.c', '#include <sqlite3.h>'),
    ('hq/api/api.c', '#include <postgresql/libpq-fe.h>'),
    ('hq/store/store.c', '#include <bearssl_hash.h>'),
    ('agent/agent.c', '#include "hq/store/store.h"'),
    ('agent/agent.c', '#include <openssl/ssl.h>'),
    ('agent/agent.c', '#include <linux/rtnetlink.h>'),
    ('agent/agent.c', '/* two\nlines */ #include <ldns/ldns.h>'),
    ('agent/agent.c', '#include HEADER'),
    ('agent/agent.c', '#include <agent/agent.h>'),
    ('agent/agent.c', '#include "agent.h"'),
    ('agent/network/netlink.c', '#include <confuse.h>'),
    ('loose.c', '#include "agent/agent.h"'),
]
# None of these may be found.
ALLOWED = [
    ('hq/zone/update.c', '#include <ldns/ldns.h>'),
    ('hq/acme/http.c', '#include <curl/curl.h>'),
    ('hq/server.c', '#include <microhttpd.h>\n#include <openssl/ssl.h>'),
    ('hq/proto/json.c', '#include "resolver/base/error.h"\n#include <jansson.h>'),
    ('agent/network/netlink.c', '#include <linux/rtnetlink.h>'),
    ('agent/tls/client.c', '#include <bearssl.h>\n#include <ares.h>\n#include "hq/proto/json.h"\n#include "resolver/view.h"'),
    ('agent/agent.c', '/* #include <ldns/ldns.h> */\n// #include <curl/curl.h>'),
    ('tests/unit/hq/test_zone.c', '#include <ldns/ldns.h>\n#include "hq/store/store.h"\n#include "agent/agent.h"'),
]
HEADERS = ('resolver/base/error.h', 'resolver/view.h', 'hq/proto/json.h', 'hq/store/store.h', 'agent/agent.h')


def self_test():
    """What this check itself gets wrong."""
    empty = dict.fromkeys(HEADERS, '')
    wrong = []
    for path, text in PLANTED:
        if len(check({**empty, path: text})) != 1:
            wrong.append(f'includes.py does not find the planted "{text}" in {path}')
    for path, text in ALLOWED:
        for problem in check({**empty, path: text}):
            wrong.append(f'includes.py finds fault with what is allowed: {problem}')
    for folder, _ in FOLDERS[:-1]:
        if not any(path.startswith(folder) for path, _ in PLANTED):
            wrong.append(f'nothing is planted in {folder}')
    for name, pattern, _ in LIBRARIES:
        if not any(re.search(r'<' + pattern.rstrip('$'), text) for _, text in PLANTED):
            wrong.append(f'no include of {name} is planted')
    return wrong


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    sources = read_sources(root)
    problems = self_test() + check(sources)
    for problem in problems:
        print(problem)
    if not sources:
        print(f'no sources below {root}')
        return 1
    if not problems:
        print(f'{len(sources)} files: every include is allowed')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
