"""nginx and HAProxy as an operator puts them in front of HQ: they end TLS, HQ listens on a Unix socket. docs/operations.md
shows the same configurations."""
import contextlib
import socket
import subprocess

from lab.waiting import wait_until
from ports import free_port

NGINX = '''
user www-data;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream hq {{
        server unix:{socket};
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        client_max_body_size 64k;
        location / {{
            proxy_pass http://hq;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
'''

HAPROXY = '''
global
    maxconn 1024
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend devices
    bind 127.0.0.1:{port} ssl crt {both} alpn http/1.1
    option forwardfor
    default_backend hq
backend hq
    server hq unix@{socket}
'''


@contextlib.contextmanager
def _running(argv, port):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: _listens(process, port), 20, f'{argv[0]} listens on port {port}')
        yield port
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _listens(process, port):
    assert process.poll() is None, process.communicate()[0]
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def _write(folder, name, template, **values):
    path = folder / name
    path.write_text(template.format(folder=folder, **values))
    return path


def nginx(folder, path, certificate, key):
    """`with nginx(...) as port:` forwards to HQ's socket at path."""
    port = free_port()
    conf = _write(folder, 'nginx.conf', NGINX, port=port, socket=path, certificate=certificate, key=key)
    return _running(['nginx', '-p', folder, '-e', folder / 'nginx.log', '-c', conf, '-g', 'daemon off;'], port)


def haproxy(folder, path, certificate, key):
    """`with haproxy(...) as port:` forwards to HQ's socket at path."""
    port, both = free_port(), folder / 'haproxy.pem'
    both.write_text(certificate.read_text() + key.read_text())
    both.chmod(0o600)
    conf = _write(folder, 'haproxy.cfg', HAPROXY, port=port, socket=path, both=both)
    return _running(['haproxy', '-db', '-f', conf], port)
