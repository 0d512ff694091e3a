#include "resolver/base/ingress.h"

#include <string.h>

#ifndef IPV6_2292PKTOPTIONS
#define IPV6_2292PKTOPTIONS 6 /* linux/in6.h, which netinet/in.h does not go with */
#endif
#ifndef IP_PKTOPTIONS
#define IP_PKTOPTIONS 9
#endif
#define CONTROL_MAX 256 /* bytes: several times what the options that we turn on fill */

bool np_ingress_read(struct msghdr *header, struct np_addr *out_local, uint32_t *out_ifindex)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(cmsg), sizeof info);
            *out_local = np_addr_from_bytes(&info.ipi_addr, 4);
            *out_ifindex = (uint32_t)info.ipi_ifindex;
            /* ipi_spec_dst is where an answer would leave from: another address for broadcast and multicast. */
            return info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr;
        }
        if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(cmsg), sizeof info);
            *out_local = np_addr_from_bytes(&info.ipi6_addr, 16);
            *out_ifindex = (uint32_t)info.ipi6_ifindex;
            enum np_addr_class class = np_addr_classify(out_local);
            if (class == NP_ADDR_LINK_LOCAL)
                out_local->scope = *out_ifindex;
            return class != NP_ADDR_MULTICAST;
        }
    }
    return true;
}

uint32_t np_ingress_of_accepted(int fd, int family)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_MAX];
    } control;
    bool v4 = family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    const int on = 1;
    socklen_t len = sizeof control;
    struct np_addr local;
    uint32_t ifindex = 0;
    if (setsockopt(fd, level, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &on, sizeof on) ||
        getsockopt(fd, level, v4 ? IP_PKTOPTIONS : IPV6_2292PKTOPTIONS, &control, &len))
        return 0;
    struct msghdr header = {.msg_control = &control, .msg_controllen = len};
    (void)np_ingress_read(&header, &local, &ifindex);
    return ifindex;
}
