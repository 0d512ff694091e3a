"""Let's Encrypt's rate limits, as its documents describe them: token buckets, what they count and what is exempt."""
import time

from .jose import Refused

WORDS = {
    'orders': ('too many new orders ({count}) from this account in the last {period}s', '#new-orders-per-account'),
    'domain': ('too many certificates ({count}) already issued for "{key}" in the last {period}s', '#new-certificates-per-registered-domain'),
    'names': ('too many certificates ({count}) already issued for this exact set of identifiers in the last {period}s',
              '#new-certificates-per-exact-set-of-identifiers'),
    'failures': ('too many failed authorizations ({count}) for "{key}" in the last {period}s', '#authorization-failures-per-identifier-per-account'),
}


class Limits:
    """rules: {kind: [count, period in seconds]}. Every bucket is full at first and fills evenly."""

    def __init__(self):
        self.rules = {}
        self.buckets = {}
        self.refused = 0

    def _level(self, kind, key):
        count, period = self.rules[kind]
        level, at = self.buckets.get((kind, key), (count, 0))
        return min(count, level + (time.time() - at) * count / period)

    def check(self, kind, key):
        """Refuses when the bucket is empty."""
        if kind not in self.rules:
            return
        level = self._level(kind, key)
        if level >= 1:
            return
        count, period = self.rules[kind]
        self.refused += 1
        wait = (1 - level) * period / count
        words, anchor = WORDS[kind]
        until = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(time.time() + wait))
        raise Refused('rateLimited', f'{words.format(count=count, key=key, period=period)}, retry after {until}: '
                      f'see https://letsencrypt.org/docs/rate-limits/{anchor}', 429, {'Retry-After': str(int(wait) + 1)})

    def spend(self, kind, key):
        if kind in self.rules:
            self.buckets[kind, key] = (self._level(kind, key) - 1, time.time())
