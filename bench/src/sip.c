#define _GNU_SOURCE
#include "sip.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct sip_cfg sc; struct sip_stats ss; struct sip_window sw; int sip_active, sip_up, sip_win, sip_counting;
static int epfd; static u32 run_id; static char last_fail[256];
const char *sip_last_failure(void) { return last_fail; }

/* ======================= messages ======================================== */
struct hf { const char *n; int nl; const char *v; int vl; };
struct msg {
    int req, code; char method[16]; const char *uri; int uril;
    struct hf h[96]; int nh; const char *body; int bodylen;
};
static int parse(struct msg *m, const char *b, int len)
{
    const char *p = b, *end = b + len, *e = memchr(p, '\n', len);
    if (!e) return -1;
    m->nh = 0; m->body = ""; m->bodylen = 0; m->uri = NULL; m->code = 0;
    if (len > 12 && !memcmp(p, "SIP/2.0 ", 8)) { m->req = 0; m->code = atoi(p + 8); if (m->code < 100 || m->code > 699) return -1; }
    else {
        const char *s = memchr(p, ' ', e - p); if (!s || s - p > 15) return -1;
        m->req = 1; memcpy(m->method, p, s - p); m->method[s - p] = 0; m->uri = s + 1;
        const char *s2 = memchr(s + 1, ' ', e - s - 1); if (!s2) return -1;
        m->uril = s2 - s - 1;
    }
    for (p = e + 1; p < end; p = e + 1) {
        e = memchr(p, '\n', end - p); if (!e) return -1;
        if (p == e || (e == p + 1 && *p == '\r')) { m->body = e + 1; m->bodylen = end - e - 1; return 0; }
        if (m->nh == 96) continue;
        const char *c = memchr(p, ':', e - p); if (!c) continue;
        struct hf *h = &m->h[m->nh++]; h->n = p; h->nl = c - p;
        while (h->nl && (p[h->nl - 1] == ' ')) h->nl--;
        for (c++; c < e && (*c == ' ' || *c == '\t'); c++) ;
        h->v = c; h->vl = e - c; while (h->vl && (c[h->vl - 1] == '\r' || c[h->vl - 1] == ' ')) h->vl--;
    }
    return 0;
}
static int is(const struct hf *h, const char *full, char brief)
{
    return (h->nl == 1 && brief && tolower((u8)*h->n) == brief) || ((int)strlen(full) == h->nl && !strncasecmp(h->n, full, h->nl));
}
static const struct hf *find(const struct msg *m, const char *full, char brief)
{
    for (int i = 0; i < m->nh; i++) if (is(&m->h[i], full, brief)) return &m->h[i];
    return NULL;
}
static int param(const struct hf *h, const char *name, char *out, int cap)   /* ;name=value after the '>' */
{
    if (!h) return -1;
    const char *p = memchr(h->v, '>', h->vl), *end = h->v + h->vl; int nl = strlen(name);
    if (!p) p = h->v;
    for (; p < end; p++)
        if (*p == ';' && end - p > nl + 1 && !strncasecmp(p + 1, name, nl) && p[1 + nl] == '=') {
            p += nl + 2; int n = 0;
            while (p < end && *p != ';' && *p != ',' && n < cap - 1) out[n++] = *p++;
            out[n] = 0; return n;
        }
    return -1;
}
static int quoted(const struct hf *h, const char *name, char *out, int cap)  /* name=value or name="value" */
{
    int nl = strlen(name); const char *p = h->v, *end = p + h->vl;
    for (; p + nl + 1 < end; p++)
        if (!strncasecmp(p, name, nl) && p[nl] == '=' && (p == h->v || p[-1] == ' ' || p[-1] == ',')) {
            p += nl + 1; int q = *p == '"', n = 0; p += q;
            while (p < end && (q ? *p != '"' : (*p != ',' && *p != ' ')) && n < cap - 1) out[n++] = *p++;
            out[n] = 0; return n;
        }
    return -1;
}

/* ======================= transport endpoints ============================= */
struct ep {
    int fd, id; enum tp tp; u8 uas, listen, up, dead, wantw, flood; SSL *ssl; u64 t0;
    struct sockaddr_in local, peer;
    char *in; int inlen, incap; char *out; int outlen, outcap;
};
#define MAX_EPS 200000
static struct ep *eps[MAX_EPS]; static int neps;
static SSL_CTX *cctx, *sctx;
static int src_ep[4096], flood_ep[4096];
static void handle(struct ep *e, const struct sockaddr_in *from, char *b, int n);

static void ep_watch(struct ep *e, int id, int mod)
{
    struct epoll_event ev = { .events = EPOLLIN | (e->wantw ? EPOLLOUT : 0), .data.u64 = 2ULL << 32 | id };
    epoll_ctl(epfd, mod ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, e->fd, &ev);
}
static int ep_new(int fd, enum tp tp, int uas)
{
    if (neps >= MAX_EPS) return -1;
    struct ep *e = calloc(1, sizeof *e); socklen_t l = sizeof e->local;
    e->fd = fd; e->id = neps; e->tp = tp; e->uas = uas; getsockname(fd, (void *)&e->local, &l); eps[neps] = e;
    return neps++;
}
static int ep_udp(struct sockaddr_in a, int uas)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), buf = 8 << 20;
    require_loopback(&a, "UDP bind");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buf, sizeof buf); setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buf, sizeof buf);
    if (bind(fd, (void *)&a, sizeof a)) die("bind UDP %d: %s", ntohs(a.sin_port), strerror(errno));
    int id = ep_new(fd, T_UDP, uas); eps[id]->up = 1; ep_watch(eps[id], id, 0); return id;
}
static void ep_kill(int id)
{
    struct ep *e = eps[id]; if (e->dead) return;
    e->dead = 1; e->up = 0; if (e->ssl) { SSL_free(e->ssl); e->ssl = NULL; }
    close(e->fd); free(e->in); free(e->out); e->in = e->out = NULL; e->inlen = e->outlen = e->incap = e->outcap = 0;
}
static int ep_connect(struct sockaddr_in src)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    require_loopback(&src, "source"); src.sin_port = 0;
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (bind(fd, (void *)&src, sizeof src)) die("bind source: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (void *)&sc.sut, sizeof sc.sut) && errno != EINPROGRESS) { close(fd); ss.conn_fail++; return -1; }
    int id = ep_new(fd, sc.tp, 0); struct ep *e = eps[id];
    e->t0 = mono_ns(); e->peer = sc.sut; e->wantw = 1;
    if (sc.tp == T_TLS) {
        e->ssl = SSL_new(cctx); SSL_set_fd(e->ssl, fd); SSL_set_connect_state(e->ssl);
        SSL_set_tlsext_host_name(e->ssl, sc.domain);
    }
    ep_watch(e, id, 0); return id;
}
static void ep_flush(int id)
{
    struct ep *e = eps[id]; int o = 0;
    while (e->up && !e->dead && o < e->outlen) {
        int n;
        if (e->ssl) { n = SSL_write(e->ssl, e->out + o, e->outlen - o); if (n <= 0) { int er = SSL_get_error(e->ssl, n); if (er == SSL_ERROR_WANT_WRITE || er == SSL_ERROR_WANT_READ) break; ss.conn_lost++; ep_kill(id); return; } }
        else { n = send(e->fd, e->out + o, e->outlen - o, MSG_NOSIGNAL); if (n < 0) { if (errno == EAGAIN) break; ss.conn_lost++; ep_kill(id); return; } }
        o += n;
    }
    if (o) { memmove(e->out, e->out + o, e->outlen - o); e->outlen -= o; }
    int w = e->up ? e->outlen > 0 : 1;
    if (w != e->wantw) { e->wantw = w; ep_watch(e, id, 1); }
}
static void ep_send(int id, const struct sockaddr_in *to, const char *b, int n)
{
    struct ep *e = id >= 0 ? eps[id] : NULL; if (!e || e->dead) return;
    if (e->tp == T_UDP) { if (sendto(e->fd, b, n, 0, (void *)to, sizeof *to) != n) ms.send_err++; return; }
    if (e->outlen + n > e->outcap) { e->outcap = (e->outlen + n) * 2; e->out = realloc(e->out, e->outcap); }
    memcpy(e->out + e->outlen, b, n); e->outlen += n;
    if (e->up) ep_flush(id);
}
static void ep_progress(int id)                          /* connect / handshake */
{
    struct ep *e = eps[id];
    if (e->ssl) {
        ERR_clear_error();
        int r = SSL_do_handshake(e->ssl);
        if (r != 1) {
            int er = SSL_get_error(e->ssl, r);
            if (er == SSL_ERROR_WANT_READ) { if (e->wantw) { e->wantw = 0; ep_watch(e, id, 1); } return; }
            if (er == SSL_ERROR_WANT_WRITE) { if (!e->wantw) { e->wantw = 1; ep_watch(e, id, 1); } return; }
            ss.conn_fail++; ep_kill(id); return;
        }
    }
    socklen_t l = sizeof e->local; getsockname(e->fd, (void *)&e->local, &l);
    int err = 0; l = sizeof err; getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &err, &l);
    if (err) { ss.conn_fail++; ep_kill(id); return; }
    e->up = 1; if (!e->uas) { ss.conns++; hist_add(&ss.tls, mono_ns() - e->t0); }
    e->wantw = 2; ep_flush(id);
}
static void stream_split(int id)
{
    struct ep *e = eps[id]; int o = 0;
    while (!e->dead && o < e->inlen) {
        char *b = e->in + o; int n = e->inlen - o;
        if (*b == '\r' || *b == '\n') { o++; continue; }                    /* keep-alive */
        char *h = memmem(b, n, "\r\n\r\n", 4); if (!h) break;
        struct msg m; if (parse(&m, b, h + 4 - b)) { ss.rx_bad++; o = e->inlen; break; }
        const struct hf *cl = find(&m, "Content-Length", 'l'); int body = cl ? atoi(cl->v) : 0, tot = h + 4 - b + body;
        if (tot > n) break;
        handle(e, &e->peer, b, tot); o += tot;
    }
    if (e->dead) return;
    memmove(e->in, e->in + o, e->inlen - o); e->inlen -= o;
}
static void ep_read(int id)
{
    struct ep *e = eps[id];
    if (e->listen) {
        struct sockaddr_in p; socklen_t l = sizeof p; int fd, on = 1;
        while ((fd = accept4(e->fd, (void *)&p, &l, SOCK_NONBLOCK)) >= 0) {
            int n = ep_new(fd, e->tp, 1); if (n < 0) { close(fd); return; }
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); eps[n]->peer = p;
            if (e->tp == T_TLS) { eps[n]->ssl = SSL_new(sctx); SSL_set_fd(eps[n]->ssl, fd); SSL_set_accept_state(eps[n]->ssl); }
            else eps[n]->up = 1;
            ep_watch(eps[n], n, 0);
        }
        return;
    }
    if (e->tp == T_UDP) {
        static char buf[32][8192]; static struct mmsghdr m[32]; static struct iovec v[32]; static struct sockaddr_in from[32];
        for (int i = 0; i < 32; i++) {
            v[i].iov_base = buf[i]; v[i].iov_len = 8191; m[i].msg_hdr.msg_iov = &v[i]; m[i].msg_hdr.msg_iovlen = 1;
            m[i].msg_hdr.msg_name = &from[i]; m[i].msg_hdr.msg_namelen = sizeof from[i];
        }
        int n = recvmmsg(e->fd, m, 32, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) { buf[i][m[i].msg_len] = 0; handle(e, &from[i], buf[i], m[i].msg_len); }
        return;
    }
    if (!e->up) { ep_progress(id); if (e->dead || !e->up) return; }
    for (int k = 0; k < 8 && !e->dead; k++) {
        if (e->incap - e->inlen < 16384) { e->incap = e->incap * 2 + 32768; e->in = realloc(e->in, e->incap); }
        int n;
        if (e->ssl) { n = SSL_read(e->ssl, e->in + e->inlen, e->incap - e->inlen - 1);
            if (n <= 0) { int er = SSL_get_error(e->ssl, n); if (er == SSL_ERROR_WANT_READ || er == SSL_ERROR_WANT_WRITE) break; ERR_clear_error(); if (!e->flood && !e->uas) ss.conn_lost++; ep_kill(id); return; } }
        else { n = recv(e->fd, e->in + e->inlen, e->incap - e->inlen - 1, 0); if (n < 0 && errno == EAGAIN) break; if (n <= 0) { if (!e->flood && !e->uas) ss.conn_lost++; ep_kill(id); return; } }
        e->inlen += n; stream_split(id);
    }
}
void sip_event(u64 data, unsigned events)
{
    int id = (u32)data; struct ep *e = eps[id]; if (e->dead) return;
    if (events & EPOLLOUT && !e->dead) { if (!e->up) ep_progress(id); else ep_flush(id); }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !e->dead) ep_read(id);
}

/* ======================= timers ========================================== */
struct tnode { struct tnode *p, *n; u64 due; u8 kind; };
#define WHEEL 4096
#define TICK (5 * MS)
static struct tnode wheel[WHEEL]; static u64 wheel_at;
static void t_del(struct tnode *t) { if (t->p) { t->p->n = t->n; t->n->p = t->p; t->p = t->n = NULL; } }
static void t_set(struct tnode *t, u64 due)
{
    t_del(t); t->due = due;
    u64 k = due / TICK + 1; if (k <= wheel_at) k = wheel_at + 1;
    if (k >= wheel_at + WHEEL) k = wheel_at + WHEEL - 1;
    struct tnode *h = &wheel[k % WHEEL];
    t->n = h; t->p = h->p; h->p->n = t; h->p = t;
}
static void fire(struct tnode *t, u64 now);
void sip_timers(u64 now)
{
    u64 upto = now / TICK;
    if (!wheel_at) wheel_at = upto;
    while (wheel_at < upto) {
        wheel_at++;
        struct tnode *h = &wheel[wheel_at % WHEEL], list = { .p = h->p, .n = h->n };
        if (h->n == h) continue;
        list.n->p = &list; list.p->n = &list; h->n = h->p = h;
        while (list.n != &list) { struct tnode *t = list.n; t_del(t); if (t->due > now + TICK) t_set(t, t->due); else fire(t, now); }
    }
}

/* ======================= calls =========================================== */
enum { C_FREE, C_INVITE, C_UP, C_BYE, C_REG };
struct call {                                            /* UAC side */
    struct tnode t; u8 st, rtx, prov, authed; int idx, ep; u32 gen, cseq; u64 t0, t_bye, hold;
    char *to; char *target; char *routes; char *auth; const char *method; struct leg *leg; int upos, win; u8 brief; u64 t_limit;
};
struct peer {                                            /* UAS side */
    struct tnode t; struct peer *hn; u8 st, rtx, used; int idx, ep; struct sockaddr_in from; u64 hash, t0;
    char *resp; int resplen; u32 gen; struct leg *leg; enum keying k; struct sockaddr_in rem;
};
static struct call *calls; static int *freec, nfreec; static int *upl;
static struct peer *peers; static int *freep, nfreep, maxc;
#define HB 65536
static struct peer *ph[HB];

static u64 fnv(const char *p, int n, u64 h) { while (n--) h = (h ^ (u8)*p++) * 1099511628211ULL; return h; }
static const char *tpn(enum tp t) { return t == T_UDP ? "UDP" : t == T_TCP ? "TCP" : "TLS"; }

void sip_init(int ep, int max)
{
    epfd = ep; maxc = max; run_id = rnd32();
    for (int i = 0; i < WHEEL; i++) wheel[i].n = wheel[i].p = &wheel[i];
    wheel_at = mono_ns() / TICK;
    calls = calloc(max, sizeof *calls); freec = calloc(max, sizeof(int)); upl = calloc(max, sizeof(int));
    peers = calloc(max * 2, sizeof *peers); freep = calloc(max * 2, sizeof(int));
    for (int i = max - 1; i >= 0; i--) { calls[i].idx = i; calls[i].t.kind = 0; freec[nfreec++] = i; }
    for (int i = 2 * max - 1; i >= 0; i--) { peers[i].idx = i; peers[i].t.kind = 1; freep[nfreep++] = i; }
    require_loopback(&sc.sut, "SUT"); require_loopback(&sc.uas, "UAS");
    cctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(cctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(cctx, SSL_SESS_CACHE_OFF);
    if (sc.uas.sin_port) {
        if (sc.uas_tp == T_UDP) ep_udp(sc.uas, 1);
        else {
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1; setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
            if (bind(fd, (void *)&sc.uas, sizeof sc.uas) || listen(fd, 1024)) die("UAS listen: %s", strerror(errno));
            int id = ep_new(fd, sc.uas_tp, 1); eps[id]->listen = 1; ep_watch(eps[id], id, 0);
            if (sc.uas_tp == T_TLS) {
                sctx = SSL_CTX_new(TLS_server_method());
                SSL_CTX_set_mode(sctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
                if (SSL_CTX_use_certificate_chain_file(sctx, sc.cert) != 1 || SSL_CTX_use_PrivateKey_file(sctx, sc.key, SSL_FILETYPE_PEM) != 1) die("UAS certificate");
            }
        }
    }
    for (int i = 0; i < sc.nsrc; i++) {
        struct sockaddr_in a = sa_make(ntohl(sc.src.sin_addr.s_addr) + i, sc.src_port);
        src_ep[i] = sc.tp == T_UDP ? ep_udp(a, 0) : -1;
    }
    for (int i = 0; i < sc.nflood_src; i++) {
        struct sockaddr_in a = sa_make(ntohl(sc.flood_src.sin_addr.s_addr) + i, 0);
        flood_ep[i] = sc.tp == T_UDP ? ep_udp(a, 0) : -1; if (flood_ep[i] >= 0) eps[flood_ep[i]]->flood = 1;
    }
}
static int pick_ep(u32 k)
{
    int i = k % sc.nsrc; struct sockaddr_in a = sa_make(ntohl(sc.src.sin_addr.s_addr) + i, 0);
    if (sc.tp == T_UDP) return src_ep[i];
    if (sc.conn_per_call) return ep_connect(a);
    if (src_ep[i] < 0 || eps[src_ep[i]]->dead) src_ep[i] = ep_connect(a);
    return src_ep[i];
}

/* ---- message building ---------------------------------------------------- */
int sdp_build(char *b, struct leg *l, enum keying k, int offer)
{
    char ip[16]; struct sockaddr_in a = sa_make(l ? l->ip : ntohl(sc.src.sin_addr.s_addr), 0); sa_ip(&a, ip);
    int n = sprintf(b, "v=0\r\no=- 3868 3868 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d %s %d 101\r\n"
        "a=rtpmap:%d %s/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
        ip, ip, l ? l->port : 40000, k == DTLS ? "UDP/TLS/RTP/SAVP" : k == SDES ? "RTP/SAVP" : "RTP/AVP", media_pt,
        media_pt, media_pt == 8 ? "PCMA" : "PCMU");
    if (k == SDES) { char s[64]; u8 z[SRTPX_KEY]; for (int i = 0; i < SRTPX_KEY; i++) z[i] = rnd32();
        b64_enc(l ? l->txkey : z, SRTPX_KEY, s); n += sprintf(b + n, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n", s); }
    if (k == DTLS) n += sprintf(b + n, "a=fingerprint:sha-256 %s\r\na=setup:%s\r\na=rtcp-mux\r\n", media_fingerprint, offer ? "actpass" : "active");
    return n;
}
int sdp_parse(struct sdp *s, const char *b, int n)
{
    char ip[64] = ""; int port = 0; memset(s, 0, sizeof *s);
    for (const char *p = b, *end = b + n, *e; p < end; p = e + 1) {
        e = memchr(p, '\n', end - p); if (!e) e = end;
        int l = e - p; if (l && p[l - 1] == '\r') l--;
        char t[512]; if (l >= (int)sizeof t) continue;
        memcpy(t, p, l); t[l] = 0;
        if (!strncmp(t, "c=IN IP4 ", 9)) snprintf(ip, sizeof ip, "%.60s", t + 9);
        else if (!strncmp(t, "m=audio ", 8)) { port = atoi(t + 8); s->k = strstr(t, "UDP/TLS/") ? DTLS : strstr(t, "RTP/SAVP") ? SDES : PLAIN; }
        else if (!strncmp(t, "a=crypto:", 9) && !s->has_key && strstr(t, "AES_CM_128_HMAC_SHA1_80 ")) {
            char *q = strstr(t, "inline:"); if (q) { q += 7; s->has_key = b64_dec(q, strcspn(q, "| ;"), s->key, SRTPX_KEY) == SRTPX_KEY; }
        } else if (!strncasecmp(t, "a=fingerprint:sha-256 ", 22)) {
            int k = 0; for (char *q = t + 22; k < 32 && isxdigit((u8)q[0]) && isxdigit((u8)q[1]); q += q[2] == ':' ? 3 : 2) s->fp[k++] = strtoul((char[]){ q[0], q[1], 0 }, NULL, 16);
            s->has_fp = k == 32;
        } else if (!strncmp(t, "a=setup:", 8)) snprintf(s->setup, sizeof s->setup, "%.15s", t + 8);
    }
    if (!*ip || !port) return -1;
    char hp[80]; snprintf(hp, sizeof hp, "%s:%d", ip, port); s->rem = sa_parse(hp, port);
    if ((ntohl(s->rem.sin_addr.s_addr) >> 24) != 127) return -1;             /* never send off-host */
    if (s->k == SDES && !s->has_key) return -1;
    return 0;
}
void sdp_fingerprint(struct leg *l, const struct sdp *s) { memcpy(l->fp, s->fp, 32); l->has_fp = s->has_fp; }
static enum keying pub_keying(void) { return sc.media == M_SRTP ? SDES : sc.media == M_DTLS ? DTLS : PLAIN; }

/* Users from BRIEF on make calls whose media is never sent. The far end knows them by the last five digits of From. */
#define BRIEF 50000
static int is_brief(const struct hf *from)
{
    const char *at = memchr(from->v, '@', from->vl); return at && at - from->v > 5 && at[-5] >= '5';
}
static int build_uac(struct call *c, char *b, const char *method, u32 cseq, int branch)
{
    struct ep *e = eps[c->ep]; char ip[16], from[64], to[64], body[1500]; sa_ip(&e->local, ip); int port = ntohs(e->local.sin_port), bl = 0;
    int reg = c->st == C_REG, user = c->gen % sc.users + (c->brief ? BRIEF : 0);
    if (reg) { snprintf(from, sizeof from, "u%05d", user); snprintf(to, sizeof to, "u%05d", user); }
    else { snprintf(from, sizeof from, sc.from_fmt, user); snprintf(to, sizeof to, sc.to_fmt, user); }
    int inv = !strcmp(method, "INVITE"), in_dlg = c->st == C_UP || c->st == C_BYE;
    const char *dom = sc.domain; char uri[300], tohdr[400];
    if (in_dlg && c->target) snprintf(uri, sizeof uri, "%s", c->target);
    else if (reg && !strcmp(method, "REGISTER")) snprintf(uri, sizeof uri, "sip:%s", dom);
    else snprintf(uri, sizeof uri, "sip:%s@%s", to, dom);
    if (in_dlg && c->to) snprintf(tohdr, sizeof tohdr, "%s", c->to); else snprintf(tohdr, sizeof tohdr, "<sip:%s@%s>", to, dom);
    if (inv) bl = sdp_build(body, c->leg, pub_keying(), 1);
    int n = sprintf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s:%d;branch=z9hG4bK%x.%x.%x.%x;rport\r\nMax-Forwards: 70\r\n%s"
        "From: <sip:%s@%s>;tag=f%x-%x\r\nTo: %s\r\nCall-ID: %x-%x-%x@%s\r\nCSeq: %u %s\r\nUser-Agent: %s\r\n",
        method, uri, tpn(e->tp), ip, port, run_id, c->idx, c->gen, branch, in_dlg && c->routes ? c->routes : "",
        from, dom, c->idx, c->gen, tohdr, c->idx, c->gen, run_id, ip, cseq, method, sc.user_agent);
    if (inv || reg) n += sprintf(b + n, "Contact: <sip:%s@%s:%d;transport=%s>\r\n", from, ip, port, e->tp == T_UDP ? "udp" : e->tp == T_TCP ? "tcp" : "tls");
    if (reg && !strcmp(method, "REGISTER")) n += sprintf(b + n, "Expires: 3600\r\n");
    if (inv) n += sprintf(b + n, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nSupported: replaces\r\n");
    if (c->auth && !in_dlg) n += sprintf(b + n, "%s\r\n", c->auth);
    if (inv) n += sprintf(b + n, "Content-Type: application/sdp\r\n");
    n += sprintf(b + n, "Content-Length: %d\r\n\r\n", bl);
    if (bl) { memcpy(b + n, body, bl); n += bl; }
    return n;
}
static void uac_send(struct call *c, const char *method, u32 cseq, int branch)
{
    static char b[16384]; int n = build_uac(c, b, method, cseq, branch);
    ep_send(c->ep, &sc.sut, b, n);
}
static void call_free(struct call *c)
{
    t_del(&c->t); free(c->to); free(c->target); free(c->routes); free(c->auth); c->to = c->target = c->routes = c->auth = NULL;
    if (c->leg) { leg_close(c->leg); c->leg = NULL; }
    if (sc.conn_per_call && sc.tp != T_UDP) ep_kill(c->ep);
    c->st = C_FREE; c->gen++; sip_active--; freec[nfreec++] = c->idx;
}
static void up_add(struct call *c) { c->upos = sip_up; upl[sip_up++] = c->idx; }
static void up_del(struct call *c) { int last = upl[--sip_up]; upl[c->upos] = last; calls[last].upos = c->upos; c->upos = -1; }
static void call_fail(struct call *c, const char *why, int code)
{
    ss.failed++; if (code) ss.codes[code]++; else ss.timeouts++;
    if (c->win && c->win == sip_win) sw.failed++;
    snprintf(last_fail, sizeof last_fail, "%s %s %d", c->method ? c->method : "call", why, code);
    if (c->st == C_UP) up_del(c);
    call_free(c);
}
static u32 seqno;
static struct call *call_new(const char *method)
{
    if (!nfreec) return NULL;
    struct call *c = &calls[freec[--nfreec]];
    c->gen = ++seqno; c->cseq = 1; c->rtx = c->prov = c->authed = c->brief = 0; c->win = 0; c->upos = -1; c->method = method;
    c->ep = pick_ep(seqno); c->t0 = mono_ns(); sip_active++; ss.started++;
    return c;
}
static int call_begin(u64 hold, int brief)
{
    struct call *c = call_new("INVITE"); if (!c) return -1;
    c->hold = hold; c->st = C_INVITE; c->brief = brief;
    if (brief && sip_counting) { c->win = sip_win; sw.begun++; }
    if (sc.media != M_NONE && !brief) { c->leg = leg_open(0); if (!c->leg) { call_fail(c, "no media socket", 0); return -1; } leg_new_txkey(c->leg); }
    if (c->ep < 0) { call_fail(c, "connect", 0); return -1; }
    uac_send(c, "INVITE", 1, 1);
    c->t_limit = c->t0 + 32 * SEC; t_set(&c->t, c->t0 + 500 * MS); return 0;
}
int sip_call(u64 hold) { return call_begin(hold, 0); }
int sip_call_short(u64 hold) { return call_begin(hold, 1); }
int sip_request(const char *method)
{
    struct call *c = call_new(method); if (!c) return -1;
    c->st = C_REG; if (c->ep < 0) { call_fail(c, "connect", 0); return -1; }
    uac_send(c, method, 1, 1);
    c->t_limit = c->t0 + 32 * SEC; t_set(&c->t, c->t0 + 500 * MS); return 0;
}
static void hangup(struct call *c)
{
    up_del(c); c->st = C_BYE; c->rtx = 0; c->cseq++; c->t_bye = mono_ns();
    if (c->leg) leg_stop(c->leg);
    uac_send(c, "BYE", c->cseq, 3); c->t_limit = c->t_bye + 32 * SEC; t_set(&c->t, c->t_bye + 500 * MS);
}
void sip_hangup_some(int n) { while (n-- > 0 && sip_up) hangup(&calls[upl[sip_up - 1]]); }

static void peer_free(struct peer *p)
{
    t_del(&p->t); struct peer **q = &ph[p->hash % HB]; while (*q && *q != p) q = &(*q)->hn;
    if (*q) *q = p->hn;
    free(p->resp); p->resp = NULL; if (p->leg) { leg_close(p->leg); p->leg = NULL; }
    p->used = 0; p->gen++; freep[nfreep++] = p->idx;
}
static void fire(struct tnode *t, u64 now)
{
    if (t->kind == 0) {
        struct call *c = (struct call *)t; u64 iv = 500 * MS;
        int udp = sc.tp == T_UDP;
        if (c->st == C_UP) { if (c->hold) hangup(c); return; }
        if (now >= c->t_limit) { if (!c->prov || c->st != C_INVITE) { call_fail(c, "timeout", 0); return; } call_fail(c, "no answer", 0); return; }
        if (c->st == C_INVITE && (c->prov || !udp)) { t_set(t, now + SEC); return; }
        if (!udp) { t_set(t, now + SEC); return; }
        if (c->rtx < 10) c->rtx++;
        ss.retrans_uac++;
        if (c->st == C_INVITE) uac_send(c, "INVITE", c->cseq, c->cseq);
        else if (c->st == C_REG) uac_send(c, c->method, c->cseq, c->cseq);
        else uac_send(c, "BYE", c->cseq, 3);
        iv <<= c->rtx > 6 ? 6 : c->rtx; if (c->st != C_INVITE && iv > 4 * SEC) iv = 4 * SEC;
        t_set(t, now + iv);
    } else {
        struct peer *p = (struct peer *)t;
        if (p->st == 1) {                                                   /* ringing: answer now */
            ep_send(p->ep, &p->from, p->resp, p->resplen); p->st = 2; p->rtx = 0; t_set(t, now + 500 * MS);
            if (p->leg) leg_start(p->leg, p->k, p->rem);
        } else if (p->st == 2) {                                            /* 200 not acknowledged */
            if (++p->rtx > 10) { peer_free(p); return; }
            ss.retrans_uas++; ep_send(p->ep, &p->from, p->resp, p->resplen);
            u64 iv = 500 * MS << (p->rtx > 3 ? 3 : p->rtx); t_set(t, now + iv);
        } else if (p->st == 4) peer_free(p);
    }
}

/* ---- UAS ------------------------------------------------------------------ */
static int reply_head(char *b, const struct msg *m, int code, const char *reason, const char *totag, int rr)
{
    int n = sprintf(b, "SIP/2.0 %d %s\r\n", code, reason);
    for (int i = 0; i < m->nh; i++) {
        const struct hf *h = &m->h[i]; int to = is(h, "To", 't');
        if (is(h, "Via", 'v') || is(h, "From", 'f') || to || is(h, "Call-ID", 'i') || is(h, "CSeq", 0) || (rr && is(h, "Record-Route", 0))) {
            if (n + h->nl + h->vl + 64 > 15000) continue;
            memcpy(b + n, h->n, h->nl); n += h->nl; b[n++] = ':'; b[n++] = ' '; memcpy(b + n, h->v, h->vl); n += h->vl;
            char tmp[8]; if (to && totag && *totag && param(h, "tag", tmp, sizeof tmp) < 0) n += sprintf(b + n, ";tag=%s", totag);
            b[n++] = '\r'; b[n++] = '\n';
        }
    }
    return n;
}
static void simple_reply(struct ep *e, int id, const struct sockaddr_in *from, const struct msg *m, int code, const char *reason, const char *tag, const char *extra)
{
    static char b[16384]; int n = reply_head(b, m, code, reason, tag, 0);
    n += sprintf(b + n, "%sContent-Length: 0\r\n\r\n", extra ? extra : "");
    ep_send(id, from, b, n);
}
static struct peer *peer_by_tag(const struct msg *m)
{
    char t[64]; if (param(find(m, "To", 't'), "tag", t, sizeof t) < 0 || t[0] != 'u') return NULL;
    char *d; unsigned i = strtoul(t + 1, &d, 16); if (*d != 'z' || i >= (unsigned)maxc * 2) return NULL;
    struct peer *p = &peers[i]; return p->used && p->gen == strtoul(d + 1, NULL, 16) ? p : NULL;
}
static void uas_request(struct ep *e, int id, const struct sockaddr_in *from, const struct msg *m)
{
    const struct hf *f = find(m, "From", 'f'), *ci = find(m, "Call-ID", 'i'), *cs = find(m, "CSeq", 0);
    if (!f || !ci || !cs) { ss.rx_bad++; return; }
    int is_flood = f->vl > 5 && memmem(f->v, f->vl, "flood", 5) != NULL;
    if (is_flood && strcmp(m->method, "ACK")) ss.flood_leaked++;
    if (!strcmp(m->method, "ACK")) { struct peer *p = peer_by_tag(m); if (p && p->st == 2) { p->st = 3; t_del(&p->t); } return; }
    if (!strcmp(m->method, "BYE")) {
        struct peer *p = peer_by_tag(m); simple_reply(e, id, from, m, 200, "OK", NULL, NULL);
        if (p && p->st != 4) { p->st = 4; if (p->leg) leg_stop(p->leg); t_set(&p->t, mono_ns() + 2 * SEC); }
        return;
    }
    if (!strcmp(m->method, "INVITE")) {
        char tag[64], ip[16]; static char b[16384];
        if (param(find(m, "To", 't'), "tag", tag, sizeof tag) >= 0) {         /* re-INVITE: same answer again */
            struct peer *p = peer_by_tag(m); if (!p) { simple_reply(e, id, from, m, 481, "No such dialog", NULL, NULL); return; }
            int n = reply_head(b, m, 200, "OK", NULL, 1); char *body = strstr(p->resp, "\r\n\r\n");
            n += sprintf(b + n, "Contact: <sip:pbx@%s:%d>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", sa_ip(&sc.uas, ip), ntohs(sc.uas.sin_port), (int)strlen(body + 4), body + 4);
            ep_send(id, from, b, n); return;
        }
        u64 h = fnv(ci->v, ci->vl, 14695981039346656037ULL); h = fnv(f->v, f->vl, h); h = fnv(cs->v, cs->vl, h);
        for (struct peer *p = ph[h % HB]; p; p = p->hn) if (p->hash == h) {
            ss.dup_invite++; if (p->st == 2) ep_send(id, from, p->resp, p->resplen); return;
        }
        ss.uas_invites++;
        if (!nfreep) { simple_reply(e, id, from, m, 503, "Busy", "full", NULL); return; }
        struct peer *p = &peers[freep[--nfreep]]; p->used = 1; p->hash = h; p->hn = ph[h % HB]; ph[h % HB] = p; p->ep = id; p->from = *from; p->t0 = mono_ns(); p->rtx = 0; p->st = 1;
        snprintf(tag, sizeof tag, "u%xz%x", p->idx, p->gen);
        enum keying k = PLAIN; struct sdp s;
        int brief = is_brief(f) || is_flood;                                  /* what a flood got through sends no media that would count as lost */
        if (sc.media != M_NONE && !brief) {
            if (sdp_parse(&s, m->body, m->bodylen)) { snprintf(last_fail, sizeof last_fail, "UAS: unusable SDP offer"); simple_reply(e, id, from, m, 488, "Not Acceptable Here", tag, NULL); peer_free(p); return; }
            k = s.k; p->leg = leg_open(1);
            if (!p->leg) { simple_reply(e, id, from, m, 503, "No media socket", tag, NULL); peer_free(p); return; }
            leg_new_txkey(p->leg); sdp_fingerprint(p->leg, &s); memcpy(p->leg->rxkey, s.key, SRTPX_KEY); p->leg->dtls_client = 1;
        }
        simple_reply(e, id, from, m, 100, "Trying", NULL, NULL);
        int n = reply_head(b, m, 180, "Ringing", tag, 1);
        n += sprintf(b + n, "Contact: <sip:pbx@%s:%d>\r\nContent-Length: 0\r\n\r\n", sa_ip(&sc.uas, ip), ntohs(sc.uas.sin_port));
        ep_send(id, from, b, n);
        char body[1500]; int bl = sdp_build(body, p->leg, k, 0);
        n = reply_head(b, m, 200, "OK", tag, 1);
        n += sprintf(b + n, "Contact: <sip:pbx@%s:%d%s>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n",
            sa_ip(&sc.uas, ip), ntohs(sc.uas.sin_port), sc.uas_tp == T_UDP ? "" : sc.uas_tp == T_TCP ? ";transport=tcp" : ";transport=tls", bl);
        memcpy(b + n, body, bl); n += bl; b[n] = 0;
        p->resp = malloc(n + 1); memcpy(p->resp, b, n + 1); p->resplen = n;
        if (p->leg) { p->k = k; p->rem = s.rem; }
        if (sc.ring_ms) t_set(&p->t, p->t0 + sc.ring_ms * MS); else fire(&p->t, p->t0);
        return;
    }
    if (!strcmp(m->method, "REGISTER")) {
        char extra[512]; const struct hf *a = find(m, "Authorization", 0), *ct = find(m, "Contact", 'm'); ss.uas_registers++;
        if (sc.uas_auth && !a) { simple_reply(e, id, from, m, 401, "Unauthorized", "reg", "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"4b2c9d1e77aa0f35\", algorithm=MD5, qop=\"auth\"\r\n"); return; }
        if (a) {
            char u[64], r[64], no[64], ur[200], nc[16], cn[64], rs[64], h1[33], h2[33], want[33];
            if (quoted(a, "username", u, 64) < 0 || quoted(a, "realm", r, 64) < 0 || quoted(a, "nonce", no, 64) < 0 || quoted(a, "uri", ur, 200) < 0 || quoted(a, "nc", nc, 16) < 0 || quoted(a, "cnonce", cn, 64) < 0 || quoted(a, "response", rs, 64) < 0) { ss.uas_bad_digest++; return; }
            md5_hex(h1, "%s:%s:%s", u, r, sc.password); md5_hex(h2, "REGISTER:%s", ur); md5_hex(want, "%s:%s:%s:%s:auth:%s", h1, no, nc, cn, h2);
            if (strcmp(want, rs)) { ss.uas_bad_digest++; simple_reply(e, id, from, m, 403, "Forbidden", "reg", NULL); return; }
        }
        snprintf(extra, sizeof extra, "Contact: %.*s;expires=3600\r\n", ct && ct->vl < 400 ? ct->vl : 0, ct ? ct->v : "");
        simple_reply(e, id, from, m, 200, "OK", "reg", ct ? extra : NULL); return;
    }
    if (!strcmp(m->method, "OPTIONS")) ss.uas_options++;
    simple_reply(e, id, from, m, 200, "OK", "x", NULL);
}

/* ---- UAC ------------------------------------------------------------------ */
static void save_dialog(struct call *c, const struct msg *m)
{
    const struct hf *to = find(m, "To", 't'), *ct = find(m, "Contact", 'm');
    if (!c->to && to) c->to = strndup(to->v, to->vl);
    if (!c->target && ct) {
        const char *a = memchr(ct->v, '<', ct->vl), *z = a ? memchr(a, '>', ct->v + ct->vl - a) : NULL;
        c->target = a && z ? strndup(a + 1, z - a - 1) : strndup(ct->v, ct->vl);
    }
    if (!c->routes) {
        const char *v[32]; int l[32], n = 0;
        for (int i = 0; i < m->nh; i++) if (is(&m->h[i], "Record-Route", 0)) {
            const char *p = m->h[i].v, *end = p + m->h[i].vl, *s = p; int in = 0;
            for (; p <= end && n < 32; p++) {
                if (p == end || (*p == ',' && !in)) { while (s < p && *s == ' ') s++; v[n] = s; l[n++] = p - s; s = p + 1; }
                else if (*p == '<') in = 1; else if (*p == '>') in = 0;
            }
        }
        char b[4096]; int o = 0; b[0] = 0;
        while (n-- > 0 && o + l[n] + 16 < (int)sizeof b) o += sprintf(b + o, "Route: %.*s\r\n", l[n], v[n]);
        c->routes = strdup(b);
    }
}
static void make_auth(struct call *c, const struct msg *m, int proxy, const char *method)
{
    const struct hf *h = find(m, proxy ? "Proxy-Authenticate" : "WWW-Authenticate", 0); if (!h) return;
    char realm[128] = "", nonce[256] = "", qop[32] = "", h1[33], h2[33], rs[33], user[64], uri[200], b[1200];
    quoted(h, "realm", realm, sizeof realm); quoted(h, "nonce", nonce, sizeof nonce); int q = quoted(h, "qop", qop, sizeof qop) > 0;
    snprintf(user, sizeof user, "u%05d", c->gen % sc.users);
    if (!strcmp(method, "REGISTER")) snprintf(uri, sizeof uri, "sip:%s", sc.domain);
    else { char to[64]; snprintf(to, sizeof to, sc.to_fmt, c->gen % sc.users); snprintf(uri, sizeof uri, "sip:%s@%s", to, sc.domain); }
    md5_hex(h1, "%s:%s:%s", user, realm, sc.password); md5_hex(h2, "%s:%s", method, uri);
    if (q) md5_hex(rs, "%s:%s:00000001:0a4f113b:auth:%s", h1, nonce, h2); else md5_hex(rs, "%s:%s:%s", h1, nonce, h2);
    snprintf(b, sizeof b, "%sAuthorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=MD5%s",
        proxy ? "Proxy-" : "", user, realm, nonce, uri, rs, q ? ", qop=auth, cnonce=\"0a4f113b\", nc=00000001" : "");
    free(c->auth); c->auth = strdup(b);
}
static void uac_response(struct ep *e, const struct msg *m)
{
    const struct hf *ci = find(m, "Call-ID", 'i'), *cs = find(m, "CSeq", 0); u64 now = mono_ns();
    if (e->flood) { ss.flood_replies++; ss.flood_codes[m->code]++; return; }
    if (!ci || !cs) { ss.rx_bad++; return; }
    char *d; u32 idx = strtoul(ci->v, &d, 16), gen = *d == '-' ? strtoul(d + 1, &d, 16) : 0;
    if (idx >= (u32)maxc || calls[idx].gen != gen || calls[idx].st == C_FREE) return;
    struct call *c = &calls[idx]; u32 seq = strtoul(cs->v, &d, 10); while (*d == ' ') d++;
    int left = cs->v + cs->vl - d, inv = left == 6 && !memcmp(d, "INVITE", 6), bye = left == 3 && !memcmp(d, "BYE", 3);
    if (c->st == C_REG) {
        if (seq != c->cseq || m->code < 200) return;
        if ((m->code == 401 || m->code == 407) && !c->authed) { c->authed = 1; make_auth(c, m, m->code == 407, c->method); c->cseq++; c->rtx = 0; uac_send(c, c->method, c->cseq, c->cseq); t_set(&c->t, now + 500 * MS); return; }
        if (m->code >= 300) { call_fail(c, "rejected", m->code); return; }
        hist_add(&ss.trans, now - c->t0); ss.completed++; ss.codes[m->code]++; call_free(c); return;
    }
    if (inv) {
        if (m->code < 200) { if (c->st == C_INVITE) { c->prov = 1; if (m->code > 100) { hist_add(&ss.ring, now - c->t0); if (c->win && c->win == sip_win) { hist_add(&sw.ring, now - c->t0); if (sw.nring < MAXRING) sw.ring_us[sw.nring++] = (now - c->t0) / 1000; } } } return; }
        if (c->st == C_INVITE && m->code < 300) {
            save_dialog(c, m); c->st = C_UP; up_add(c); ss.answered++; ss.codes[m->code]++; hist_add(&ss.answer, now - c->t0);
            if (c->win && c->win == sip_win) hist_add(&sw.answer, now - c->t0);
            uac_send(c, "ACK", c->cseq, 2);
            if (c->leg) {
                struct sdp s; if (sdp_parse(&s, m->body, m->bodylen) || s.k != pub_keying()) { snprintf(last_fail, sizeof last_fail, "UAC: answer SDP unusable"); ss.rx_bad++; }
                else { sdp_fingerprint(c->leg, &s); memcpy(c->leg->rxkey, s.key, SRTPX_KEY); c->leg->dtls_client = s.k == DTLS && !strcmp(s.setup, "passive"); leg_start(c->leg, s.k, s.rem); }
            }
            if (c->hold) t_set(&c->t, now + c->hold); else t_del(&c->t);
        } else if (m->code < 300) { ss.rx_dup200++; uac_send(c, "ACK", 1, 2); }
        else if (c->st == C_INVITE) {
            const struct hf *to = find(m, "To", 't'); free(c->to); c->to = to ? strndup(to->v, to->vl) : NULL;
            static char b[16384]; int st = c->st; char *tgt = c->target, *rts = c->routes; char uri[200], t2[64];
            snprintf(t2, sizeof t2, sc.to_fmt, c->gen % sc.users); snprintf(uri, sizeof uri, "sip:%s@%s", t2, sc.domain);
            c->st = C_UP; c->target = uri; c->routes = NULL;                  /* hop-by-hop ACK: same branch and URI */
            int n = build_uac(c, b, "ACK", c->cseq, c->cseq); c->st = st; c->target = tgt; c->routes = rts; free(c->to); c->to = NULL;
            ep_send(c->ep, &sc.sut, b, n);
            if ((m->code == 401 || m->code == 407) && !c->authed) { c->authed = 1; make_auth(c, m, m->code == 407, "INVITE"); c->cseq++; c->rtx = c->prov = 0; uac_send(c, "INVITE", c->cseq, c->cseq); t_set(&c->t, now + 500 * MS); return; }
            call_fail(c, "rejected", m->code);
        }
    } else if (bye && c->st == C_BYE && m->code >= 200) {
        if (m->code >= 300) { call_fail(c, "BYE rejected", m->code); return; }
        hist_add(&ss.bye, now - c->t_bye); ss.completed++;
        if (c->win && c->win == sip_win) { sw.done++; hist_add(&sw.bye, now - c->t_bye); }
        call_free(c);
    }
}
static void handle(struct ep *e, const struct sockaddr_in *from, char *b, int n)
{
    struct msg m;
    while (n && (*b == '\r' || *b == '\n')) b++, n--;
    if (n < 20) return;
    if (parse(&m, b, n)) { ss.rx_bad++; return; }
    if (m.req) {
        if (e->flood) return;
        if (!e->uas && !strcmp(m.method, "BYE")) ss.rx_bad++;                 /* SUT tears down our call */
        uas_request(e, e->id, from, &m);
    } else uac_response(e, &m);
}

/* ---- hostile traffic -------------------------------------------------------- */
void sip_flood(u64 now, double rate)
{
    static double credit; static u64 last; static u32 k; char b[2048], ip[16];
    if (!last) last = now;
    credit += (now - last) / 1e9 * rate; last = now; if (credit > 2000) credit = 2000;
    for (; credit >= 1; credit--) {
        int i = k % sc.nflood_src, n; k++;
        if (sc.tp != T_UDP && (flood_ep[i] < 0 || eps[flood_ep[i]]->dead)) {
            flood_ep[i] = ep_connect(sa_make(ntohl(sc.flood_src.sin_addr.s_addr) + i, 0)); if (flood_ep[i] < 0) continue;
            eps[flood_ep[i]]->flood = 1;
        }
        struct ep *e = eps[flood_ep[i]]; if (e->outlen > 1 << 20) { ss.flood_err++; continue; }
        sa_ip(&e->local, ip);
        if (!strcmp(sc.flood_kind, "garbage")) { n = 400; for (int j = 0; j < n; j += 4) { u32 r = rnd32(); memcpy(b + j, &r, 4); } }
        else {
            int inv = !strcmp(sc.flood_kind, "invite"); const char *meth = inv ? "INVITE" : !strcmp(sc.flood_kind, "register") ? "REGISTER" : "OPTIONS"; char body[1500]; int bl = inv ? sdp_build(body, NULL, PLAIN, 1) : 0;
            n = sprintf(b, "%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/%s %s:%d;branch=z9hG4bKfl%x;rport\r\nMax-Forwards: 70\r\nFrom: <sip:flood%x@%s>;tag=%x\r\nTo: <sip:%s@%s>\r\n"
                "Call-ID: fl%x-%x@%s\r\nCSeq: 1 %s\r\nContact: <sip:flood@%s:%d>\r\nUser-Agent: %s\r\n%sContent-Length: %d\r\n\r\n", meth, sc.flood_to, sc.domain, tpn(e->tp), ip, ntohs(e->local.sin_port),
                k, k % 1000, sc.domain, k, sc.flood_to, sc.domain, k, run_id, ip, meth, ip, ntohs(e->local.sin_port), sc.flood_ua, inv ? "Content-Type: application/sdp\r\n" : "", bl);
            memcpy(b + n, body, bl); n += bl;
        }
        ep_send(flood_ep[i], &sc.sut, b, n); ss.flood_sent++;
    }
}
