"""The ISP's router and home 2: the box (router of the home) and a laptop. Home 1 is in home1.py."""
import signal
from pathlib import Path

from lab.internet import ISP, ISP6, RESOLVER
from lab.namespaces import bridge, link
from lab.nodes import Node
from lab.waiting import wait_until

ISP_LINE, ISP_LINE6 = '203.0.113.1', '2001:db8:2::1'
LAN4, LAN6 = '192.168.1.1', 'fd42:6e61:6d65:1::1'
OTHER_LAN4 = '192.168.2.1'  # after the LAN was renumbered
LAN_NET, LAN_NET6 = '192.168.1.0/24', 'fd42:6e61:6d65:1::/64'
LAN_ZONE, LAN_DNS_PORT = 'home.arpa', 5353
UDHCPC_SCRIPT = Path(__file__).with_name('udhcpc.script')

ISP_DNSMASQ = f"""\
port=0
interface=line0
bind-interfaces
dhcp-range=203.0.113.50,203.0.113.99,255.255.255.0,1h
dhcp-option=option:dns-server,{RESOLVER}
dhcp-hostsfile={{state}}/dhcp-hosts
dhcp-range=::,constructor:line0,slaac
enable-ra
dhcp-authoritative
no-ping
log-dhcp
dhcp-leasefile={{state}}/leases
"""

# The vendor's dnsmasq: DHCP and router advertisements on the LAN (no default route: the LAN has ULA only), and the
# names of what it leases. Its DNS is for the box's resolver alone (the firewall keeps the LAN away from it).
BOX_DNSMASQ = f"""\
port={LAN_DNS_PORT}
interface=br-lan
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
domain={LAN_ZONE}
local=/{LAN_ZONE}/
dhcp-fqdn
dhcp-range={{net}}.100,{{net}}.199,255.255.255.0,1h
dhcp-option=option:router,{{net}}.1
dhcp-option=option:dns-server,{{net}}.1
dhcp-range=::,constructor:br-lan,slaac
dhcp-option=option6:dns-server,[{LAN6}]
enable-ra
ra-param=br-lan,60,0
dhcp-authoritative
no-ping
dhcp-leasefile={{state}}/leases
"""

AGENT_CONF = f"""\
role = router
lan = {{"br-lan"}}
forward = {{"{LAN_ZONE}=127.0.0.1:{LAN_DNS_PORT}"}}
"""

BOX_NFT = f"""\
flush ruleset
table inet firewall {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        iifname "br-lan" meta l4proto {{ tcp, udp }} th dport {LAN_DNS_PORT} drop
        iifname "br-lan" accept
        iifname "wan" udp dport 68 accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "br-lan" oifname "wan" accept
    }}
}}
table ip nat {{
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }}
}}
"""


class Home:
    """Nodes by attribute: isp, box, laptop. Needs the Internet's switch to be up."""

    agent_conf = AGENT_CONF

    def __init__(self, internet):
        self.internet = internet
        self.lan4 = LAN4
        self.isp = Node('isp', 'the ISP\'s router: DHCP and RA on the line to the box')
        self.box = Node('box', 'the home\'s router: dnsmasq for DHCP, nftables, nameplate')
        self.laptop = Node('laptop', 'a computer in the home, by DHCP and SLAAC')
        self.nodes = [self.isp, self.box, self.laptop]

    def up(self):
        for node in self.nodes:
            node.create()
        self._start_isp()
        self._start_box()
        self._start_laptop()

    def _start_isp(self):
        node = self.isp
        forwards(node)
        self.internet.plug(node, (ISP,), (ISP6,))
        link(node, 'line0', self.box, 'wan')
        node.sysctl('ipv6.conf.line0.keep_addr_on_down', 1)
        node.address('line0', f'{ISP_LINE}/24', f'{ISP_LINE6}/64')
        node.write('dhcp-hosts', '')
        dnsmasq(node, ISP_DNSMASQ.format(state=node.state), 67)

    def _start_box(self):
        node = self.box
        forwards(node)
        node.sysctl('ipv6.conf.wan.accept_ra', 2)
        bridge(node, 'br-lan')
        link(node, 'lan1', self.laptop, 'eth0')
        node.ip('link', 'set', 'lan1', 'master', 'br-lan')
        node.address('br-lan', f'{LAN4}/24', f'{LAN6}/64')
        self.firewall(True)
        self._start_box_dnsmasq()
        udhcpc(node, 'wan', 'box')

    def _start_box_dnsmasq(self):
        net = self.lan4.rpartition('.')[0]
        dnsmasq(self.box, BOX_DNSMASQ.format(state=self.box.state, net=net), 67)

    def _start_laptop(self):
        udhcpc(self.laptop, 'eth0', 'laptop')
        wait_until(self.has_ipv6, 15, 'IPv6 addresses by router advertisements')

    def has_ipv6(self):
        """True when the laptop and the box's line have their addresses by SLAAC, and may use them."""
        shown = [node.ip('-6', '-o', 'address', 'show', 'dev', interface, 'scope', 'global', '-tentative')
                 for node, interface in ((self.laptop, 'eth0'), (self.box, 'wan'))]
        return all(shown)

    def firewall(self, on):
        """The box's firewall. Off: only what nameplate itself refuses keeps the WAN out; NAT stays."""
        rules = BOX_NFT if on else BOX_NFT.replace('policy drop', 'policy accept')
        self.box.run('nft', '-f', '-', input=rules)

    def cut_line(self):
        """The cable between ISP and box is out."""
        self.isp.ip('link', 'set', 'line0', 'down')

    def mend_line(self):
        self.isp.ip('link', 'set', 'line0', 'up')

    def begin_renumbering(self, lan4):
        """The LAN moves to another /24, make before break: the box has both addresses from now on."""
        self.box.address('br-lan', f'{lan4}/24')

    def end_renumbering(self, lan4, deadline=20):
        """dnsmasq leases from the new net, the laptop moves there, the box drops its old address."""
        old, self.lan4 = self.lan4, lan4
        self.box.end('dnsmasq')
        self._start_box_dnsmasq()
        renew(self.laptop)
        net = lan4.rpartition('.')[0] + '.'
        wait_until(lambda: (self.laptop_address() or '').startswith(net) and 'default' in self.laptop.ip('-4', 'route'),
                   deadline, f'the laptop has a lease in {net}0/24')
        self.box.ip('address', 'del', f'{old}/24', 'dev', 'br-lan')

    def change_wan_lease(self, address, deadline=20):
        """The ISP leases another address to the box at its next renewal, which is now."""
        lease(self.isp, self.box, 'wan', address)
        renew(self.box)
        wait_until(lambda: self.wan_address() == address and 'default' in self.box.ip('-4', 'route'), deadline,
                   f'the box has {address} on its line')

    def box_address(self):
        """Where the box is reached from the laptop."""
        return self.lan4

    def wan_address(self):
        """The box's IPv4 address on the line, or None."""
        return ipv4(self.box, 'wan')

    def laptop_address(self):
        return ipv4(self.laptop, 'eth0')


def forwards(node):
    """The node is a router."""
    node.sysctl('ipv4.ip_forward', 1)
    node.sysctl('ipv6.conf.all.forwarding', 1)


def dnsmasq(node, text, port):
    """Writes dnsmasq's configuration and starts it; `port` is the UDP port by which it is known to be up."""
    conf = node.write('dnsmasq.conf', text)
    node.daemon('dnsmasq', 'dnsmasq', '--keep-in-foreground', '--user=root', '--log-facility=-', '--pid-file=',
                f'--conf-file={conf}', ready=lambda: node.listens(port, 'udp'))


def udhcpc(node, interface, hostname):
    """A DHCP client, up once it has a lease and a default route."""
    node.daemon('udhcpc', 'udhcpc', '-f', '-i', interface, '-s', UDHCPC_SCRIPT, '-x', f'hostname:{hostname}',
                '-t', '20', '-T', '1', ready=lambda: ipv4(node, interface) and 'default' in node.ip('-4', 'route'))


def renew(node):
    """The node's DHCP client renews its lease now. A server that has another address for it refuses, and it asks anew."""
    node.daemons['udhcpc'].send_signal(signal.SIGUSR1)


def lease(server, client, interface, address):
    """From now on `server` leases `address` to the client's interface. dnsmasq has read its hosts file again by then."""
    mac = client.ip('-o', 'link', 'show', 'dev', interface).split('link/ether ')[1].split()[0]
    path = server.write('dhcp-hosts', f'{mac},{address}\n')
    if 'dnsmasq' in server.daemons:
        def reads():
            return server.log('dnsmasq').read_text(errors='replace').count(f': read {path}\n')
        before = reads()
        server.daemons['dnsmasq'].send_signal(signal.SIGHUP)
        wait_until(lambda: reads() > before, 5, f'{server.label}: dnsmasq has read {path}')


def ipv4(node, interface):
    """The node's IPv4 address there, or None."""
    words = node.ip('-4', '-o', 'address', 'show', 'dev', interface, 'scope', 'global').split()
    return words[3].partition('/')[0] if len(words) > 3 else None
