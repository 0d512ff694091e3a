"""Home 1: a plain dnsmasq router that filters private addresses out of DNS, a NAS behind it (the box), and a laptop.

Nothing of nameplate is on the router: the NAS is a host with an address by DHCP, and both NAS and laptop ask the router.
"""
from lab.home import dnsmasq, forwards, ipv4, lease, renew, udhcpc
from lab.internet import ISP1, RESOLVER
from lab.namespaces import bridge, link
from lab.nodes import Node
from lab.waiting import wait_until

LINE = '192.0.2.1'
ROUTER4, ROUTER6 = '192.168.178.1', 'fd42:6e61:6d65:178::1'
NAS4, OTHER_NAS4 = '192.168.178.20', '192.168.178.77'  # by the first lease, and by a later one

ISP_DNSMASQ = f"""\
port=0
interface=line0
bind-interfaces
dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h
dhcp-option=option:dns-server,{RESOLVER}
dhcp-authoritative
no-ping
dhcp-leasefile={{state}}/leases
"""

# As a router on the shelf comes. The exceptions are the lab's: its Internet lives in the address blocks for documentation,
# which dnsmasq counts as private.
ROUTER_DNSMASQ = f"""\
interface=br-lan
bind-interfaces
no-hosts
stop-dns-rebind
rebind-domain-ok=/hq.devices.example/ns1.devices.example/plain-test.devices.example/www.example/short.example/ca.example/ca2.example/
dhcp-range=192.168.178.100,192.168.178.199,255.255.255.0,1h
dhcp-option=option:router,{ROUTER4}
dhcp-option=option:dns-server,{ROUTER4}
dhcp-hostsfile={{state}}/dhcp-hosts
dhcp-range=::,constructor:br-lan,slaac
enable-ra
ra-param=br-lan,60,0
dhcp-authoritative
no-ping
dhcp-leasefile={{state}}/leases
"""

ROUTER_NFT = """\
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
}
"""

AGENT_CONF = """\
role = host
lan = {"eth0"}
"""


class Home1:
    """Nodes by attribute: isp, router, box (the NAS), laptop. Needs the Internet's switch to be up."""

    agent_conf = AGENT_CONF

    def __init__(self, internet):
        self.internet = internet
        self.isp = Node('isp1', 'home 1: the ISP\'s router')
        self.router = Node('router1', 'home 1: a plain dnsmasq router with rebinding protection')
        self.box = Node('nas1', 'home 1: a NAS with nameplate, by DHCP')
        self.laptop = Node('laptop1', 'home 1: a computer that asks the router')
        self.nodes = [self.isp, self.router, self.box, self.laptop]
        self.exceptions = ''

    def up(self):
        for node in self.nodes:
            node.create()
        self._start_isp()
        self._start_router()
        udhcpc(self.box, 'eth0', 'nas')
        udhcpc(self.laptop, 'eth0', 'laptop')
        wait_until(self._has_ipv6, 15, 'IPv6 addresses by router advertisements')

    def _start_isp(self):
        node = self.isp
        forwards(node)
        self.internet.plug(node, (ISP1,), ())
        link(node, 'line0', self.router, 'wan')
        node.address('line0', f'{LINE}/24')
        dnsmasq(node, ISP_DNSMASQ.format(state=node.state), 67)

    def _start_router(self):
        node = self.router
        forwards(node)
        bridge(node, 'br-lan')
        for port, there in (('lan1', self.box), ('lan2', self.laptop)):
            link(node, port, there, 'eth0')
            node.ip('link', 'set', port, 'master', 'br-lan')
        node.address('br-lan', f'{ROUTER4}/24', f'{ROUTER6}/64')
        node.run('nft', '-f', '-', input=ROUTER_NFT)
        udhcpc(node, 'wan', 'router')
        lease(node, self.box, 'eth0', NAS4)
        self._start_router_dnsmasq()

    def _start_router_dnsmasq(self):
        dnsmasq(self.router, ROUTER_DNSMASQ.format(state=self.router.state) + self.exceptions, 53)

    def _has_ipv6(self):
        return all(node.ip('-6', '-o', 'address', 'show', 'dev', 'eth0', 'scope', 'global', '-tentative')
                   for node in (self.box, self.laptop))

    def except_from_filter(self, lines):
        """The owner puts these lines into the router's dnsmasq.conf (instead of earlier ones) and restarts dnsmasq."""
        self.exceptions = lines.rstrip() + '\n' if lines.strip() else ''
        self.router.end('dnsmasq')
        self._start_router_dnsmasq()

    def change_lease(self, address):
        """The router leases another address to the NAS, which renews now. Returns before it has it."""
        lease(self.router, self.box, 'eth0', address)
        renew(self.box)

    def cut_line(self):
        """The cable between ISP and router is out."""
        self.isp.ip('link', 'set', 'line0', 'down')

    def mend_line(self):
        self.isp.ip('link', 'set', 'line0', 'up')

    def box_address(self):
        """Where the NAS is reached from the laptop."""
        return ipv4(self.box, 'eth0')
