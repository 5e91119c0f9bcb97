/* flood - hostile traffic for bench/flood: SIP and noise over UDP with forged sources, floods
 * of TCP connections and of TLS handshakes. Everything stays on 127.0.0.0/8. See ../README.md. */
#define _GNU_SOURCE
#include "util.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in to; static u32 base, nsrc = 1; static double rate, dur = 5; static const char *kind = "garbage";
static volatile sig_atomic_t stop;
static u64 sent, errs, replies, reply_bytes, opened, refused, closed_by_peer;
static int sport = 5999, open_max = 1000, held_max;
static void on_sig(int s) { stop = 1; }

/* How many are due now; 0 for rate means as many as go. */
static u64 t_begin;
static u64 due(u64 cap)
{
    if (rate <= 0) return cap;
    u64 d = (u64)((mono_ns() - t_begin) / 1e9 * rate); d = d > sent + errs ? d - sent - errs : 0;
    return d < cap ? d : cap;
}
static void pause_until_due(void)
{
    struct timespec ts = { 0, 200000 }; nanosleep(&ts, NULL);
}
/* Sources in an order that looks like none: a multiplication by an odd number permutes 2^20 of them. */
static u32 source(u64 k)
{
    u32 i = nsrc == 1 ? 0 : nsrc == 1u << 20 ? (u32)(k * 0x9e3779b1u) & ((1u << 20) - 1) : k % nsrc;
    return base + i;
}

/* ---- UDP --------------------------------------------------------------- */
#define BATCH 64
#define PACKET 1500
static u8 pkt[BATCH][PACKET]; static int plen; static int hole[8], nholes;
static struct mmsghdr mm[BATCH]; static struct iovec iov[BATCH];

static int compose(char *b)                                                  /* "########" is replaced in every packet */
{
    if (!strcmp(kind, "garbage")) { for (int i = 0; i < 400; i++) b[i] = rnd32(); memset(b, '#', 8); return 400; }
    int inv = !strcmp(kind, "invite"), reg = !strcmp(kind, "register"); const char *m = inv ? "INVITE" : reg ? "REGISTER" : "OPTIONS"; char uri[64], body[400] = "";
    if (reg) strcpy(uri, "sip:sbc.test"); else strcpy(uri, "sip:49301234567@sbc.test");
    if (inv) strcpy(body, "v=0\r\no=- 1 1 IN IP4 127.0.9.9\r\ns=-\r\nc=IN IP4 127.0.9.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n");
    return sprintf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.9:%d;branch=z9hG4bKf########;rport\r\nMax-Forwards: 70\r\nFrom: <sip:flood########@sbc.test>;tag=########\r\nTo: <%s>\r\n"
        "Call-ID: ########@127.0.9.9\r\nCSeq: 1 %s\r\nContact: <sip:flood@127.0.9.9:%d>\r\nUser-Agent: Acme 1.0\r\n%s%sContent-Length: %zu\r\n\r\n%s",
        m, uri, sport, reg ? "sip:flood########@sbc.test" : uri, m, sport, reg ? "Expires: 600\r\n" : "", inv ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
}
static void udp_setup(void)
{
    char b[PACKET + 1]; int n = compose(b); plen = 28 + n; b[n] = 0;
    if (plen > PACKET) die("message too long");
    for (int i = 0; i + 8 <= n && nholes < 8; i++) if (!memcmp(b + i, "########", 8)) { hole[nholes++] = 28 + i; i += 7; }
    for (int i = 0; i < BATCH; i++) {
        struct iphdr *ip = (void *)pkt[i]; struct udphdr *u = (void *)(pkt[i] + 20);
        ip->version = 4; ip->ihl = 5; ip->ttl = 64; ip->protocol = IPPROTO_UDP; ip->tot_len = htons(plen); ip->daddr = to.sin_addr.s_addr;
        u->source = htons(sport); u->dest = to.sin_port; u->len = htons(plen - 20); u->check = 0;     /* RFC 768: no checksum */
        memcpy(pkt[i] + 28, b, n); iov[i] = (struct iovec){ pkt[i], plen };
        mm[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov[i], .msg_iovlen = 1 };
    }
}
static void hex8(u8 *p, u32 v) { for (int i = 7; i >= 0; i--, v >>= 4) p[i] = "0123456789abcdef"[v & 15]; }
static void drain(int fd)
{
    char b[64]; long n; while ((n = recv(fd, b, sizeof b, MSG_DONTWAIT | MSG_TRUNC)) >= 0) { replies++; reply_bytes += n; }
}
static void run_udp(void)
{
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), back = socket(AF_INET, SOCK_DGRAM, 0), on = 1, buf = 4 << 20; u32 salt = rnd32(); u64 end = t_begin + (u64)(dur * SEC);
    if (raw < 0) die("raw socket: %s (root is needed to forge sources)", strerror(errno));
    setsockopt(raw, IPPROTO_IP, IP_HDRINCL, &on, sizeof on); setsockopt(raw, SOL_SOCKET, SO_SNDBUFFORCE, &buf, sizeof buf);
    /* Answers to any of the forged sources come to one socket, on loopback only. */
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(sport) }; setsockopt(back, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3); setsockopt(back, SOL_SOCKET, SO_RCVBUFFORCE, &buf, sizeof buf);
    if (bind(back, (void *)&any, sizeof any)) die("bind %d: %s", sport, strerror(errno));
    udp_setup();
    while (!stop && mono_ns() < end) {
        int n = due(BATCH); if (!n) { pause_until_due(); drain(back); continue; }
        for (int i = 0; i < n; i++) {
            ((struct iphdr *)pkt[i])->saddr = htonl(source(sent + i));
            for (int h = 0; h < nholes; h++) hex8(pkt[i] + hole[h], (u32)(sent + i) * 2654435761u ^ salt);
        }
        int r = sendmmsg(raw, mm, n, 0); if (r < 0) { errs += n; if (errno != ENOBUFS && errno != EAGAIN) die("sendmmsg: %s", strerror(errno)); continue; }
        sent += r; if (!(sent & 1023)) drain(back);
    }
    struct timespec ts = { 0, 300000000 }; nanosleep(&ts, NULL); drain(back);
}

/* ---- TCP and TLS ------------------------------------------------------- */
static u8 hello[2048]; static int hello_len;
static void hello_make(void)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method()); SSL *s = SSL_new(c); BIO *r = BIO_new(BIO_s_mem()), *w = BIO_new(BIO_s_mem());
    SSL_set_bio(s, r, w); SSL_set_connect_state(s); SSL_set_tlsext_host_name(s, "sbc.test"); SSL_do_handshake(s); hello_len = BIO_read(w, hello, sizeof hello);
    if (hello_len <= 0) die("no ClientHello");
}
struct conn { int fd; u8 up; int off; u64 next; };
static struct conn *conns; static int *freec, nfree, nopen, epfd;
static void conn_close(int i, int rst)
{
    struct linger l = { 1, 0 }; if (rst) setsockopt(conns[i].fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);   /* leaves no TIME_WAIT behind */
    close(conns[i].fd); conns[i].fd = -1; freec[nfree++] = i; nopen--;
}
static void conn_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1; if (fd < 0) { errs++; return; }
    struct sockaddr_in a = sa_make(source(sent + errs), 0); setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (bind(fd, (void *)&a, sizeof a) || (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS)) { close(fd); errs++; return; }
    int i = freec[--nfree]; conns[i] = (struct conn){ .fd = fd }; sent++; if (++nopen > held_max) held_max = nopen;
    struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.u32 = i }; epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
}
/* tcp: open and keep; tls: a ClientHello, wait for the answer (the server has signed by then), open again;
 * tls-half: a ClientHello and never a word more; tls-slow: a byte of it each 100 ms. */
static void run_conn(void)
{
    int tcp = !strcmp(kind, "tcp"), tls = !strcmp(kind, "tls"), slow = !strcmp(kind, "tls-slow"); u64 end = t_begin + (u64)(dur * SEC), sweep = 0; struct epoll_event ev[256];
    hello_make(); epfd = epoll_create1(0); conns = calloc(open_max, sizeof *conns); freec = calloc(open_max, sizeof *freec);
    for (int i = open_max - 1; i >= 0; i--) { conns[i].fd = -1; freec[nfree++] = i; }
    while (!stop && mono_ns() < end) {
        for (int n = due(64); n > 0 && nfree; n--) conn_open();
        int n = epoll_wait(epfd, ev, 256, 1); u64 now = mono_ns();
        for (int k = 0; k < n; k++) {
            int i = ev[k].data.u32; struct conn *c = &conns[i]; if (c->fd < 0) continue;
            if (ev[k].events & (EPOLLERR | EPOLLHUP) && !c->up) { refused++; conn_close(i, 1); continue; }
            if (!c->up && ev[k].events & EPOLLOUT) {
                c->up = 1; opened++; struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP, .data.u32 = i }; epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e);
                if (!tcp && !slow && send(c->fd, hello, hello_len, MSG_NOSIGNAL) < 0) { conn_close(i, 1); continue; }
            }
            if (ev[k].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                char b[8192]; long r = recv(c->fd, b, sizeof b, MSG_DONTWAIT);
                if (r > 0) { replies++; reply_bytes += r; if (tls) conn_close(i, 1); }
                else if (r == 0 || errno != EAGAIN) { closed_by_peer++; conn_close(i, 1); }
            }
        }
        if (slow && now > sweep) {
            sweep = now + 20 * MS;
            for (int i = 0; i < open_max; i++) if (conns[i].fd >= 0 && conns[i].up && conns[i].off < hello_len && now > conns[i].next) { if (send(conns[i].fd, hello + conns[i].off, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) conns[i].off++; conns[i].next = now + 100 * MS; }
        }
    }
    for (int i = 0; i < open_max; i++) if (conns[i].fd >= 0) conn_close(i, 1);
}

static void usage(void)
{
    fputs("usage: flood --to IP:PORT --kind garbage|register|invite|options|tcp|tls|tls-half|tls-slow\n"
        "             --from IP --sources N --rate R (0: as fast as it goes) --duration S --open N (connections at a time)\n", stderr);
    exit(2);
}
int main(int argc, char **argv)
{
    static const struct option lo[] = { {"to",1,0,'t'},{"kind",1,0,'k'},{"from",1,0,'f'},{"sources",1,0,'n'},{"rate",1,0,'r'},{"duration",1,0,'d'},{"open",1,0,'o'},{"port",1,0,'p'},{0,0,0,0} };
    to = sa_parse("127.0.0.2:5060", 0); struct sockaddr_in f = sa_parse("127.64.0.1", 0);
    for (int o; (o = getopt_long(argc, argv, "", lo, NULL)) != -1;) switch (o) {
        case 't': to = sa_parse(optarg, 5060); break; case 'k': kind = optarg; break; case 'f': f = sa_parse(optarg, 0); break; case 'n': nsrc = atoi(optarg); break;
        case 'r': rate = atof(optarg); break; case 'd': dur = atof(optarg); break; case 'o': open_max = atoi(optarg); break; case 'p': sport = atoi(optarg); break; default: usage();
    }
    base = ntohl(f.sin_addr.s_addr); if (nsrc == 1000000) nsrc = 1 << 20;
    require_loopback(&to, "target"); require_loopback(&f, "source"); if (!nsrc || base + nsrc - 1 > 0x7ffffffe) die("sources leave 127.0.0.0/8");
    int tcp = !strncmp(kind, "tcp", 3), tls = !strncmp(kind, "tls", 3);
    if (optind != argc || open_max < 1 || (!tcp && !tls && strcmp(kind, "garbage") && strcmp(kind, "register") && strcmp(kind, "invite") && strcmp(kind, "options"))) usage();
    struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
    signal(SIGPIPE, SIG_IGN); signal(SIGINT, on_sig); signal(SIGTERM, on_sig);
    t_begin = mono_ns(); if (tcp || tls) run_conn(); else run_udp();
    double s = (mono_ns() - t_begin) / 1e9;
    printf("{\"kind\":\"%s\",\"sources\":%u,\"sent\":%llu,\"per_s\":%.0f,\"errors\":%llu,\"replies\":%llu,\"reply_bytes\":%llu,\"sent_bytes\":%llu,\"opened\":%llu,\"refused\":%llu,\"closed_by_peer\":%llu,\"open_max\":%d,\"cpu_pct\":%.0f}\n",
        kind, nsrc, (unsigned long long)sent, sent / (dur < s ? dur : s), (unsigned long long)errs, (unsigned long long)replies, (unsigned long long)reply_bytes, (unsigned long long)sent * (plen ? plen - 28 : 0),
        (unsigned long long)opened, (unsigned long long)refused, (unsigned long long)closed_by_peer, held_max, 100 * self_cpu_s() / s);
    return 0;
}
