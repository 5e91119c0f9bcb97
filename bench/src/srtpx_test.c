/* Cross-checks srtpx against libsrtp2 in both directions over two ROC wraps and times both. */
#include "srtpx.h"
#include <srtp2/srtp.h>
#include <stdio.h>
#include <string.h>
static srtp_t mk(u8 *key, int out)
{
    srtp_policy_t p; srtp_t s; memset(&p, 0, sizeof p);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p.rtp); srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p.rtcp);
    p.ssrc.type = out ? ssrc_any_outbound : ssrc_any_inbound; p.key = key; p.window_size = 128;
    if (srtp_create(&s, &p)) die("srtp_create");
    return s;
}
static int rtp(u8 *p, u32 i)
{
    memset(p, i, 172); p[0] = 0x80; p[1] = 8; p[2] = i >> 8; p[3] = i; memcpy(p + 8, "SSRC", 4); return 172;
}
int main(void)
{
    u8 key[30], a[256], b[256], ref[256]; struct srtpx x, y; int n = 150000;
    srtp_init(); for (int i = 0; i < 30; i++) key[i] = rnd32();
    srtpx_init(&x, key); srtpx_init(&y, key); srtp_t lo = mk(key, 1), li = mk(key, 0);
    for (int i = 0; i < n; i++) {
        rtp(ref, i + 65000); rtp(a, i + 65000); rtp(b, i + 65000);
        int la = srtpx_protect(&x, a, 172), lb = 172; srtp_protect(lo, b, &lb);
        if (la != lb || memcmp(a, b, la)) die("protect differs at %d", i);
        u8 c[256]; memcpy(c, a, la);
        int r = srtpx_unprotect(&y, a, la); if (r != 172 || memcmp(a, ref, 172)) die("unprotect %d at %d", r, i);
        memcpy(a, c, la); if (srtpx_unprotect(&y, a, la) != -2) die("replay accepted at %d", i);
        if (i % 1000 == 0) { c[20] ^= 1; c[3]++; if (srtpx_unprotect(&y, c, la) != -1) die("forgery accepted at %d", i); }
        if (srtp_unprotect(li, b, &lb)) die("libsrtp unprotect at %d", i);
    }
    printf("srtpx == libsrtp2 for %d packets (2 ROC wraps), replay and forgery rejected\n", n);
    u64 t0 = mono_ns(); for (int i = 0; i < n; i++) { rtp(a, i); srtpx_protect(&x, a, 172); }
    u64 t1 = mono_ns(); for (int i = 0; i < n; i++) { rtp(b, i); int l = 172; srtp_protect(lo, b, &l); }
    u64 t2 = mono_ns();
    printf("protect 160-byte payload: srtpx(OpenSSL EVP) %.3f us, libsrtp2(Debian, NSS) %.3f us\n", (t1 - t0) / 1e3 / n, (t2 - t1) / 1e3 / n);
    return 0;
}
